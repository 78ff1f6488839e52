//! Who publishes, and whether they may.

use modelkeep_ledger::Who;

use super::Job;
use crate::{error::Failure, provenance::now, signing};

impl Job<'_> {
    /// Makes sure, before anything is packed or sent, that whoever publishes may, and that the key which signs is open.
    /// At a terminal a history that begins is offered a key.
    pub(super) fn admit(&mut self, quiet: bool) -> Result<(), Failure> {
        let begins = self.signing.is_none() && self.history.height() == 0;
        if begins && self.keeps_history() && !quiet && !self.arguments.dry_run {
            self.signing = signing::offer(self.name.as_str(), &self.directory)?;
        }
        self.history.admits(&self.who("")?)?;
        match &self.signing {
            Some(signing) if self.is_signed() && !self.arguments.dry_run => signing.open(),
            _ => Ok(()),
        }
    }

    /// Whether what is published here gets an entry in a history.
    fn keeps_history(&self) -> bool {
        self.host.is_none()
    }

    /// Who publishes, now.
    pub(super) fn who(&self, author: &str) -> Result<Who, Failure> {
        let name = (!author.is_empty()).then(|| author.to_owned());
        let signing = self.signing.as_ref();
        Ok(Who {
            time: now(),
            author: author.to_owned(),
            seal: signing.map(|signing| signing.seal(name)).transpose()?,
        })
    }

    /// Whether what is published now is signed.
    pub(super) fn is_signed(&self) -> bool {
        self.who("").is_ok_and(|who| self.history.is_signed_by(&who))
    }

    /// Whether the entry of the version that stands is signed.
    pub(super) fn standing_is_signed(&self) -> bool {
        let standing = self.history.version(&self.version);
        standing.is_some_and(|standing| standing.signer.is_some())
    }
}
