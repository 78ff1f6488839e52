//! A repository of a registry on the network, and its history: kept by the registry, or by those who write to it.

use std::{ops::Deref, path::PathBuf, sync::OnceLock};

use modelkeep_client::{History, Registry};
use modelkeep_core::{
    Host, Mutability, RepoName,
    content::{Journal, Result, Transaction},
};
use modelkeep_ledger::{
    Who,
    claims::{Claims, Pace, Tampered},
};

use crate::known::{self, Known};

/// The repository, and its history, held against what has been seen of it. Whether the registry keeps that is asked when
/// it matters first.
pub(crate) struct Remote {
    registry: Registry,
    place: Place,
    opened: OnceLock<Opened>,
}

/// Which repository it is, and what there is to know of it besides.
pub(super) struct Place {
    /// The store, which keeps what has been seen.
    pub(super) store: PathBuf,
    pub(super) host: Host,
    pub(super) name: RepoName,
    /// Which tags may move, where the registry does not say so.
    pub(super) mutability: Mutability,
    /// How the registry is treated if it knows no histories.
    pub(super) pace: Pace,
}

struct Opened {
    known: Known,
    end: End,
}

enum End {
    Kept(History),
    Claimed(Claims<Registry>),
}

impl Remote {
    pub(super) fn new(registry: Registry, place: Place) -> Self {
        Self {
            registry,
            place,
            opened: OnceLock::new(),
        }
    }

    fn opened(&self) -> std::result::Result<&Opened, known::Error> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let Place {
            store,
            host,
            name,
            mutability,
            pace,
        } = &self.place;
        let known = Known::recall(store, host, name)?;
        let end = match History::open(&self.registry, known.entries())? {
            Some(history) => End::Kept(history),
            None => {
                let registry = self.registry.clone();
                let place = format!("{host}/{name}");
                let claims = Claims::new(registry, &place, mutability.clone(), pace.clone());
                let claims = claims.knowing(known.entries());
                End::Claimed(claims.map_err(|source| known.broken(source))?)
            }
        };
        Ok(self.opened.get_or_init(|| Opened { known, end }))
    }

    /// The history that the registry keeps itself; `None` where it keeps none.
    pub(crate) fn kept(&self) -> Result<Option<&History>> {
        Ok(match &self.opened()?.end {
            End::Kept(history) => Some(history),
            End::Claimed(_) => None,
        })
    }

    /// The tags of the history that were not what they say when it was last read.
    pub(super) fn tampered(&self) -> Result<Vec<Tampered>> {
        Ok(match &self.opened()?.end {
            End::Kept(_) => Vec::new(),
            End::Claimed(claims) => claims.tampered(),
        })
    }

    /// What has been seen of the history.
    pub(crate) fn known(&self) -> std::result::Result<&Known, known::Error> {
        Ok(&self.opened()?.known)
    }

    /// The history as it is now.
    pub(super) fn history(&self) -> std::result::Result<modelkeep_ledger::History, known::Error> {
        let opened = self.opened()?;
        opened.known.read(opened.journal())
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

impl Opened {
    fn journal(&self) -> &dyn Journal {
        match &self.end {
            End::Kept(history) => history,
            End::Claimed(claims) => claims,
        }
    }
}

impl Journal for Remote {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        let opened = self.opened()?;
        opened.known.entries_of(opened.journal(), from)
    }

    fn verified(&self) -> u64 {
        // What was read has been verified before anybody was given it.
        u64::MAX
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        let opened = self.opened()?;
        opened.known.begin(opened.journal())
    }
}

impl Deref for Remote {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}
