//! A version, or some of its files, into a directory.
//!
//! Where the contents list is known, it says where in a layer each file lies; it is checked before anything touches the
//! disk, and every file is hashed while it is written and not kept unless it is what the list says. Layers that are
//! compressed, and archives that others packed, are read whole (`stage.rs`): their files get their names when all
//! layers have been verified.

mod check;
mod place;
mod stage;
mod survey;
mod write;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use modelkeep_core::{
    Buffer, Contents, Descriptor, Digest, FileEntry, MalformedContents, ModelPath,
    content::{self, Source},
};

use crate::{
    foreign::{Described, LayerError, Part},
    stream::BUFFER,
};
use place::Place;
use stage::Stage;

/// How a version is written.
#[derive(Clone, Copy, Debug)]
pub struct UnpackOptions {
    /// What is done about a directory that has other files in it.
    pub existing: Existing,
    /// Number of threads, each with a buffer of 1 MiB, or of 4 MiB where they are four at most.
    pub workers: usize,
}

/// What is done about files that lie where a version is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Files that are right are kept; any other one is an error, and nothing is written.
    Refuse,
    /// Files that are right are kept; files of the version that differ are replaced; other files stay.
    Replace,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Number of files that are there now.
    pub files: usize,
    /// Bytes of those files.
    pub bytes: u64,
    /// Bytes of those that were written.
    pub bytes_written: u64,
    /// Number of those that were right before.
    pub reused_files: usize,
    /// All files of the version, where nobody knew them before its layers were read.
    pub found: Option<Contents>,
}

/// Why a version was not written.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The directory has files in it that are not the version's.
    #[error("{destination} is not empty: {example} {obstacle}")]
    Occupied {
        /// The directory.
        destination: PathBuf,
        /// One of the files, relative to the directory.
        example: String,
        /// What is the matter with it.
        obstacle: Obstacle,
    },
    /// Another process writes to the directory.
    #[error("another process is writing to {0}")]
    Busy(PathBuf),
    /// Something else lies where the directory should be, or its name is not UTF-8.
    #[error("{0} cannot be made a directory")]
    NotADirectory(PathBuf),
    /// No layer holds a file of the model.
    #[error("no layer of the version holds a file of a model")]
    NoModel,
    /// Paths that are one and the same on disks that do not tell upper from lower case, or that normalise names.
    #[error("{} and {} are the same file on many disks", .0[0], .0[1])]
    Collision(Vec<ModelPath>),
    /// A path that is kept for files that are not whole.
    #[error("{0} has a name that is kept for files that are being written")]
    Reserved(ModelPath),
    /// A layer that had to be read whole, and is not what it should be.
    #[error("the layer {layer} is refused")]
    Layer {
        /// The layer.
        layer: Digest,
        /// What is wrong with it.
        #[source]
        source: LayerError,
    },
    /// Layers that do not go together.
    #[error("the layers are refused")]
    Layers {
        /// What is wrong with them.
        #[source]
        source: LayerError,
    },
    /// Files of layers that do not go together.
    #[error("the files of the layers are refused")]
    Files(#[from] MalformedContents),
    /// No file of the version was asked for.
    #[error("no file of the version is included")]
    NothingIncluded,
    /// More files than a version may have.
    #[error("the version says that it has {files} files, and {most} are the most that is written")]
    TooManyFiles {
        /// How many it has.
        files: usize,
        /// The most that are written.
        most: usize,
    },
    /// A layer that the manifest does not have.
    #[error("{path} should lie in the layer {layer}, which the manifest does not list")]
    UnknownLayer {
        /// The file.
        path: ModelPath,
        /// The layer.
        layer: Digest,
    },
    /// A place that is not in the layer, or that another file has.
    #[error("{0} should lie where its layer has no room for it")]
    Place(ModelPath),
    /// The end that holds the version does not give the file.
    #[error("cannot open {path} in the version")]
    Source {
        /// The file.
        path: ModelPath,
        /// What the end said.
        #[source]
        source: content::Error,
    },
    /// The end that holds the version stopped to give the file.
    #[error("cannot read {path} from the version")]
    Read {
        /// The file.
        path: ModelPath,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// More or fewer bytes than the list says.
    #[error("{path} should have {expected} bytes, and the version gave {problem}")]
    Length {
        /// The file.
        path: ModelPath,
        /// Its size in bytes.
        expected: u64,
        /// Whether there were more or fewer.
        problem: &'static str,
    },
    /// Other bytes than the list says.
    #[error("{path} is damaged in the version: expected {expected}, found {found}")]
    Damaged {
        /// The file.
        path: ModelPath,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The operating system refused.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Why a directory is not one for a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A file that is not of the version. [`Existing::Replace`] lets it be.
    Unlisted,
    /// A file of the version with other content. [`Existing::Replace`] replaces it.
    Differs,
    /// A directory where a file should be, or something else where a directory should be. It has to be moved away.
    Kind,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unlisted => "is not in the version",
            Self::Differs => "differs from that of the version",
            Self::Kind => "is in the way of the version",
        })
    }
}

fn io_error(doing: impl Into<String>) -> impl FnOnce(io::Error) -> UnpackError {
    let doing = doing.into();
    move |source| UnpackError::Io { doing, source }
}

/// Writes the files of a version that `include` names into `destination`. `known` is its contents list, where there is
/// one; without it all layers are read, and the list is in the answer. `on_bytes` is told of bytes as they are found,
/// written, or read of layers that have to be read whole.
///
/// A destination that is not there appears whole: it is written under another name beside, and renamed. What a killed
/// process left under that name is used again, files that are not whole included: they are gone on with. An existing directory is written in place, because it may be a mount
/// point, the working directory, or have permissions that somebody chose; there, each file appears whole.
/// When this returns, everything is on the disk.
///
/// # Errors
/// [`UnpackError`]. Whole files may have been written then, and the next call finds them.
pub fn unpack(
    source: &dyn Source,
    described: &Described,
    known: Option<&Contents>,
    include: &(dyn Fn(&ModelPath) -> bool + Sync),
    destination: &Path,
    options: &UnpackOptions,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Unpacked, UnpackError> {
    let call = Call {
        source,
        described,
        include,
        destination,
        options,
        on_bytes,
    };
    // What is wrong with a list is found before anything is made.
    let jobs = known
        .map(|contents| check::listed(described, contents, include))
        .transpose()?;
    let place = Place::open(destination)?;
    let filled = stage::sweep(place.dir()).and_then(|()| match (known, jobs) {
        (Some(contents), Some(jobs)) => call.fill(&place, contents, &jobs, None),
        _ => call.read_and_fill(&place),
    });
    // The first error is the one to tell.
    let swept = stage::sweep(place.dir());
    match filled.and_then(|unpacked| swept.map(|()| unpacked)) {
        Ok(unpacked) => place.finish(destination).map(|()| unpacked),
        Err(error) => {
            place.abandon();
            Err(error)
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Call<'a> {
    source: &'a dyn Source,
    described: &'a Described,
    include: &'a (dyn Fn(&ModelPath) -> bool + Sync),
    destination: &'a Path,
    options: &'a UnpackOptions,
    on_bytes: &'a (dyn Fn(u64) + Sync),
}

impl Call<'_> {
    fn workers(&self) -> usize {
        self.options.workers.max(1)
    }

    fn read_and_fill(&self, place: &Place) -> Result<Unpacked, UnpackError> {
        let mut stage = Stage::new(place.dir())?;
        let contents = stage.read_all(self)?;
        let jobs = check::found(self.described, &contents, self.include)?;
        let unpacked = self.fill(place, &contents, &jobs, Some(stage))?;
        Ok(Unpacked {
            found: Some(contents),
            ..unpacked
        })
    }

    /// Writes the files of `jobs` that are not there. With a stage, those of layers that are read whole wait in it.
    fn fill(
        &self,
        place: &Place,
        contents: &Contents,
        jobs: &[Job<'_>],
        stage: Option<Stage>,
    ) -> Result<Unpacked, UnpackError> {
        let Self {
            source,
            destination,
            on_bytes,
            ..
        } = *self;
        let existing = match place {
            // What lies there is ours alone.
            Place::New(_) => Existing::Replace,
            Place::Old(_) => self.options.existing,
        };
        let root = place.dir();
        let workers = self.workers();
        survey::clean(place, contents, jobs, existing, destination)?;
        let missing = survey::missing(root, jobs, workers, existing, destination, on_bytes)?;
        let (staged, ranged): (Vec<_>, Vec<_>) = missing.iter().copied().partition(|job| job.is_staged);
        let mut bytes_written = 0;
        if !staged.is_empty() {
            let stage = match stage {
                Some(stage) => stage,
                None => {
                    let mut stage = Stage::new(root)?;
                    stage.read_listed(self, &staged)?;
                    stage
                }
            };
            bytes_written += stage.place(root, &staged)?;
        }
        let written = AtomicU64::new(0);
        each(workers, &ranged, most_bytes(&ranged, workers), &|job, buffer| {
            let bytes = write::write(source, job, root, buffer, on_bytes)?;
            written.fetch_add(bytes, Ordering::Relaxed);
            Ok(())
        })?;
        // Those of files that were there too: who wrote them may have died before it synced the names.
        write::sync_directories(root, jobs)?;
        Ok(Unpacked {
            files: jobs.len(),
            bytes: jobs.iter().map(|job| job.file.size).sum(),
            bytes_written: bytes_written + written.into_inner(),
            reused_files: jobs.len() - missing.len(),
            found: None,
        })
    }
}

/// One file to write, and the layer it lies in.
#[derive(Clone, Copy, Debug)]
struct Job<'a> {
    file: &'a FileEntry,
    part: &'a Part,
    /// Whether the layer has to be read whole.
    is_staged: bool,
}

impl<'a> Job<'a> {
    fn layer(&self) -> &'a Descriptor {
        &self.part.layer
    }
}

/// Bytes of one write, where few threads write: each costs the system much the same, however large it is.
const MOST: usize = 4 * BUFFER;

/// How large a buffer is to be that `jobs` are written from.
fn most_bytes(jobs: &[Job<'_>], workers: usize) -> usize {
    let largest = jobs.iter().map(|job| job.file.size).max().unwrap_or(0);
    let most = if workers <= 4 { MOST } else { BUFFER };
    usize::try_from(largest).unwrap_or(most).clamp(1, most)
}

/// Does `work` on all of `jobs` with a number of threads, each with a buffer of `length` bytes, until one fails; answers
/// the first failure.
fn each<T: Sync>(
    workers: usize,
    jobs: &[T],
    length: usize,
    work: &(dyn Fn(&T, &mut Buffer) -> Result<(), UnpackError> + Sync),
) -> Result<(), UnpackError> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let run = || {
        let mut buffer = Buffer::new(length);
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(job, &mut buffer) {
                next.store(jobs.len(), Ordering::Relaxed);
                failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers.min(jobs.len()) {
            scope.spawn(run);
        }
        run();
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
