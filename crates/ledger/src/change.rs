use modelkeep_core::{
    Descriptor, Tag,
    content::{self, Journal, Transaction},
};

use crate::{
    History, Keys, MalformedHistory, Name, Operation, Proposed, Recent, Signatures, Standing, Unauthorized,
    Verdict, Who, judge,
};

/// How often a change is judged anew because somebody else was faster: with each time one of the others is done.
const ATTEMPTS: u32 = 100;

/// An error that says whether somebody else was faster.
pub(crate) trait Overtaken {
    fn is_overtaken(&self) -> bool;
}

/// For the errors of changes, which all wrap what the end says.
macro_rules! overtaken {
    ($($error:ident),*) => {$(
        impl $crate::change::Overtaken for $error {
            fn is_overtaken(&self) -> bool {
                matches!(self, Self::Content(modelkeep_core::content::Error::Overtaken { .. }))
            }
        }
    )*};
}
pub(crate) use overtaken;

/// Does `change`, again for as long as others are faster.
pub(crate) fn in_turn<T, E: Overtaken>(mut change: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..ATTEMPTS {
        match change() {
            Err(error) if error.is_overtaken() => {}
            result => return result,
        }
    }
    change()
}

/// Reads the history that `journal` keeps, and verifies what was not verified before it came there.
pub(crate) fn history<E>(journal: &(impl Journal + ?Sized)) -> Result<History, E>
where
    E: From<MalformedHistory> + From<content::Error>,
{
    let entries = journal.entries(1)?;
    Ok(history_of(journal, &entries)?)
}

/// The history that all of its entries make, as [`history`].
pub(crate) fn history_of(
    journal: &(impl Journal + ?Sized),
    entries: &[Vec<u8>],
) -> Result<History, MalformedHistory> {
    let verified = usize::try_from(journal.verified()).unwrap_or(usize::MAX);
    let (trusted, new) = entries.split_at(verified.min(entries.len()));
    let mut history = History::read(trusted, Signatures::Trust)?;
    history.extend(new, Signatures::Verify)?;
    Ok(history)
}

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
            None => history::<E>(&*transaction)?,
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
        let Some(tag) = self.history.newest().filter(|_| !self.transaction.keeps_tags()) else {
            return Ok(());
        };
        let found = self.transaction.resolve(tag)?;
        match (self.history.manifest(tag), found) {
            (Some(manifest), Some(found)) if found.digest == manifest.digest => Ok(()),
            (Some(manifest), _) => match self.transaction.set_tag(tag, manifest) {
                // Somebody has taken the manifest away, which must not end all publishing.
                Err(content::Error::NotFound { .. }) => Ok(()),
                set => set,
            },
            (None, Some(_)) => self.transaction.remove_tag(tag),
            (None, None) => Ok(()),
        }
    }

    /// What stands under `tag`: what the history says, else what the tag says.
    pub(crate) fn standing(&self, tag: &Tag) -> content::Result<Option<Standing>> {
        if let Some(publication) = self.history.version(tag) {
            return Ok(Some(Standing::from(&publication.publish)));
        }
        let found = match self.transaction.keeps_tags() {
            true => self.history.manifest(tag).cloned(),
            false => self.transaction.resolve(tag)?,
        };
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

    /// Makes sure that `who` may add the entries that a change of these names needs, before any of it is done.
    pub(crate) fn authorize<'t>(
        &self,
        who: &Who,
        tags: impl IntoIterator<Item = &'t Tag>,
    ) -> Result<(), Unauthorized> {
        match tags.into_iter().any(|tag| !tag.is_reserved()) {
            true => self.history.admits(who),
            false => Ok(()),
        }
    }

    /// Adds an entry about `tag`, and makes the tag what it says. Names of the protocol have no history.
    pub(crate) fn perform<E>(&mut self, tag: &Tag, who: &Who, operation: Operation) -> Result<(), E>
    where
        E: From<Unauthorized> + From<content::Error>,
    {
        let manifest = after(&operation).cloned();
        if !tag.is_reserved() {
            let entry = self.history.push(Some(tag), who, None, operation)?;
            self.transaction.append(self.history.height(), &entry)?;
        }
        Ok(self.set(tag, manifest.as_ref())?)
    }

    /// Makes `tag` what an entry about it says.
    pub(crate) fn set(&mut self, tag: &Tag, manifest: Option<&Descriptor>) -> content::Result<()> {
        match manifest {
            _ if self.transaction.keeps_tags() => Ok(()),
            Some(manifest) => self.transaction.set_tag(tag, manifest),
            None => self.transaction.remove_tag(tag),
        }
    }

    /// Adds an entry about the history itself, after which it has the keys `keys`, or those that it has.
    pub(crate) fn note<E>(&mut self, who: &Who, keys: Option<&Keys>, operation: Operation) -> Result<(), E>
    where
        E: From<Unauthorized> + From<content::Error>,
    {
        let entry = self.history.push(None, who, keys, operation)?;
        Ok(self.transaction.append(self.history.height(), &entry)?)
    }
}

/// The manifest that a name has after an operation about it.
pub(crate) fn after(operation: &Operation) -> Option<&Descriptor> {
    match operation {
        Operation::Delete(_) => None,
        other => other.manifest(),
    }
}
