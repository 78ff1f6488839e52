//! Uploads that were begun and not finished, on the disk, so that another process can go on with them.
//!
//! One small file for each upload, which only its owner may read. It holds the address that the registry gave, which
//! is good for this upload alone; credentials are not in it. Whoever works on an upload holds a lock on its file, so
//! that two processes never send into the same one.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use modelkeep_core::Digest;
use serde::{Deserialize, Serialize};

/// Registries forget uploads after days; what is older is of no use.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest record that is read.
const RECORD: u64 = 64 << 10;

/// What is known of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// `HOST/NAME`
    pub(crate) repository: String,
    /// Size of the blob in bytes.
    pub(crate) size: u64,
    /// Where the upload goes on.
    pub(crate) url: String,
    /// Bytes that the registry is known to have.
    pub(crate) at: u64,
}

impl Record {
    pub(crate) fn new(repository: String, size: u64, url: String) -> Self {
        Self {
            version: 1,
            repository,
            size,
            url,
            at: 0,
        }
    }
}

/// The file of one upload, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct Open {
    file: File,
    path: PathBuf,
}

impl Open {
    /// The file for the blob that `key` stands for in `repository`. `None` where nothing can be kept, or where
    /// somebody else works on the same: then this upload is not remembered, which costs time only.
    pub(crate) fn at(directory: &Path, repository: &str, key: &Digest) -> Option<Self> {
        fs::create_dir_all(directory).ok()?;
        sweep(directory);
        let name = Digest::of(format!("{repository}\n{key}").as_bytes());
        let path = directory.join(name.hex());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .ok()?;
        file.try_lock().ok()?;
        Some(Self { file, path })
    }

    /// What the file says. What is torn, or of another version, says nothing.
    pub(crate) fn read(&mut self) -> Option<Record> {
        let mut text = String::new();
        self.file.rewind().ok()?;
        (&self.file).take(RECORD).read_to_string(&mut text).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        (record.version == 1).then_some(record)
    }

    /// What cannot be written is not remembered.
    pub(crate) fn write(&mut self, record: &Record) {
        let Ok(text) = serde_json::to_vec(record) else {
            return;
        };
        let _ = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(&text));
    }

    /// The upload is no more.
    pub(crate) fn forget(&mut self) {
        let _ = self.file.set_len(0);
    }

    /// The upload is finished.
    pub(crate) fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what has been of no use for long.
fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let now = SystemTime::now();
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|then| now.duration_since(then).ok());
        if age.is_some_and(|age| age > LONGEST) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn open(directory: &Path) -> Option<Open> {
        Open::at(directory, "r.io/m", &Digest::of(b"key"))
    }

    #[test]
    fn what_was_written_is_read_by_the_next_process_and_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mut record = Record::new("r.io/m".to_owned(), 5, "https://r.io/u".to_owned());
        let mut first = open(directory.path()).unwrap();
        assert_eq!(first.read(), None);
        first.write(&record);
        record.at = 3;
        first.write(&record);
        assert!(open(directory.path()).is_none(), "somebody holds it");
        let mode = fs::metadata(&first.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(first);
        let mut second = open(directory.path()).unwrap();
        assert_eq!(second.read(), Some(record));
        second.remove();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_torn_or_old_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut torn = open(directory.path()).unwrap();
        fs::write(&torn.path, r#"{"version":1,"repos"#).unwrap();
        assert_eq!(torn.read(), None);
        let old = directory.path().join("old");
        let file = File::create(&old).unwrap();
        file.set_modified(SystemTime::now() - 2 * LONGEST).unwrap();
        drop(torn);
        drop(open(directory.path()));
        assert!(!old.exists());
    }
}
