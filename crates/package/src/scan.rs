//! Which files of a directory are the model.

mod ignored;
mod snapshot;
mod walk;

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use modelkeep_core::{InvalidPath, ModelPath};
use unicode_normalization::UnicodeNormalization as _;

pub use snapshot::Snapshot;

/// Names in the root of a directory that are Modelkeep's own and never part of the model.
pub const OWN_FILES: [&str; 3] = ["modelkeep.toml", "modelkeep.lock", ignored::IGNORE_FILE];

/// A directory in the root that is Modelkeep's own, and never part of the model.
pub const OWN_DIRECTORY: &str = ".modelkeep";

/// What an interrupted pull leaves begins with this, in whatever directory, and is never part of the model.
pub const PARTIAL_PREFIX: &str = ".modelkeep-partial-";

/// Most files of one model.
pub const MOST_FILES: usize = 100_000;

/// How a directory is looked through.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Most files, and most directories, that are taken.
    pub most_files: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            most_files: MOST_FILES,
        }
    }
}

/// What a directory holds.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The files of the model, in byte order of their paths.
    pub files: Vec<ModelFile>,
    /// What the user should know about them.
    pub warnings: Vec<Warning>,
}

/// One file of a model directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Its path in the model.
    pub path: ModelPath,
    /// Where it is: absolute, and free of symlinks when it was scanned.
    pub location: PathBuf,
    /// What it looked like when it was scanned.
    pub stamp: Stamp,
    /// Whether it can be run in the image. What it is on this disk has no part in it.
    pub mode: FileMode,
}

/// The mode of a file in its layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileMode {
    /// 0644
    #[default]
    Plain,
    /// 0755
    Executable,
}

/// What changes when a file is written to or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change of the bytes, in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Time of the last change of bytes or attributes, in nanoseconds since 1970. No program can set it.
    pub ctime_ns: i128,
    /// Device.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
}

impl Stamp {
    /// The stamp of a file with `metadata`.
    #[must_use]
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            size: metadata.size(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            dev: metadata.dev(),
            ino: metadata.ino(),
        }
    }
}

/// Something that is no error, and may surprise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Paths that are one and the same on a disk that does not tell upper from lower case.
    Collision(Vec<ModelPath>),
    /// A directory without anything in it, which no version can hold.
    EmptyDirectory(String),
}

/// Why a directory cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is nothing at the path.
    #[error("there is no directory {0}")]
    NotFound(PathBuf),
    /// Something else is at the path.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// A directory without files, or all of them left out.
    #[error("{0} holds no file to push")]
    Empty(PathBuf),
    /// A directory or file that the operating system keeps from us.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A name that is not text.
    #[error("the name of {0:?} is not UTF-8")]
    NotUtf8(PathBuf),
    /// A path that could not be pulled everywhere.
    #[error("{location} cannot be pushed")]
    Path {
        /// Where the file is.
        location: PathBuf,
        /// What is wrong with its path.
        #[source]
        source: InvalidPath,
    },
    /// A symlink that is not followed.
    #[error("{path} is a symlink to {target}, which {problem}")]
    Symlink {
        /// The symlink.
        path: PathBuf,
        /// What it says.
        target: PathBuf,
        /// Why it is not followed.
        problem: SymlinkProblem,
    },
    /// Not a file, a directory or a symlink.
    #[error("{path} is a {kind}, and only files can be in a model")]
    Special {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// More files, or directories, than a version may have.
    #[error("{directory} holds more than {most} files or directories")]
    TooMany {
        /// The directory that was scanned.
        directory: PathBuf,
        /// The most that are taken.
        most: usize,
    },
    /// An ignore file that cannot be read.
    #[error("cannot use {path}")]
    Ignore {
        /// The ignore file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ignore::Error,
    },
}

/// Why a symlink is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymlinkProblem {
    /// It leads out of the directory.
    Outside,
    /// It leads nowhere.
    Dangling,
    /// It leads to a directory that it lies in.
    Loop,
}

impl std::fmt::Display for SymlinkProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Outside => "lies outside the model",
            Self::Dangling => "does not exist",
            Self::Loop => "leads back to where it lies",
        })
    }
}

/// Finds the files of the model in `directory`.
///
/// Regular files are taken, and symlinks are followed as long as they lead to something inside the directory, or in a
/// [`Snapshot`] to a file of its cache. Left
/// out are whatever is named `.git`, Modelkeep's [own files](OWN_FILES) and [directory](OWN_DIRECTORY) in the root, the leftovers of interrupted
/// pulls, and what `.modelkeepignore` in the root names; that file has the syntax of `.gitignore`. Nothing else is
/// left out: what cannot be pushed is an error.
///
/// # Errors
/// Whatever would make the version less than the directory.
pub fn scan(directory: &Path, options: &ScanOptions) -> Result<Scan, ScanError> {
    let mut scan = walk::walk(directory, options)?;
    if scan.files.is_empty() {
        return Err(ScanError::Empty(directory.to_owned()));
    }
    scan.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    let collisions = collisions(scan.files.iter().map(|file| &file.path));
    scan.warnings
        .extend(collisions.into_iter().map(Warning::Collision));
    Ok(scan)
}

/// The groups of paths that are the same on disks that do not tell upper from lower case, or one way to write an
/// accent from another.
pub fn collisions<'a>(paths: impl IntoIterator<Item = &'a ModelPath>) -> Vec<Vec<ModelPath>> {
    let mut groups = std::collections::BTreeMap::<String, Vec<ModelPath>>::new();
    for path in paths {
        let folded: String = path.as_str().nfc().flat_map(char::to_lowercase).nfc().collect();
        groups.entry(folded).or_default().push(path.clone());
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

#[cfg(test)]
mod tests;
