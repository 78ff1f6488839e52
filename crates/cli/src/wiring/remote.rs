//! A repository of a registry on the network, and the history that is kept of it.

use std::{ops::Deref, sync::OnceLock};

use modelkeep_client::{History, Registry};
use modelkeep_core::{
    Mutability,
    content::{self, Journal},
};
use modelkeep_ledger::Who;

/// The repository, and its history once somebody asked for that.
pub(crate) struct Remote {
    registry: Registry,
    history: OnceLock<Option<History>>,
}

impl Remote {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            registry,
            history: OnceLock::new(),
        }
    }

    /// The history that the registry keeps itself; `None` where it keeps none.
    fn kept(&self) -> Result<Option<&History>, content::Error> {
        if let Some(history) = self.history.get() {
            return Ok(history.as_ref());
        }
        let history = History::open(&self.registry, Vec::new())?;
        Ok(self.history.get_or_init(|| history).as_ref())
    }

    /// The history, where one is kept.
    pub(crate) fn journal(&self) -> Result<Option<&dyn Journal>, content::Error> {
        Ok(self.kept()?.map(|history| history as &dyn Journal))
    }

    /// Which tags may move, where the registry says so.
    pub(crate) fn mutability(&self) -> Result<Option<Mutability>, content::Error> {
        Ok(self.kept()?.and_then(History::mutability))
    }

    /// Who adds an entry: nobody's signature vouches for a name, so that the registry writes whom it let in.
    pub(crate) fn known_as(&self, who: Who) -> Result<Who, content::Error> {
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

impl Deref for Remote {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}
