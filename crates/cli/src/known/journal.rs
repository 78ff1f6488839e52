use modelkeep_core::{
    Descriptor, Digest, Mutability, Tag,
    content::{Journal, Names, Result, Transaction},
};
use modelkeep_ledger::History;

use super::{Error, Known};

/// The history of a registry, held against what has been seen of it: whatever is read has been verified and is
/// remembered then, and so is what is added.
pub(crate) struct Remembering<'a> {
    journal: Box<dyn Journal + 'a>,
    known: Known,
}

impl<'a> Remembering<'a> {
    pub(crate) fn new(journal: Box<dyn Journal + 'a>, known: Known) -> Self {
        Self { journal, known }
    }

    /// The history as it is now.
    pub(crate) fn history(&self) -> std::result::Result<History, Error> {
        self.known.accept(self.journal.entries(1)?)
    }

    fn accept(&self, entries: Vec<Vec<u8>>, from: u64) -> Result<Vec<Vec<u8>>> {
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        let asked = entries.iter().skip(skipped).cloned().collect();
        self.known.accept(entries)?;
        Ok(asked)
    }
}

impl Journal for Remembering<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.accept(self.journal.entries(1)?, from)
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        Ok(Box::new(Change {
            transaction: self.journal.begin()?,
            remembering: self,
        }))
    }
}

struct Change<'a> {
    transaction: Box<dyn Transaction + 'a>,
    remembering: &'a Remembering<'a>,
}

impl Journal for Change<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.remembering.accept(self.transaction.entries(1)?, from)
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
        Ok(self.remembering.known.added(height, entry)?)
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
