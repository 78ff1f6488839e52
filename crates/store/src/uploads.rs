//! Blobs that arrive over many requests, maybe through many processes.
//!
//! An upload is a directory: the bytes, and a record of how many of them count and of the hash up to there. Whoever
//! writes holds a lock on the bytes; it ends with the process, and the next one goes on from the record.

mod buffers;
mod writing;

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::SystemTime,
};

pub(crate) use buffers::Buffers;
use modelkeep_core::{
    Digest, RepoName,
    content::{Error, Result},
    sha256::Sha256,
};
use modelkeep_disk::publish;
use serde::{Deserialize, Serialize};
pub use writing::Writing;

use crate::{Repository, Store, keys::Keys, records};

/// The name of an upload: 32 hexadecimal digits that nobody guesses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

/// A text that names no upload.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an upload is named by 32 lower-case hexadecimal digits")]
pub struct InvalidUploadId;

impl UploadId {
    fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(hex(&bytes)))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(digits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidUploadId)
        }
    }
}

/// Why an upload does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Somebody else writes to it, in this process or another.
    #[error("somebody else is writing to the upload")]
    Busy,
    /// It was finished, cancelled or swept.
    #[error("the upload is no more")]
    Gone,
    /// What arrived is not the blob that it was to be. The upload is no more.
    #[error("the upload was to be {expected}, and is {found}")]
    Digest {
        /// What it was to be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The store refused.
    #[error(transparent)]
    Content(#[from] Error),
}

/// What `state` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    repository: RepoName,
    offset: u64,
    sha256: String,
    begun: String,
    /// How much the last save had more than the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    /// The least of what saves before the last had more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    least: Option<u64>,
}

/// An upload into a repository, as it was when it was looked up.
#[derive(Clone, Debug)]
pub struct Upload {
    repository: Repository,
    id: UploadId,
    place: Place,
    state: State,
}

/// What [`Store::sweep_uploads`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of uploads.
    pub uploads: u64,
    /// Bytes that they had on the disk.
    pub bytes: u64,
}

/// The files of an upload.
#[derive(Clone, Debug)]
struct Place {
    directory: PathBuf,
}

impl Place {
    fn new(keys: &Keys, id: &str) -> Self {
        Self {
            directory: keys.uploads().join(id),
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// What the record says; `None` where there is none, or where a power cut left an empty one.
    fn read(&self) -> Result<Option<State>> {
        match records::size(&self.state())? {
            None | Some(0) => Ok(None),
            Some(_) => records::read(&self.state()),
        }
    }

    /// Locks the bytes, unless somebody else writes them.
    fn lock(&self) -> std::result::Result<File, UploadError> {
        let path = self.data();
        let io = || Error::io(format!("write {}", path.display()));
        let file = match File::options().read(true).write(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(UploadError::Gone),
            file => file.map_err(io())?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(UploadError::Busy),
            Err(fs::TryLockError::Error(error)) => return Err(io()(error).into()),
        }
        // Whoever held the lock may have made a blob of the file that was opened.
        let opened = file.metadata().map_err(io())?;
        match fs::metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (opened.dev(), opened.ino()) => Ok(file),
            Ok(_) => Err(UploadError::Gone),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(UploadError::Gone),
            Err(error) => Err(io()(error).into()),
        }
    }

    /// Removes the upload: first what makes it one.
    fn remove(&self) -> Result<()> {
        let absent = |result: io::Result<()>| match result {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        };
        absent(fs::remove_file(self.state()))
            .and_then(|()| absent(fs::remove_file(self.data())))
            .and_then(|()| absent(fs::remove_dir(&self.directory)))
            .map_err(Error::io(format!("remove {}", self.directory.display())))
    }

    /// When something last happened to the upload, and how many bytes it has.
    fn last_touched(&self) -> Result<Option<(SystemTime, u64)>> {
        let mut last = records::modified(&self.directory)?;
        for path in [self.data(), self.state()] {
            last = last.max(records::modified(&path)?);
        }
        let bytes = records::size(&self.data())?.unwrap_or(0);
        Ok(last.map(|last| (last, bytes)))
    }
}

impl Repository {
    /// Begins an upload. `begun` is the time, RFC 3339.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin_upload(&self, begun: &str) -> Result<Upload> {
        let io = || Error::io(format!("begin an upload in {}", self.store.uploads().display()));
        let state = State {
            repository: self.name().clone(),
            offset: 0,
            sha256: hex(&Sha256::new().export()),
            begun: begun.to_owned(),
            last: None,
            least: None,
        };
        let (id, place) = loop {
            publish::create_directories(&self.store.uploads()).map_err(io())?;
            let id = UploadId::random().map_err(io())?;
            let place = Place::new(&self.store, &id.0);
            // Not synced: what a power cut takes of an upload without bytes is no loss.
            let made = fs::create_dir(&place.directory)
                .and_then(|()| File::create_new(place.data()))
                .and_then(|_| fs::write(place.state(), records::json(&state)));
            match made {
                Ok(()) => break (id, place),
                // A sweep without grace took the new directory for an old one.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io()(error)),
            }
        };
        Ok(Upload {
            repository: self.clone(),
            id,
            place,
            state,
        })
    }

    /// The upload `id` into this repository, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when its record is.
    pub fn upload(&self, id: &UploadId) -> Result<Option<Upload>> {
        let place = Place::new(&self.store, &id.0);
        let state = place.read()?.filter(|state| state.repository == *self.name());
        if state.is_none() || records::size(&place.data())?.is_none() {
            return Ok(None);
        }
        Ok(state.map(|state| Upload {
            repository: self.clone(),
            id: id.clone(),
            place,
            state,
        }))
    }
}

impl Upload {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &UploadId {
        &self.id
    }

    /// How many bytes have arrived and are on the disk: where the next ones go.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.state.offset
    }

    /// When it was begun, RFC 3339, as whoever began it said.
    #[must_use]
    pub fn begun(&self) -> &str {
        &self.state.begun
    }

    /// Size in bytes of the smallest part but the last, where there is more than one: a part is what one
    /// [save](Writing::save) added.
    #[must_use]
    pub fn smallest_part(&self) -> Option<u64> {
        self.state.least
    }

    /// Goes on with the upload, at the offset that it has now, alone among all processes.
    ///
    /// # Errors
    /// [`UploadError::Busy`], [`UploadError::Gone`], [`UploadError::Content`].
    pub fn lock(&self) -> std::result::Result<Writing, UploadError> {
        let file = self.place.lock()?;
        // Whoever held the lock may have gone on.
        let state = self.place.read()?.ok_or(UploadError::Gone)?;
        Writing::new(
            Self {
                state,
                ..self.clone()
            },
            file,
        )
    }

    /// Ends the upload; what has arrived is removed.
    ///
    /// # Errors
    /// As [`Upload::lock`].
    pub fn cancel(&self) -> std::result::Result<(), UploadError> {
        let _file = self.place.lock()?;
        Ok(self.place.remove()?)
    }
}

impl Store {
    /// Removes the uploads to which nothing has happened since `cutoff`, and that nobody writes to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sweep_uploads(&self, cutoff: SystemTime) -> Result<Swept> {
        self.each_stale_upload(cutoff, |place| match place.lock() {
            Ok(_) | Err(UploadError::Gone) => place.remove().map(|()| true),
            Err(UploadError::Content(error)) => Err(error),
            Err(_) => Ok(false),
        })
    }

    /// What [`Store::sweep_uploads`] would remove.
    pub(crate) fn stale_uploads(&self, cutoff: SystemTime) -> Result<Swept> {
        self.each_stale_upload(cutoff, |_| Ok(true))
    }

    fn each_stale_upload(
        &self,
        cutoff: SystemTime,
        counts: impl Fn(&Place) -> Result<bool>,
    ) -> Result<Swept> {
        let mut swept = Swept::default();
        for name in records::list(&self.keys.uploads())? {
            if name.parse::<UploadId>().is_err() {
                continue;
            }
            let place = Place::new(&self.keys, &name);
            match place.last_touched()? {
                Some((last, bytes)) if last <= cutoff && counts(&place)? => {
                    swept.uploads += 1;
                    swept.bytes += bytes;
                }
                _ => {}
            }
        }
        Ok(swept)
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of [`hex`].
fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The hash that a record of `path` says, which must be that of its first `offset` bytes.
fn resume(path: &Path, state: &State) -> Result<Sha256> {
    let bytes =
        unhex(&state.sha256).ok_or_else(|| records::malformed(path, "its hash is not hexadecimal"))?;
    match Sha256::import(&bytes) {
        Ok(hasher) if hasher.length() == state.offset => Ok(hasher),
        Ok(_) => Err(records::malformed(path, "its hash is not that of its bytes")),
        Err(error) => Err(records::malformed(path, error)),
    }
}
