use modelkeep_core::{
    Tag,
    content::{self, Journal, Transaction},
};

use crate::{History, MalformedHistory, Name, Operation, Proposed, Recent, Standing, Verdict, Who, judge};

/// An exclusive change of a repository, and the history that it goes on from.
pub(crate) struct Change<'a> {
    pub(crate) transaction: Box<dyn Transaction + 'a>,
    pub(crate) history: History,
    recent: Option<Recent<'a>>,
}

impl<'a> Change<'a> {
    /// Begins a change, and finishes the one before it if whoever made that died.
    pub(crate) fn begin<E>(
        journal: &'a (impl Journal + ?Sized),
        recent: Option<Recent<'a>>,
    ) -> Result<Self, E>
    where
        E: From<MalformedHistory> + From<content::Error>,
    {
        let transaction = journal.begin()?;
        let history = match recent {
            Some(recent) => recent.take::<E>(&*transaction)?,
            None => History::verify(&transaction.entries(1)?)?,
        };
        let mut change = Self {
            transaction,
            history,
            recent,
        };
        change.finish_newest()?;
        Ok(change)
    }

    /// Ends the change. Its history is remembered, and must be what the journal has.
    pub(crate) fn remember(self) {
        if let Some(recent) = self.recent {
            recent.put(self.history);
        }
    }

    /// Makes the tag of the newest entry what the entry says.
    fn finish_newest(&mut self) -> content::Result<()> {
        let Some(tag) = self.history.newest() else {
            return Ok(());
        };
        let found = self.transaction.resolve(tag)?;
        match (self.history.manifest(tag), found) {
            (Some(manifest), Some(found)) if found.digest == manifest.digest => Ok(()),
            (Some(manifest), _) => self.transaction.set_tag(tag, manifest),
            (None, Some(_)) => self.transaction.remove_tag(tag),
            (None, None) => Ok(()),
        }
    }

    /// What stands under `tag`: what the history says, else what the tag says.
    pub(crate) fn standing(&self, tag: &Tag) -> content::Result<Option<Standing>> {
        if let Some(publication) = self.history.version(tag) {
            return Ok(Some(Standing::from(&publication.publish)));
        }
        let found = self.transaction.resolve(tag)?;
        Ok(found.map(Standing::of))
    }

    /// The verdict of the rule on `proposed` where `standing` is.
    pub(crate) fn judge(&self, tag: &Tag, standing: Option<&Standing>, proposed: Proposed<'_>) -> Verdict {
        let name = match (standing, self.history.kept(tag)) {
            (Some(standing), _) => Name::Stands(standing.proposed()),
            (None, Some(kept)) => Name::Kept(&kept.digest),
            (None, None) => Name::Free,
        };
        judge(self.transaction.mutability(), tag, name, proposed)
    }

    /// Adds an entry, and makes the tag what it says. Names of the protocol have no history.
    pub(crate) fn perform(&mut self, tag: &Tag, who: Who, operation: Operation) -> content::Result<()> {
        let manifest = match &operation {
            Operation::Delete(_) => None,
            other => Some(other.manifest().clone()),
        };
        if !tag.is_reserved() {
            let entry = self.history.push(tag, who.time, who.author, operation);
            self.transaction.append(self.history.height(), &entry)?;
        }
        match manifest {
            Some(manifest) => self.transaction.set_tag(tag, &manifest),
            None => self.transaction.remove_tag(tag),
        }
    }
}
