use modelkeep_core::{
    RepoName,
    content::{self, Journals},
    repositories::{Change, Deletion, Error, Observed, Powers, Repositories, Result},
};

use crate::{DeleteError, Who, clear};

/// Declared repositories whose history says what was deleted with them.
///
/// [`Deletion::WithImages`] is the owner's explicit act: [`clear`] enters every version that goes, by `who`, and then
/// the empty repository is deleted. Everything else is the registry's own.
#[derive(Clone, Debug)]
pub struct Recorded<R> {
    registry: R,
    who: Who,
}

impl<R: Repositories + Journals> Recorded<R> {
    /// The repositories of `registry`, changed by `who`.
    pub fn new(registry: R, who: Who) -> Self {
        Self { registry, who }
    }
}

impl<R: Repositories + Journals> Repositories for Recorded<R> {
    fn powers(&self) -> Powers {
        self.registry.powers()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        self.registry.observe(name)
    }

    fn apply(&self, name: &RepoName, change: &Change) -> Result<()> {
        if *change != Change::Delete(Deletion::WithImages) {
            return self.registry.apply(name, change);
        }
        if let Some(journal) = self.registry.journal(name)? {
            clear(&*journal, &self.who).map_err(|error| match error {
                DeleteError::Content(error) => Error::Content(error),
                DeleteError::Unauthorized(error) => Error::Unauthorized {
                    name: name.clone(),
                    reason: error.to_string(),
                },
                other => Error::Content(content::Error::Malformed {
                    what: format!("the history of {name}"),
                    reason: other.to_string(),
                }),
            })?;
        }
        // Whoever pushed since is not the owner's act: then it is not empty.
        self.registry.apply(name, &Change::Delete(Deletion::OnlyEmpty))
    }
}
