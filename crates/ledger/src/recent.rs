use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use modelkeep_core::{
    Descriptor, RepoName, Tag,
    content::{self, Journal},
};

use crate::{History, MalformedHistory, Signatures, Written, change, change::Change};

/// Entries that are remembered, of all repositories together: below a kilobyte each.
const MOST: u64 = 20_000;

/// Histories as a process last knew them, so that it reads only what is new.
///
/// What is remembered counts only if the journal still has its newest entry: an entry names the one before it by digest,
/// so that the same entry has the same history.
#[derive(Debug, Default)]
pub struct Histories {
    kept: Mutex<HashMap<RepoName, History>>,
}

/// What is remembered of one repository.
#[derive(Clone, Copy, Debug)]
pub struct Recent<'a> {
    histories: &'a Histories,
    repository: &'a RepoName,
}

impl Histories {
    /// What is remembered of `repository`.
    #[must_use]
    pub fn of<'a>(&'a self, repository: &'a RepoName) -> Recent<'a> {
        Recent {
            histories: self,
            repository,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RepoName, History>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent<'_> {
    /// The manifest that `name`, a version or an alias, has by the history, if it has one. The tag of a name whose
    /// publisher died before it wrote the tag is written now.
    ///
    /// # Errors
    /// What the journal says, or what is broken.
    pub fn look_up<E>(self, journal: &(impl Journal + ?Sized), name: &Tag) -> Result<Option<Descriptor>, E>
    where
        E: From<MalformedHistory> + From<content::Error>,
    {
        let history = self.take::<E>(journal)?;
        let found = history.manifest(name).cloned();
        let is_newest = history.newest() == Some(name);
        self.put(history);
        if found.is_none() || !is_newest {
            return Ok(found);
        }
        // A disk that takes nothing more keeps nobody from reading.
        let Ok(change) = Change::begin::<E>(journal, Some(self)) else {
            return Ok(found);
        };
        let found = change.history.manifest(name).cloned();
        change.remember();
        Ok(found)
    }

    /// The history as the journal has it now.
    pub(crate) fn take<E>(self, journal: &(impl Journal + ?Sized)) -> Result<History, E>
    where
        E: From<MalformedHistory> + From<content::Error>,
    {
        let kept = self.histories.lock().remove(self.repository);
        if let Some(mut history) = kept
            && let Some(head) = history.head()
        {
            let entries = journal.entries(history.height())?;
            if entries
                .first()
                .is_some_and(|bytes| Written::id_of(bytes) == *head)
            {
                history.extend(&entries[1..], Signatures::Verify)?;
                return Ok(history);
            }
        }
        change::history(journal)
    }

    pub(crate) fn put(self, history: History) {
        let mut kept = self.histories.lock();
        kept.remove(self.repository);
        let others: u64 = kept.values().map(History::height).sum();
        if others + history.height() > MOST {
            drop(mem::take(&mut *kept));
        }
        if history.height() <= MOST {
            kept.insert(self.repository.clone(), history);
        }
    }
}
