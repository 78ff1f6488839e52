//! Small files that are read and written whole.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use modelkeep_core::content::{Error, Result};
use modelkeep_disk::{Outcome, Staged};
use serde::{Serialize, de::DeserializeOwned};

/// More than any record or entry of a history has. A file that a broken disk made huge is not taken into memory.
pub(crate) const LIMIT: u64 = 4 << 20;

/// The record at `path`, if there is one.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = bytes(path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => Err(malformed(path, error)),
    }
}

/// What the file at `path` holds, if there is one.
pub(crate) fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let io = || Error::io(format!("read {}", path.display()));
    // Room for a whole record: reading into none begins with steps of 32 bytes, each a call to the system.
    let mut bytes = Vec::with_capacity(4096);
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file
            .map_err(io())?
            .take(LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(io())?,
    };
    if bytes.len() as u64 > LIMIT {
        return Err(malformed(path, format!("it has more than {LIMIT} bytes")));
    }
    Ok(Some(bytes))
}

/// The JSON of a record.
pub(crate) fn json<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("texts, numbers and maps with text keys become JSON")
}

/// Makes `path` with `bytes`, durably, unless it exists.
///
/// The bytes are staged, and not written beside `path`, so that what a killed process leaves is swept.
pub(crate) fn write_new(staging: &Path, path: &Path, bytes: &[u8]) -> Result<Outcome> {
    staged(staging, bytes)
        .and_then(|staged| staged.publish(path))
        .map_err(Error::io(format!("write {}", path.display())))
}

/// Makes or replaces `path` with `bytes`, durably, in one instant.
pub(crate) fn replace(staging: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    staged(staging, bytes)
        .and_then(|staged| staged.replace(path))
        .map_err(Error::io(format!("write {}", path.display())))
}

fn staged(staging: &Path, bytes: &[u8]) -> std::io::Result<Staged> {
    let staged = Staged::create(staging)?;
    staged.file().write_all(bytes)?;
    Ok(staged)
}

/// The names in `directory`, sorted; none when it is not there.
pub(crate) fn list(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    each(directory, |name| {
        names.push(name.to_owned());
        Ok(())
    })?;
    names.sort_unstable();
    Ok(names)
}

/// Calls `visit` with each name in `directory`, in no order; with none when it is not there. Names with a dot in front,
/// which file managers leave, are no part of a store.
pub(crate) fn each(directory: &Path, mut visit: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let io = || Error::io(format!("read {}", directory.display()));
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io())?,
    };
    for entry in entries {
        let name = entry.map_err(io())?.file_name();
        let name = name.to_str().ok_or_else(|| foreign(directory.join(&name)))?;
        if !name.starts_with('.') {
            visit(name)?;
        }
    }
    Ok(())
}

/// A record that does not say what it should.
pub(crate) fn malformed(path: &Path, reason: impl ToString) -> Error {
    Error::Malformed {
        what: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// Something in the store that the store did not put there.
pub(crate) fn foreign(path: PathBuf) -> Error {
    malformed(&path, "a store keeps nothing under such a name")
}

/// Whether there is a file at `path`, and its size.
pub(crate) fn size(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("read {}", path.display()))(error)),
    }
}

/// When the file at `path` was last changed, if it is there.
pub(crate) fn modified(path: &Path) -> Result<Option<SystemTime>> {
    match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(time) => Ok(Some(time)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("read {}", path.display()))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_not_json_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        assert!(read::<u64>(&path).unwrap().is_none());
        for bytes in [&b""[..], b"{", b"\xff\xfe", &[b'1'; 2 << 20]] {
            fs::write(&path, bytes).unwrap();
            let error = read::<u64>(&path).unwrap_err();
            assert!(matches!(&error, Error::Malformed { what, .. } if what.ends_with("record")));
        }
    }
}
