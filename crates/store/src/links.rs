//! What lets a repository read a blob, and keeps the blob here.
//!
//! A link is an empty file. Whoever relies on one that is not new renews its time, and only what nobody has relied
//! on for long is collected. Links are made, renewed and removed under the lock of the shelf on which their blob
//! lies: shared to make and renew, alone to remove, so that a blob is never collected while it gets a link.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::Path,
    time::{Duration, SystemTime},
};

use modelkeep_core::{
    Digest,
    content::{Error, Result},
};
use modelkeep_disk::publish;

use crate::{Repository, needs::Needs, records, transaction::Change};

/// A link that is newer need not be renewed. Much shorter than any period of grace.
const FRESH: Duration = Duration::from_secs(60);

impl Repository {
    /// The size in bytes of a blob that the repository may read, if it is here. Whoever is told so can rely on it for
    /// the period of grace of a [collection](crate::Store::collect).
    ///
    /// Other than [`need`](modelkeep_core::content::Target::need), this links nothing that another repository has
    /// brought.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        if self.relies_on(digest)? {
            self.blobs.size(digest)
        } else {
            Ok(None)
        }
    }

    /// Lets this repository read a blob that `from` may read, and says whether it can now. Whether its reader may
    /// read from there is for the caller to decide.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn mount(&self, digest: &Digest, from: &Repository) -> Result<bool> {
        match from.has_blob(digest)? {
            Some(size) => self.adopt(digest, size),
            None => Ok(false),
        }
    }

    /// Takes the right to read a blob from the repository, and says whether it had it. The blob goes with the next
    /// collection, unless another repository has it.
    ///
    /// # Errors
    /// [`Error::InUse`] when a manifest of the repository needs it, or it is one; whatever keeps a manifest from being
    /// read; [`Error::Io`].
    pub fn unlink_blob(&self, digest: &Digest) -> Result<bool> {
        let _change = Change::begin(self)?;
        if let Some(by) = Needs::of(self)?.by(digest) {
            return Err(Error::InUse {
                what: digest.to_string(),
                by: format!("the manifest {by}"),
            });
        }
        let dropped = self.drop_link(digest, None)?;
        let path = self.keys.link(digest);
        publish::sync_parent(&path).map_err(Error::io(format!("remove {}", path.display())))?;
        Ok(dropped)
    }

    /// Whether there is a link that stays for a while.
    pub(crate) fn relies_on(&self, digest: &Digest) -> Result<bool> {
        let path = self.keys.link(digest);
        match records::modified(&path)? {
            None => Ok(false),
            Some(time) if !is_older(time, FRESH) => Ok(true),
            Some(_) => match self.blobs.share(digest)? {
                Some(_shelf) => renew(&path),
                None => Ok(false),
            },
        }
    }

    /// Links a blob of `size` bytes, if it is here, whoever brought it.
    pub(crate) fn adopt(&self, digest: &Digest, size: u64) -> Result<bool> {
        let Some(_shelf) = self.blobs.share(digest)? else {
            return Ok(false);
        };
        if self.blobs.size(digest)? != Some(size) {
            return Ok(false);
        }
        self.blobs.sync(digest)?;
        self.link(digest)?;
        Ok(true)
    }

    /// Lets the repository read a blob whose name is on the disk already: a link is a promise. The caller shares the
    /// shelf.
    pub(crate) fn link(&self, digest: &Digest) -> Result<()> {
        let path = self.keys.link(digest);
        let io = || Error::io(format!("write {}", path.display()));
        // An empty file is whole as soon as it is there.
        match File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => renew(&path).map(drop),
            made => made.and_then(|_| publish::sync_parent(&path)).map_err(io()),
        }
    }

    /// Removes a link that nobody has relied on since `cutoff`, or however young it is. The caller holds the repository's lock.
    /// Not synced: a link that a power cut brings back is collected again, and says nothing without its blob.
    pub(crate) fn drop_link(&self, digest: &Digest, cutoff: Option<SystemTime>) -> Result<bool> {
        let path = self.keys.link(digest);
        let _shelf = self.blobs.lock(digest)?;
        let time = records::modified(&path)?;
        if time.is_none_or(|time| cutoff.is_some_and(|cutoff| time > cutoff)) {
            return Ok(false);
        }
        fs::remove_file(&path).map_err(Error::io(format!("remove {}", path.display())))?;
        Ok(true)
    }
}

fn is_older(time: SystemTime, age: Duration) -> bool {
    // A time to come is that of another clock, and not old.
    time.elapsed().is_ok_and(|elapsed| elapsed > age)
}

/// Makes a link as young as can be, and says whether it is there.
fn renew(path: &Path) -> Result<bool> {
    let renewed = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        file => file.and_then(|file| file.set_modified(SystemTime::now())),
    };
    match renewed {
        // Then nobody collects here, or somebody else's link is what it is: `admit` looks again.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
            ) => {}
        renewed => renewed.map_err(Error::io(format!("renew {}", path.display())))?,
    }
    Ok(true)
}
