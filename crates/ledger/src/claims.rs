//! A history on a registry that knows no histories, and has no compare-and-set.
//!
//! [`Claims`] keeps entries as manifests under tags ([`crate::claim`] names them and decides who wins a place) through
//! [`Manifests`], which every registry can do. Everything in [`crate`] that changes a history works on it as on any
//! other [`Journal`].

mod change;
mod document;
mod read;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use document::{Unfit, from_manifest, to_manifest};
use modelkeep_core::{
    Mutability, Tag,
    content::{Error, Journal, Manifests, Result, Transaction},
};
pub use read::Flaw;

use crate::{EntryId, History, MalformedHistory, Signatures, Written};

/// How a registry is treated.
#[derive(Clone)]
pub struct Pace {
    /// How long after its answer a write is in every list, for all that we assume.
    pub settle: Duration,
    /// Entries that are fetched at once.
    pub connections: usize,
    /// Waits.
    pub wait: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            settle, connections, ..
        } = self;
        write!(f, "Pace {{ settle: {settle:?}, connections: {connections} }}")
    }
}

/// A tag of the protocol that is not what it says. Somebody has written it who does not keep to the protocol; the history
/// does without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampered {
    /// The tag.
    pub tag: Tag,
    /// What is wrong with it.
    pub reason: String,
}

/// The history of one repository of a registry. What has been read is not read again.
#[derive(Debug)]
pub struct Claims<R> {
    registry: R,
    /// For messages.
    what: String,
    mutability: Mutability,
    pace: Pace,
    /// Entries that the registry must have, because they were seen there.
    remembered: usize,
    chain: Mutex<Arc<Chain>>,
    tampered: Mutex<Vec<Tampered>>,
}

/// A history and the bytes of its entries, all verified.
#[derive(Clone, Debug, Default)]
struct Chain {
    history: History,
    ids: Vec<EntryId>,
    entries: Vec<Vec<u8>>,
}

impl Chain {
    fn add(&mut self, entry: Vec<u8>, signatures: Signatures) -> std::result::Result<(), MalformedHistory> {
        self.history.extend(std::slice::from_ref(&entry), signatures)?;
        self.ids.extend(self.history.head().cloned());
        self.entries.push(entry);
        Ok(())
    }
}

impl<R: Manifests> Claims<R> {
    /// The history that `registry` keeps of its repository, which messages call `repository`. Nothing is asked yet.
    /// `mutability` says which tags may move, which the registry does not.
    #[must_use]
    pub fn new(registry: R, repository: &str, mutability: Mutability, pace: Pace) -> Self {
        Self {
            registry,
            what: format!("the history of {repository}"),
            mutability,
            pace,
            remembered: 0,
            chain: Mutex::default(),
            tampered: Mutex::default(),
        }
    }

    /// The same, where the first entries are `known`: verified before, and seen on this registry. They are not fetched,
    /// and a history without them is refused ([`Flaw::Forgotten`]).
    ///
    /// # Errors
    /// When they are no history.
    pub fn knowing(self, known: Vec<Vec<u8>>) -> std::result::Result<Self, MalformedHistory> {
        let mut chain = Chain::default();
        for entry in known {
            chain.add(entry, Signatures::Trust)?;
        }
        Ok(Self {
            remembered: chain.entries.len(),
            chain: Mutex::new(Arc::new(chain)),
            ..self
        })
    }

    /// What the last reading found that is not what its tag says.
    #[must_use]
    pub fn tampered(&self) -> Vec<Tampered> {
        lock(&self.tampered).clone()
    }

    /// The history as it was last read.
    fn chain(&self) -> Arc<Chain> {
        Arc::clone(&lock(&self.chain))
    }

    /// All tags; none where there is no repository yet.
    fn list(&self) -> Result<Vec<Tag>> {
        match self.registry.tags() {
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            tags => tags,
        }
    }

    /// Remembers an entry that has its place now. A list may not show it yet.
    fn learn(&self, after: &Chain, entry: &[u8]) {
        let mut chain = lock(&self.chain);
        if chain.ids == after.ids {
            let grown = Arc::make_mut(&mut chain).add(entry.to_vec(), Signatures::Trust);
            grown.expect("it was found to follow before it got its place");
        }
    }
}

/// What another thread left is whole: it is replaced at once.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Manifests> Journal for Claims<R> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        Ok(entries(&*self.read()?, from))
    }

    fn verified(&self) -> u64 {
        self.chain().history.height()
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        Ok(Box::new(change::Change::new(self, self.read()?)))
    }
}

fn entries(chain: &Chain, from: u64) -> Vec<Vec<u8>> {
    let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
    chain.entries.iter().skip(skipped).cloned().collect()
}

/// An entry and its bytes, or what is wrong with what is there in its place.
type Read = std::result::Result<(Written, Vec<u8>), Unfit>;

/// An entry that a tag points at, if it is the one that the tag names.
fn entry_under(registry: &impl Manifests, tag: &Tag, id: &EntryId) -> Result<Option<Read>> {
    let name = modelkeep_core::name::Target::Tag(tag.clone());
    let read = match registry.read(&name, document::MOST_MANIFEST) {
        Err(Error::Malformed { .. }) => return Ok(Some(Err(Unfit::NoEntry))),
        read => read?,
    };
    Ok(read.map(|(_, bytes)| match from_manifest(&bytes)? {
        (written, entry) if written.id == *id => Ok((written, entry)),
        (written, _) => Err(Unfit::Other(written.id)),
    }))
}
