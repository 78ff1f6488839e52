//! Who publishes, and whether they may.

use modelkeep_core::{Contents, Descriptor, content::Target};
use modelkeep_ledger::{Who, signing::ModelStatement};
use modelkeep_package::image::Provenance as Said;

use super::Job;
use crate::{
    error::Failure,
    provenance::now,
    signature::{Attached, signed_files},
    signing,
};

impl Job<'_> {
    /// Makes sure, before anything is packed or sent, that whoever publishes may, and that the key which signs is open.
    /// At a terminal a history that begins is offered a key.
    pub(super) fn admit(&mut self, quiet: bool) -> Result<(), Failure> {
        let begins = self.signing.is_none() && self.history.height() == 0;
        if begins && !quiet && !self.arguments.dry_run {
            self.signing = signing::offer(self.name.as_str(), &self.directory)?;
        }
        self.history.admits(&self.who("")?)?;
        match &self.signing {
            Some(signing) if self.is_signed() && !self.arguments.dry_run => signing.open(),
            _ => Ok(()),
        }
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

    /// What is to be signed of `contents`: nothing where nobody signs, and where the version stands as it is to be.
    pub(super) fn statement(&self, contents: &Contents) -> Result<Option<ModelStatement>, Failure> {
        let root = contents.root();
        let stands = self.standing.as_ref().is_some_and(|standing| {
            standing.root.as_ref() == Some(&root) && standing.base.as_ref() == self.base_digest()
        });
        if stands || !self.is_signed() {
            return Ok(None);
        }
        let statement = ModelStatement::new(self.name.as_str(), signed_files(contents));
        statement.map(Some).map_err(Failure::failed)
    }

    /// Signs the model, and stores the signature in `target`, but for the manifest that attaches it.
    pub(super) fn attach(
        &self,
        statement: Option<&ModelStatement>,
        image: &Descriptor,
        said: &Said,
        target: &dyn Target,
    ) -> Result<Option<Attached>, Failure> {
        let (Some(statement), Some(signing)) = (statement, &self.signing) else {
            return Ok(None);
        };
        let created = said.created.as_deref();
        Attached::make(statement, image, created, &*signing.signer(), target).map(Some)
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
