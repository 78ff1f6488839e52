use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use modelkeep_core::ModelPath;
use rustix::io::Errno;

use super::{
    FileMode, ModelFile, Scan, ScanError, ScanOptions, Snapshot, Stamp, SymlinkProblem, Warning,
    ignored::Ignored,
};

/// A directory that is still to be read.
struct Pending {
    /// Its path relative to the root.
    path: PathBuf,
    /// Where it is, free of symlinks.
    location: PathBuf,
    /// It, and the directories above it.
    line: Rc<Line>,
}

/// The directories from one up to the root, by device and inode: who comes back to one of them goes in a circle.
struct Line {
    id: (u64, u64),
    above: Option<Rc<Line>>,
}

impl Line {
    fn has(&self, id: (u64, u64)) -> bool {
        let mut line = Some(self);
        while let Some(here) = line {
            if here.id == id {
                return true;
            }
            line = here.above.as_deref();
        }
        false
    }
}

struct Walk<'a> {
    directory: &'a Path,
    root: PathBuf,
    snapshot: Option<Snapshot>,
    ignored: Ignored,
    most: usize,
    directories: usize,
    pending: Vec<Pending>,
    found: Scan,
}

pub(super) fn walk(directory: &Path, options: &ScanOptions) -> Result<Scan, ScanError> {
    let root = fs::canonicalize(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ScanError::NotFound(directory.to_owned()),
        _ => unreadable(directory)(error),
    })?;
    let metadata = fs::metadata(&root).map_err(unreadable(directory))?;
    if !metadata.is_dir() {
        return Err(ScanError::NotADirectory(directory.to_owned()));
    }
    let mut walk = Walk {
        directory,
        snapshot: Snapshot::of(&root),
        ignored: Ignored::read(&root)?,
        most: options.most_files,
        directories: 0,
        pending: vec![Pending {
            path: PathBuf::new(),
            location: root.clone(),
            line: Rc::new(Line {
                id: (metadata.dev(), metadata.ino()),
                above: None,
            }),
        }],
        root,
        found: Scan {
            files: Vec::new(),
            warnings: Vec::new(),
        },
    };
    while let Some(next) = walk.pending.pop() {
        walk.read(&next)?;
    }
    walk.found.warnings.sort_by(|a, b| match (a, b) {
        (Warning::EmptyDirectory(a), Warning::EmptyDirectory(b)) => a.cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    Ok(walk.found)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ScanError {
    let path = path.to_owned();
    move |source| ScanError::Unreadable { path, source }
}

impl Walk<'_> {
    fn read(&mut self, here: &Pending) -> Result<(), ScanError> {
        let mut empty = true;
        for entry in fs::read_dir(&here.location).map_err(unreadable(&here.location))? {
            empty = false;
            let name = entry.map_err(unreadable(&here.location))?.file_name();
            self.visit(here, here.path.join(&name), here.location.join(&name))?;
        }
        if empty && here.line.above.is_some() {
            let path = here.path.display().to_string();
            self.found.warnings.push(Warning::EmptyDirectory(path));
        }
        Ok(())
    }

    fn visit(&mut self, here: &Pending, path: PathBuf, location: PathBuf) -> Result<(), ScanError> {
        let metadata = fs::symlink_metadata(&location).map_err(unreadable(&location))?;
        if self.ignored.has(&path, metadata.is_dir()) {
            return Ok(());
        }
        let (location, metadata) = if metadata.is_symlink() {
            match self.follow(&location)? {
                (_, metadata) if metadata.is_dir() && self.ignored.has(&path, true) => return Ok(()),
                (_, metadata) if here.line.has((metadata.dev(), metadata.ino())) => {
                    return Err(symlink(&location, SymlinkProblem::Loop));
                }
                followed => followed,
            }
        } else {
            (location, metadata)
        };
        let Some(text) = path.to_str() else {
            return Err(ScanError::NotUtf8(self.directory.join(path)));
        };
        let model_path: ModelPath = text.parse().map_err(|source| ScanError::Path {
            location: self.directory.join(&path),
            source,
        })?;
        if metadata.is_dir() {
            self.directories += 1;
            let line = Rc::new(Line {
                id: (metadata.dev(), metadata.ino()),
                above: Some(Rc::clone(&here.line)),
            });
            self.pending.push(Pending { path, location, line });
        } else if metadata.is_file() {
            self.found.files.push(ModelFile {
                path: model_path,
                location,
                stamp: Stamp::of(&metadata),
                mode: FileMode::Plain,
            });
        } else {
            let kind = special(&metadata);
            let path = self.directory.join(path);
            return Err(ScanError::Special { path, kind });
        }
        if self.found.files.len().max(self.directories) > self.most {
            return Err(ScanError::TooMany {
                directory: self.directory.to_owned(),
                most: self.most,
            });
        }
        Ok(())
    }

    /// Where a symlink leads, if that is inside the directory or to a blob of its cache.
    fn follow(&self, link: &Path) -> Result<(PathBuf, Metadata), ScanError> {
        let location = fs::canonicalize(link).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => symlink(link, SymlinkProblem::Dangling),
            _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                symlink(link, SymlinkProblem::Loop)
            }
            _ => unreadable(link)(error),
        })?;
        let metadata = fs::symlink_metadata(&location).map_err(unreadable(link))?;
        let is_blob = |snapshot: &Snapshot| metadata.is_file() && snapshot.holds(&location);
        if !location.starts_with(&self.root) && !self.snapshot.as_ref().is_some_and(is_blob) {
            return Err(symlink(link, SymlinkProblem::Outside));
        }
        Ok((location, metadata))
    }
}

fn symlink(link: &Path, problem: SymlinkProblem) -> ScanError {
    ScanError::Symlink {
        path: link.to_owned(),
        target: fs::read_link(link).unwrap_or_default(),
        problem,
    }
}

fn special(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "device"
    } else {
        "special file"
    }
}
