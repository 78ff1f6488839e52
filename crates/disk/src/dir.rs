use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, RawMode},
    io::Errno,
};

/// An open directory, in which names are single components and symlinks are never followed.
///
/// What a version says is written through this, so that neither a path in it nor a link that lies in the way can
/// lead elsewhere.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// What lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file and its size.
    File(u64),
    /// A directory.
    Directory,
    /// A symlink, a device, a socket.
    Other,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Dir {
    /// Opens the directory at `path`, which the user chose: a symlink there is followed.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { fd })
    }

    /// Opens the directory `name` in this one.
    ///
    /// # Errors
    /// [`ErrorKind::NotADirectory`] when it is something else, a symlink included.
    pub fn child(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::openat(&self.fd, name, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Self { fd }),
            Err(Errno::LOOP) => Err(ErrorKind::NotADirectory.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the directory `name` in this one, which is made if it is not there.
    ///
    /// # Errors
    /// As [`Dir::child`].
    pub fn child_or_new(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => self.child(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the file `name`, which must not be there, open for writing.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], and whatever the file system says.
    pub fn create_new(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode as RawMode);
        Ok(rustix::fs::openat(&self.fd, name, flags, mode)?.into())
    }

    /// Opens the regular file `name` for reading.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when it is not a regular file.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        // Without NONBLOCK, opening a pipe that lies there would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd.into(),
            Err(Errno::LOOP) => return Err(ErrorKind::InvalidInput.into()),
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(ErrorKind::InvalidInput.into())
        }
    }

    /// Opens the regular file `name` for reading and writing, if it is this user's own, and has no other name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when it is something else.
    pub fn open_own(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd.into(),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(ErrorKind::InvalidInput.into()),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
        if metadata.is_file() && metadata.nlink() == 1 && is_own {
            Ok(file)
        } else {
            Err(ErrorKind::InvalidInput.into())
        }
    }

    /// What lies under `name`, if anything.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
                FileType::Directory => Kind::Directory,
                _ => Kind::Other,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames `from` to `to`, both in this directory, replacing a file that is there.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Renames `from` in this directory to `to` in another one on the same file system, replacing a file that is
    /// there.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn rename_into(&self, from: &str, other: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &other.fd, to)?)
    }

    /// Removes the directory `name`, which must be empty.
    ///
    /// # Errors
    /// [`ErrorKind::DirectoryNotEmpty`], and whatever else the file system says.
    pub fn remove_directory(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes the file `name`.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// The names in this directory, in no order.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Whether this is the same directory as `other`, under whatever names they were opened.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn is_same(&self, other: &Self) -> io::Result<bool> {
        let (a, b) = (rustix::fs::fstat(&self.fd)?, rustix::fs::fstat(&other.fd)?);
        Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Takes the lock on the directory itself if nobody holds it, and says whether it did. It ends with this value
    /// and with the process. Where the file system cannot lock a directory (NFS), nobody is kept out.
    ///
    /// # Errors
    /// Whatever else the file system says.
    pub fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) | Err(Errno::BADF | Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Syncs the names in this directory.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.fd.as_fd())?)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn symlinks_are_never_followed() {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), "secret").unwrap();
        symlink(outside.path(), directory.path().join("dir")).unwrap();
        symlink(outside.path().join("file"), directory.path().join("file")).unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        assert_eq!(dir.child("dir").unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(
            dir.child_or_new("dir").unwrap_err().kind(),
            ErrorKind::NotADirectory
        );
        assert_eq!(dir.open_file("file").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(dir.open_own("file").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(
            dir.create_new("file", 0o644).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(dir.kind("file").unwrap(), Some(Kind::Other));
    }

    #[test]
    fn a_file_with_two_names_is_not_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        dir.create_new("file", 0o644).unwrap();
        dir.open_own("file").unwrap();
        fs::hard_link(directory.path().join("file"), directory.path().join("other")).unwrap();
        assert_eq!(dir.open_own("file").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(dir.open_own("none").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn files_and_directories_are_made_and_found() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        let child = dir.child_or_new("a").unwrap();
        child.create_new("b", 0o644).unwrap();
        assert_eq!(child.kind("b").unwrap(), Some(Kind::File(0)));
        assert_eq!(dir.kind("a").unwrap(), Some(Kind::Directory));
        assert_eq!(dir.kind("c").unwrap(), None);
        child.rename("b", "c").unwrap();
        child.sync().unwrap();
        child.rename_into("c", &dir, "d").unwrap();
        assert_eq!(
            (child.kind("c").unwrap(), dir.kind("d").unwrap()),
            (None, Some(Kind::File(0)))
        );
        dir.remove("d").unwrap();
        assert_eq!(dir.kind("d").unwrap(), None);
        assert!(dir.remove("a").is_err());
        dir.remove_directory("a").unwrap();
        assert_eq!(dir.kind("a").unwrap(), None);
    }
    #[test]
    fn a_directory_lists_its_names_and_is_locked_by_one() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::open(directory.path()).unwrap();
        dir.child_or_new("a").unwrap();
        dir.create_new("b", 0o644).unwrap();
        let mut names = dir.names().unwrap();
        names.sort();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(dir.names().unwrap().len(), 2);
        let again = dir.child(".").unwrap();
        assert!(dir.is_same(&again).unwrap() && !dir.is_same(&dir.child("a").unwrap()).unwrap());
        assert!(dir.try_lock().unwrap());
        assert!(!again.try_lock().unwrap());
        drop(dir);
        assert!(again.try_lock().unwrap());
    }
}
