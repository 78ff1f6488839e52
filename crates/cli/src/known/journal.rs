use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use modelkeep_core::{
    Descriptor, Digest, Host, Mutability, RepoName, Tag,
    content::{Journal, Names, Result, Transaction},
};
use modelkeep_ledger::History;

use super::{Error, Known};

/// Opens the history of a registry, of which some is known.
type Open = dyn Fn(&Known) -> std::result::Result<Box<dyn Journal + Send>, Error> + Send + Sync;

/// The history of a registry, held against what has been seen of it: whatever is read has been verified and is
/// remembered then, and so is what is added. Neither is asked before it is needed.
pub(crate) struct Remembering {
    store: PathBuf,
    host: Host,
    name: RepoName,
    open: Box<Open>,
    opened: OnceLock<Opened>,
}

struct Opened {
    journal: Box<dyn Journal + Send>,
    known: Known,
}

impl Remembering {
    pub(crate) fn new(store: &Path, host: &Host, name: &RepoName, open: Box<Open>) -> Self {
        Self {
            store: store.to_owned(),
            host: host.clone(),
            name: name.clone(),
            open,
            opened: OnceLock::new(),
        }
    }

    fn opened(&self) -> std::result::Result<&Opened, Error> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let known = Known::recall(&self.store, &self.host, &self.name)?;
        let journal = (self.open)(&known)?;
        Ok(self.opened.get_or_init(|| Opened { journal, known }))
    }

    /// The history as it is now.
    pub(crate) fn history(&self) -> std::result::Result<History, Error> {
        let opened = self.opened()?;
        opened.accept(opened.journal.entries(1))
    }

    /// What has been seen of it.
    pub(crate) fn known(&self) -> std::result::Result<&Known, Error> {
        Ok(&self.opened()?.known)
    }
}

impl Opened {
    fn accept(&self, read: Result<Vec<Vec<u8>>>) -> std::result::Result<History, Error> {
        match read {
            Ok(entries) => self.known.accept(entries),
            Err(error) => Err(self.known.disputed(error)),
        }
    }

    fn entries(&self, read: Result<Vec<Vec<u8>>>, from: u64) -> Result<Vec<Vec<u8>>> {
        self.accept(read)?;
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(self.known.entries().into_iter().skip(skipped).collect())
    }
}

impl Journal for Remembering {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        let opened = self.opened()?;
        opened.entries(opened.journal.entries(1), from)
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        let opened = self.opened()?;
        let transaction = opened.journal.begin();
        Ok(Box::new(Change {
            transaction: transaction.map_err(|error| opened.known.disputed(error))?,
            opened,
        }))
    }
}

struct Change<'a> {
    transaction: Box<dyn Transaction + 'a>,
    opened: &'a Opened,
}

impl Journal for Change<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.opened.entries(self.transaction.entries(1), from)
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        self.transaction.begin()
    }
}

impl Names for Change<'_> {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        self.transaction.resolve(tag)
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        self.transaction.tags()
    }
}

impl Transaction for Change<'_> {
    fn mutability(&self) -> &Mutability {
        self.transaction.mutability()
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        self.transaction.manifest(digest)
    }

    fn admit(&mut self, manifest: &Descriptor) -> Result<()> {
        self.transaction.admit(manifest)
    }

    fn append(&mut self, height: u64, entry: &[u8]) -> Result<()> {
        self.transaction.append(height, entry)?;
        // The registry has it now: nobody shall be told that it has not.
        Ok(self.opened.known.added(height, entry)?)
    }

    fn set_tag(&mut self, tag: &Tag, manifest: &Descriptor) -> Result<()> {
        self.transaction.set_tag(tag, manifest)
    }

    fn remove_tag(&mut self, tag: &Tag) -> Result<()> {
        self.transaction.remove_tag(tag)
    }

    fn manifests(&self) -> Result<Vec<Descriptor>> {
        self.transaction.manifests()
    }

    fn listed_by(&self, manifest: &Digest) -> Result<Option<Digest>> {
        self.transaction.listed_by(manifest)
    }

    fn withdraw(&mut self, manifest: &Digest) -> Result<()> {
        self.transaction.withdraw(manifest)
    }
}
