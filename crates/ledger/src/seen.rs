use crate::{EntryId, History, Written};

/// How much of a history somebody has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its first entry: what it is called, wherever it lies.
    pub identity: EntryId,
    /// How many entries it had.
    pub height: u64,
    /// The newest of them.
    pub head: EntryId,
}

/// Why a history is not one that was seen before, with nothing but more entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Entries that were there are gone.
    #[error(
        "the history has {found} entries, and {seen} of it have been seen: the newer ones have been taken away"
    )]
    Older {
        /// How many there were.
        seen: u64,
        /// How many there are.
        found: u64,
    },
    /// Another entry than the one that was there, of the same history.
    #[error(
        "there are two histories: one has entry {seen} at height {height}, which has been seen, the other {found}"
    )]
    Forked {
        /// Number of the entry.
        height: u64,
        /// What was seen.
        seen: EntryId,
        /// What is there.
        found: EntryId,
    },
    /// A history that began otherwise.
    #[error("this is the history {found}, and the one that was here before is {seen}")]
    Another {
        /// Identity of the one that was seen.
        seen: EntryId,
        /// Identity of the one that is there.
        found: EntryId,
    },
}

impl Seen {
    /// All of `history`; `None` while it has no entry.
    #[must_use]
    pub fn of(history: &History) -> Option<Self> {
        Some(Self {
            identity: history.identity()?.clone(),
            height: history.height(),
            head: history.head()?.clone(),
        })
    }

    /// Whether the history of `entries`, the oldest first from height 1, is what was seen, with more entries at most.
    /// That each of them follows the one before it is for the caller to verify.
    ///
    /// # Errors
    /// See [`Conflict`].
    pub fn check(&self, entries: &[Vec<u8>]) -> Result<(), Conflict> {
        let found = entries.len() as u64;
        let at = |height: u64| {
            let at = usize::try_from(height.checked_sub(1)?).ok()?;
            entries.get(at).map(|bytes| Written::id_of(bytes))
        };
        let seen = self.identity.clone();
        match at(1) {
            Some(found) if found != seen => return Err(Conflict::Another { seen, found }),
            _ => {}
        }
        // An entry names the one before it: where this one is, all before it are.
        match at(self.height) {
            Some(head) if head == self.head => Ok(()),
            Some(head) => Err(Conflict::Forked {
                height: self.height,
                seen: self.head.clone(),
                found: head,
            }),
            None => Err(Conflict::Older {
                seen: self.height,
                found,
            }),
        }
    }
}

/// The first height at which two histories have different entries; `None` while one begins with the other.
#[must_use]
pub fn fork(one: &[Vec<u8>], other: &[Vec<u8>]) -> Option<u64> {
    let same = |(a, b): (&Vec<u8>, &Vec<u8>)| a == b || Written::id_of(a) == Written::id_of(b);
    let pairs = one.iter().zip(other);
    let at = pairs.map(same).position(|same| !same)?;
    Some(at as u64 + 1)
}
