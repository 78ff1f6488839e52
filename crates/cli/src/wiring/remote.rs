//! A repository of a registry on the network, and its history: kept by the registry, or by those who write to it.

use std::{ops::Deref, sync::OnceLock};

use modelkeep_client::{History, Registry};
use modelkeep_core::{
    Mutability,
    content::{Journal, Result, Transaction},
};
use modelkeep_ledger::{Who, claims::Claims};

/// The repository, and its history. Whether the registry keeps that is asked when it matters first.
pub(crate) struct Remote {
    registry: Registry,
    claims: Claims<Registry>,
    kept: OnceLock<Option<History>>,
}

impl Remote {
    /// `claims` is the history where the registry keeps none.
    pub(super) fn new(registry: Registry, claims: Claims<Registry>) -> Self {
        Self {
            registry,
            claims,
            kept: OnceLock::new(),
        }
    }

    /// The history that the registry keeps itself; `None` where it keeps none.
    pub(crate) fn kept(&self) -> Result<Option<&History>> {
        if let Some(kept) = self.kept.get() {
            return Ok(kept.as_ref());
        }
        let kept = History::open(&self.registry, Vec::new())?;
        Ok(self.kept.get_or_init(|| kept).as_ref())
    }

    fn journal(&self) -> Result<&dyn Journal> {
        Ok(match self.kept()? {
            Some(history) => history,
            None => &self.claims,
        })
    }

    /// Which tags may move, where the registry says so.
    pub(super) fn mutability(&self) -> Result<Option<Mutability>> {
        Ok(self.kept()?.and_then(History::mutability))
    }

    /// Who adds an entry: no signature vouches for the name, so that it is that under which the registry lets them in.
    pub(super) fn known_as(&self, who: Who) -> Result<Who> {
        let author = match who.seal {
            None => self.kept()?.and_then(History::author),
            Some(_) => None,
        };
        Ok(match author {
            Some(author) => Who { author, ..who },
            None => who,
        })
    }
}

impl Journal for Remote {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.journal()?.entries(from)
    }

    fn verified(&self) -> u64 {
        // What was never asked for has not been verified.
        self.journal().map_or(0, Journal::verified)
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        self.journal()?.begin()
    }
}

impl Deref for Remote {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}
