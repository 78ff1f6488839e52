//! Who may add an entry to a history.

use super::{History, MalformedHistory, Signatures};
use crate::{
    Founds, Keys, Operation, Seal, Unauthorized, Who, Written,
    entry::Entry,
    signing::{Bundle, KeyId},
};

/// By what right an entry is in a history.
#[derive(Debug, Default)]
pub(crate) struct Authority {
    /// The key that signed it.
    pub(super) signer: Option<KeyId>,
    /// The keys that the history has after it, if they change.
    pub(super) keys: Option<Keys>,
}

impl History {
    /// Whether somebody who may add to the history now made this, wherever it belongs: what anybody can write says
    /// nothing against a history that is signed.
    pub(crate) fn vouches(&self, written: &Written) -> bool {
        match &written.bundle {
            Some(bundle) if !self.keys.is_empty() => {
                let mut listed = self.keys.listed().iter();
                listed.any(|listed| bundle.verify(&listed.key).is_ok())
            }
            _ => {
                // A first entry says nothing of the history that it founds.
                let entry = &written.entry;
                let is_ours = entry.height() == 1 || entry.history() == self.first.as_ref();
                self.keys.is_empty() && is_ours
            }
        }
    }

    /// What an entry by `who` is signed with, which changes keys or not.
    pub(super) fn seal<'w>(&self, who: &'w Who, changes_keys: bool) -> Option<&'w Seal> {
        let is_left_to_others = self.keys.is_empty() && self.height > 0 && !changes_keys;
        let seal = who.seal.as_ref();
        seal.filter(|seal| !is_left_to_others || seal.founds() == Founds::Any)
    }

    /// Whether an entry that `who` adds is signed.
    #[must_use]
    pub fn is_signed_by(&self, who: &Who) -> bool {
        self.seal(who, false).is_some()
    }

    /// Whether `who` may add an entry.
    ///
    /// # Errors
    /// See [`Unauthorized`].
    pub fn admits(&self, who: &Who) -> Result<(), Unauthorized> {
        match self.seal(who, false) {
            None if self.keys.is_empty() => Ok(()),
            None => Err(Unauthorized::NoKey),
            Some(seal) => {
                let founding = self.keys.is_empty().then(|| seal.founding());
                self.keys.allow(seal.signer().public().id(), founding)
            }
        }
    }

    /// Who made the entry, and the keys that the history has after it, if they change.
    pub(super) fn authorize(
        &self,
        height: u64,
        entry: &Entry,
        bundle: Option<&Bundle>,
        signatures: Signatures,
    ) -> Result<Authority, MalformedHistory> {
        let unauthorized = |source| MalformedHistory::Unauthorized { height, source };
        let after = entry.keys().map(|listed| Keys::new(listed.to_vec()));
        let after = after
            .transpose()
            .map_err(|source| MalformedHistory::Keys { height, source })?;
        let changes = matches!(entry.operation(), Operation::Keys(_));
        // The keys of a history are listed by whoever signs it first, and change by entries that say so.
        if after.is_some() != (changes || (self.keys.is_empty() && bundle.is_some())) {
            return Err(MalformedHistory::Smuggled { height });
        }
        let Some(bundle) = bundle else {
            return match self.keys.is_empty() && after.is_none() {
                true => Ok(Authority::default()),
                false => Err(unauthorized(Unauthorized::NoKey)),
            };
        };
        let known = match (self.keys.is_empty(), &after) {
            (true, Some(founding)) => founding,
            _ => &self.keys,
        };
        // A bundle without a hint fits no key; ours have one.
        let listed = known
            .listed()
            .iter()
            .find(|listed| bundle.hint() == Some(listed.key.hint()));
        let Some(listed) = listed else {
            let hint = bundle.hint().unwrap_or_default();
            return Err(unauthorized(Unauthorized::UnknownHint(
                hint.chars().take(64).collect(),
            )));
        };
        let id = listed.key.id();
        if signatures == Signatures::Verify && bundle.verify(&listed.key).is_err() {
            let key = id.clone();
            return Err(MalformedHistory::Forged { height, key });
        }
        self.keys.allow(id, after.as_ref()).map_err(unauthorized)?;
        Ok(Authority {
            signer: Some(id.clone()),
            keys: after,
        })
    }
}
