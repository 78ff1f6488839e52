use modelkeep_core::{
    Descriptor, Digest, Mutability, Tag,
    content::{Journal, Names, Result, Transaction},
};
use modelkeep_ledger::History;

use super::{Error, Known};

/// A journal held against what has been seen of it: whatever is read has been verified and is remembered then, and so is
/// what is added.
impl Known {
    /// The history as `journal` has it now.
    pub(crate) fn read(&self, journal: &dyn Journal) -> std::result::Result<History, Error> {
        self.accept_read(journal.entries(1), journal.verified())
    }

    /// The entries of `journal` from the height `from` on.
    pub(crate) fn entries_of(&self, journal: &dyn Journal, from: u64) -> Result<Vec<Vec<u8>>> {
        self.checked(journal.entries(1), journal.verified(), from)
    }

    /// Begins a change of `journal`.
    pub(crate) fn begin<'a>(&'a self, journal: &'a dyn Journal) -> Result<Box<dyn Transaction + 'a>> {
        let transaction = journal.begin().map_err(|error| self.disputed(error))?;
        Ok(Box::new(Change {
            transaction,
            known: self,
        }))
    }

    fn accept_read(&self, read: Result<Vec<Vec<u8>>>, verified: u64) -> std::result::Result<History, Error> {
        match read {
            Ok(entries) => self.accept(entries, verified),
            Err(error) => Err(self.disputed(error)),
        }
    }

    fn checked(&self, read: Result<Vec<Vec<u8>>>, verified: u64, from: u64) -> Result<Vec<Vec<u8>>> {
        self.accept_read(read, verified)?;
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(self.entries().into_iter().skip(skipped).collect())
    }
}

struct Change<'a> {
    transaction: Box<dyn Transaction + 'a>,
    known: &'a Known,
}

impl Journal for Change<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.known
            .checked(self.transaction.entries(1), self.transaction.verified(), from)
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

    fn keeps_tags(&self) -> bool {
        self.transaction.keeps_tags()
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
        Ok(self.known.added(height, entry)?)
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
