//! The ports: how an end of a transfer offers bytes, takes bytes, and keeps names and history.
//!
//! They are blocking. The hot path of Modelkeep is *read, hash, write*, and threads do that with the least work; an
//! end that needs an asynchronous library runs it behind its own face.
//!
//! Whoever moves bytes hashes them, once, and hands the [`Hashed`] result to [`Sink::commit`]; an end never hashes
//! again what was hashed on the way to it, and never accepts what nobody hashed.

mod arrival;
mod manifests;

use std::io::{self, Read};

pub use arrival::Arrival;
pub use manifests::Manifests;

use crate::{Algorithm, ByteRange, Descriptor, Digest, Hashed, Hasher, Limits, Mutability, RepoName, Tag};

/// What an end answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an end could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The end does not hold it.
    #[error("{what} is not in {place}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// Where it was looked for.
        place: String,
    },
    /// What is kept, or what arrived, is not what its digest says.
    #[error("{what} is damaged: expected {expected}, found {found}")]
    Damaged {
        /// What was read or written.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Something that follows no known format, or a newer one.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It stays, because something else needs it.
    #[error("{what} is needed by {by}")]
    InUse {
        /// What was to be removed.
        what: String,
        /// What needs it.
        by: String,
    },
    /// Somebody else changed it first. What was to be done is to be judged anew.
    #[error("somebody else has changed {what} in the meantime")]
    Overtaken {
        /// What was to be changed.
        what: String,
    },
    /// It contradicts itself, or what was seen of it before: of two accounts one at most is true.
    #[error("{what} contradicts itself: {how}")]
    Conflict {
        /// What was read.
        what: String,
        /// Where the accounts part.
        how: String,
        /// The bytes that show it.
        evidence: Vec<Vec<u8>>,
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

impl Error {
    /// An I/O error and what was being done: `cannot {doing}`.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Something that is not what its digest says.
    pub fn damaged(what: impl Into<String>, expected: &Digest, found: impl ToString) -> Self {
        Self::Damaged {
            what: what.into(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}

/// Where blobs come from.
pub trait Source: Sync {
    /// Opens `range` of the blob. The reader ends after `range.length` bytes or fails; what it gives has not been
    /// verified.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the end does not hold the blob; [`Error::Io`].
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>>;

    /// Reads a small blob whole and verifies its digest.
    ///
    /// # Errors
    /// As [`Source::open`]; [`Error::Damaged`] when the bytes are not the digest's; [`Error::Malformed`] when the
    /// descriptor says more than `limit` bytes.
    fn fetch(&self, blob: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let what = blob.digest.to_string();
        if blob.size > limit {
            return Err(Error::Malformed {
                reason: format!(
                    "it has {} bytes, and {limit} are the most that is read",
                    blob.size
                ),
                what,
            });
        }
        let range = ByteRange {
            offset: 0,
            length: blob.size,
        };
        let mut bytes = Vec::new();
        self.open(blob, range)?
            .take(blob.size)
            .read_to_end(&mut bytes)
            .map_err(Error::io(format!("read {what}")))?;
        let found = Digest::of_with(blob.digest.algorithm(), &bytes);
        if found != blob.digest {
            return Err(Error::damaged(what, &blob.digest, found));
        }
        Ok(bytes)
    }
}

/// What a target still needs of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It has the blob.
    Nothing,
    /// It needs the bytes from this offset on; 0 is all of them.
    From(u64),
}

/// What is about to be written.
#[derive(Clone, Debug)]
pub enum Expect<'a> {
    /// A blob whose digest is known; anything else fails at the commit.
    Known(&'a Descriptor),
    /// A blob that is hashed while it is written.
    Unknown {
        /// Its size in bytes.
        size: u64,
    },
}

impl Expect<'_> {
    /// Size of the blob in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Known(descriptor) => descriptor.size,
            Self::Unknown { size } => *size,
        }
    }
}

/// Where blobs go.
pub trait Target: Sync {
    /// What the end can hold.
    fn limits(&self) -> Limits;

    /// What the end still needs of `blob`. [`Need::Nothing`] is a promise: the blob is there, durably, for whoever
    /// reads from this end.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn need(&self, blob: &Descriptor) -> Result<Need>;

    /// Begins to write a blob. Nothing is visible before [`Sink::commit`].
    ///
    /// # Errors
    /// [`Error::Io`].
    fn begin<'a>(&'a self, expect: Expect<'_>) -> Result<Box<dyn Sink + 'a>>;

    /// Writes a small blob whole, unless the end has it.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        let hashed = hasher.finish();
        let descriptor = Descriptor::new(media_type, &hashed);
        if self.need(&descriptor)? != Need::Nothing {
            let mut sink = self.begin(Expect::Known(&descriptor))?;
            sink.write(0, bytes)?;
            sink.commit(&hashed)?;
        }
        Ok(descriptor)
    }
}

/// A blob being written. Dropping it without a commit leaves nothing.
pub trait Sink: Send {
    /// Writes bytes at their place. Every byte is written exactly once.
    ///
    /// A write whose address in memory, offset and length are multiples of 4,096 may go past the page cache, which
    /// costs a tenth of the processor time; [`crate::Buffer`] is so aligned.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a byte lies past the end or was written before; [`Error::Io`].
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the blob durable and visible. `hashed` is what the caller hashed on the way.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not what was expected or not all was written; [`Error::Io`].
    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()>;
}

/// The tags of a repository.
pub trait Names: Sync {
    /// What `tag` points at.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>>;

    /// All tags, in byte order.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn tags(&self) -> Result<Vec<Tag>>;
}

/// The history of a repository as an end keeps it: entries numbered from 1 without a gap, only ever added to.
pub trait Journal: Sync {
    /// The entries from height `from` on, oldest first.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>>;

    /// The height up to which signatures need not be verified again, because they were before the entries came to
    /// where they are now. What lies on the user's own disk is as the user's own processes left it.
    fn verified(&self) -> u64;

    /// Begins a change of names and history. It ends when it is dropped, or when the process dies. No other process
    /// can interleave with it, or else [`Transaction::append`] says that one has.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the repository does not exist; [`Error::Io`], also within a change.
    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>>;
}

/// Histories, found by the name of their repository.
pub trait Journals {
    /// The history of the repository `name`, if there is one of that name.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    fn journal<'a>(&'a self, name: &RepoName) -> Result<Option<Box<dyn Journal + 'a>>>;
}

impl<T: Journals + ?Sized> Journals for &T {
    fn journal<'a>(&'a self, name: &RepoName) -> Result<Option<Box<dyn Journal + 'a>>> {
        (**self).journal(name)
    }
}

/// An exclusive change of one repository's names and history.
pub trait Transaction: Names + Journal {
    /// Which tags may move.
    fn mutability(&self) -> &Mutability;

    /// Whether the end itself makes every tag what the history says. There is nothing to learn from a tag then, and
    /// nothing to do about one.
    fn keeps_tags(&self) -> bool {
        false
    }

    /// The descriptor of a manifest of the repository, if it is one.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>>;

    /// Makes stored bytes a manifest of the repository.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the manifest, or a blob or manifest that it needs, is not here; what a manifest is
    /// about (`subject`), and layers that are to be had elsewhere (`urls`), it does not need.
    /// [`Error::Malformed`] when the bytes are no manifest of that media type.
    fn admit(&mut self, manifest: &Descriptor) -> Result<()>;

    /// Adds the entry at `height`, which must be the one after the last, durably.
    ///
    /// # Errors
    /// [`Error::Overtaken`] when somebody else has added an entry since the change began; [`Error::Io`], also when
    /// the height would leave a gap.
    fn append(&mut self, height: u64, entry: &[u8]) -> Result<()>;

    /// Points `tag` at a manifest, durably.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the repository has no such manifest; [`Error::Io`].
    fn set_tag(&mut self, tag: &Tag, manifest: &Descriptor) -> Result<()>;

    /// Removes `tag`, durably. It is no error when it is not there.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn remove_tag(&mut self, tag: &Tag) -> Result<()>;

    /// All manifests of the repository, in the order of their digests.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    fn manifests(&self) -> Result<Vec<Descriptor>>;

    /// An index of the repository that lists the manifest, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`], and whatever keeps an index from being read: an index that nobody can read may list it.
    fn listed_by(&self, manifest: &Digest) -> Result<Option<Digest>>;

    /// Makes a manifest one of the repository no longer, durably; its bytes stay where they are. It is no error when
    /// it is none. Nothing may point at it or list it any more, which the caller has seen to.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn withdraw(&mut self, manifest: &Digest) -> Result<()>;
}
