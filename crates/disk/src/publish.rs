//! Making files appear: whole, synced, and at most once.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use crate::unique;

/// What came of making a file that must not be there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The file is there now, by this call.
    Created,
    /// A file was there before, and stays.
    Exists,
}

/// Makes `directory` and its parents, durably.
///
/// # Errors
/// Whatever the file system says.
pub fn create_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directories(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_parent(directory)
}

/// Makes `path` with `bytes`, unless it exists. When this returns the file is on the disk, whole, whoever made it.
///
/// # Errors
/// Whatever the file system says; nothing is left then.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<Outcome> {
    with_temporary(path, bytes, move_new)
}

/// Makes or replaces `path` with `bytes`, in one instant.
///
/// # Errors
/// Whatever the file system says; the file is then what it was.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    with_temporary(path, bytes, |temporary, path| {
        fs::rename(temporary, path)?;
        sync_parent(path)
    })
}

fn with_temporary<T>(
    path: &Path,
    bytes: &[u8],
    publish: impl FnOnce(&Path, &Path) -> io::Result<T>,
) -> io::Result<T> {
    // A dot in front keeps it out of every listing, and out of the way of names that people choose.
    let temporary = parent(path).join(format!(".new-{}", unique()));
    let written = File::create_new(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| publish(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell; what cannot be removed is a temporary file.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Moves a synced file to `path`, unless that exists; then the moved file is removed.
///
/// # Errors
/// Whatever the file system says.
pub fn move_new(from: &Path, path: &Path) -> io::Result<Outcome> {
    let outcome = match rustix::fs::renameat_with(CWD, from, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Outcome::Created,
        Err(Errno::EXIST) => Outcome::Exists,
        // Some file systems (NFS, older FUSE) cannot refuse to replace; every one of them can link.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::hard_link(from, path) {
            Ok(()) => Outcome::Created,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Outcome::Exists,
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error.into()),
    };
    match fs::remove_file(from) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Also when it exists: its maker may have died, or not yet come, to sync it.
    sync_parent(path)?;
    Ok(outcome)
}

/// Syncs the directory that holds `path`, so that a name in it survives a power cut.
///
/// # Errors
/// Whatever the file system says.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_writers_wins_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tag");
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..16u8)
                .map(|n| {
                    scope.spawn({
                        let path = &path;
                        move || write_new(path, &[n; 100]).unwrap()
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..16).filter(|&n| outcomes[n] == Outcome::Created).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(fs::read(&path).unwrap(), vec![winners[0] as u8; 100]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn replacing_changes_the_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        replace(&path, b"one").unwrap();
        replace(&path, b"2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert_eq!(write_new(&path, b"3").unwrap(), Outcome::Exists);
        assert_eq!(fs::read(&path).unwrap(), b"2");
    }

    #[test]
    fn directories_are_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c");
        create_directories(&path).unwrap();
        create_directories(&path).unwrap();
        assert!(path.is_dir());
    }
}
