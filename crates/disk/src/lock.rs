use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

/// A lock between processes and threads (`flock`). It ends when it is dropped, and when its process dies,
/// however it dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock on `path`, making the file if need be.
    ///
    /// # Errors
    /// The file cannot be opened, or the file system has no locks.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        let file = Self::open(path)?;
        file.lock()?;
        Ok(Self { _file: file })
    }

    /// Takes the lock on `path` if nobody holds it.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        let file = Self::open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits for the lock on a directory that is there, alone.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn directory(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        file.lock()?;
        Ok(Self { _file: file })
    }

    /// Waits for the lock on a directory that is there, together with others who share it.
    ///
    /// # Errors
    /// As [`Lock::exclusive`].
    pub fn directory_shared(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        file.lock_shared()?;
        Ok(Self { _file: file })
    }

    fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = Lock::exclusive(&path).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(lock);
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn a_directory_is_shared_or_locked_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let shared = [(); 2].map(|()| Lock::directory_shared(path).unwrap());
        let probe = File::open(path).unwrap();
        assert!(probe.try_lock().is_err());
        drop(shared);
        let alone = Lock::directory(path).unwrap();
        assert!(probe.try_lock_shared().is_err());
        drop(alone);
        probe.try_lock().unwrap();
    }
}
