use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::{Outcome, publish, unique};

/// A temporary file that belongs to a living process: it is locked as long as that lives, so that what a killed one
/// left behind can be told apart and swept.
#[derive(Debug)]
pub struct Staged {
    file: File,
    path: PathBuf,
}

impl Staged {
    /// Makes an empty staged file in `directory`.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn create(directory: &Path) -> io::Result<Self> {
        loop {
            let path = directory.join(unique());
            let file = match File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
            {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                result => result?,
            };
            file.lock()?;
            // A sweep may have come between the two lines above and taken the file for a dead one's.
            if file.metadata()?.nlink() > 0 {
                return Ok(Self { file, path });
            }
        }
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the file and moves it to `path`, durably, unless that exists; then this one is gone.
    ///
    /// # Errors
    /// Whatever the file system says; this one is gone then.
    pub fn publish(self, path: &Path) -> io::Result<Outcome> {
        self.file.sync_all()?;
        publish::move_new(&self.path, path)
    }

    /// Syncs the file and moves it to `path`, durably, in the place of what is there.
    ///
    /// # Errors
    /// Whatever the file system says; this one is gone then.
    pub fn replace(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        publish::sync_parent(path)
    }

    /// Removes the staged files in `directory` whose processes have died, and says how many bytes that freed.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn sweep(directory: &Path) -> io::Result<u64> {
        let mut freed = 0;
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let file = match File::open(&path) {
                // Published or dropped meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result?,
            };
            match file.try_lock() {
                Ok(()) => {
                    freed += file.metadata()?.blocks() * 512;
                    remove(&path)?;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(freed)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Published files are gone from here; what cannot be removed, the next sweep finds unlocked.
        let _ = remove(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_what_the_dead_left_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let living = Staged::create(directory.path()).unwrap();
        fs::write(directory.path().join("dead"), [1; 5000]).unwrap();
        assert!(Staged::sweep(directory.path()).unwrap() >= 5000);
        assert!(living.path().exists());
        assert!(!directory.path().join("dead").exists());
        drop(living);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_second_file_of_a_name_is_dropped_unless_it_is_to_replace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blob");
        for (content, outcome) in [("a", Outcome::Created), ("b", Outcome::Exists)] {
            let staged = Staged::create(directory.path()).unwrap();
            fs::write(staged.path(), content).unwrap();
            assert_eq!(staged.publish(&path).unwrap(), outcome);
        }
        assert_eq!(fs::read(&path).unwrap(), b"a");
        let staged = Staged::create(directory.path()).unwrap();
        fs::write(staged.path(), "c").unwrap();
        staged.replace(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"c");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
