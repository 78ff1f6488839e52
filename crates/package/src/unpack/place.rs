use std::{
    fs, io,
    path::{Path, PathBuf},
};

use modelkeep_core::ModelPath;
use modelkeep_disk::{Dir, publish};

use super::{Obstacle, UnpackError, io_error};

/// Where files are written.
pub(super) enum Place {
    /// A directory beside the destination, which does not exist yet.
    New(Beside),
    /// The destination itself.
    Old(Dir),
}

pub(super) struct Beside {
    dir: Dir,
    parent: Dir,
    parent_path: PathBuf,
    name: String,
}

impl Place {
    /// Opens and locks the place for `destination`.
    pub(super) fn open(destination: &Path) -> Result<Self, UnpackError> {
        loop {
            match fs::metadata(destination) {
                Ok(metadata) if metadata.is_dir() => return Self::open_old(destination),
                Ok(_) => return Err(UnpackError::NotADirectory(destination.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(format!("look at {}", destination.display()))(error)),
            }
            if let Some(place) = Self::open_new(destination)? {
                return Ok(place);
            }
        }
    }

    fn open_old(destination: &Path) -> Result<Self, UnpackError> {
        let failed = || io_error(format!("open {}", destination.display()));
        let dir = Dir::open(destination).map_err(failed())?;
        if dir.try_lock().map_err(failed())? {
            Ok(Self::Old(dir))
        } else {
            Err(UnpackError::Busy(destination.to_owned()))
        }
    }

    /// `None` if another process finished the destination meanwhile.
    fn open_new(destination: &Path) -> Result<Option<Self>, UnpackError> {
        let name = destination.file_name().and_then(|name| name.to_str());
        let (Some(name), false) = (name, destination.is_symlink()) else {
            return Err(UnpackError::NotADirectory(destination.to_owned()));
        };
        let parent_path = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let failed = || io_error(format!("make a directory in {}", parent_path.display()));
        publish::create_directories(&parent_path).map_err(failed())?;
        let parent = Dir::open(&parent_path).map_err(failed())?;
        let partial = partial_name(name);
        let dir = parent.child_or_new(&partial).map_err(failed())?;
        if !dir.try_lock().map_err(failed())? {
            return Err(UnpackError::Busy(destination.to_owned()));
        }
        // Who held the lock before may have finished, and the directory be the destination now.
        match parent.child(&partial) {
            Ok(now) if now.is_same(&dir).map_err(failed())? => Ok(Some(Self::New(Beside {
                dir,
                parent,
                parent_path,
                name: name.to_owned(),
            }))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed()(error)),
        }
    }

    pub(super) fn dir(&self) -> &Dir {
        match self {
            Self::New(beside) => &beside.dir,
            Self::Old(dir) => dir,
        }
    }

    /// Where the directory is at the moment.
    pub(super) fn path(&self, destination: &Path) -> PathBuf {
        match self {
            Self::New(beside) => beside.parent_path.join(partial_name(&beside.name)),
            Self::Old(_) => destination.to_owned(),
        }
    }

    /// Gives the place up. What is whole in it stays for the next time.
    pub(super) fn abandon(self) {
        if let Self::New(beside) = &self {
            // It is removed only when nothing is in it.
            let _ = fs::remove_dir(beside.parent_path.join(partial_name(&beside.name)));
        }
    }

    /// Makes the destination appear, durably.
    pub(super) fn finish(self, destination: &Path) -> Result<(), UnpackError> {
        let Self::New(beside) = self else {
            return Ok(());
        };
        let failed = || io_error(format!("make {}", destination.display()));
        match beside.parent.rename(&partial_name(&beside.name), &beside.name) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                return Err(UnpackError::Occupied {
                    destination: destination.to_owned(),
                    example: beside.name,
                    obstacle: Obstacle::Unlisted,
                });
            }
            result => result.map_err(failed())?,
        }
        beside.parent.sync().map_err(failed())
    }
}

fn partial_name(name: &str) -> String {
    format!(".{name}.modelkeep-partial")
}

/// Opens the directory `path` below `root`; the empty path is `root` itself.
pub(super) fn open_directory(root: &Dir, path: &str) -> io::Result<Dir> {
    walk(root, path, Dir::child)
}

/// Opens the directory of `file` below `root`, which is made if it is not there.
pub(super) fn make_parent(root: &Dir, file: &ModelPath) -> io::Result<Dir> {
    walk(root, parent(file), Dir::child_or_new)
}

fn walk(root: &Dir, path: &str, step: fn(&Dir, &str) -> io::Result<Dir>) -> io::Result<Dir> {
    let mut names = path.split('/').filter(|name| !name.is_empty());
    names.try_fold(root.child(".")?, |dir, name| step(&dir, name))
}

/// The directory of `file`, empty for the root.
pub(super) fn parent(file: &ModelPath) -> &str {
    file.parents().last().unwrap_or_default()
}

/// The last name of `path`.
pub(super) fn file_name(path: &ModelPath) -> &str {
    path.components().next_back().expect("a path has a name")
}
