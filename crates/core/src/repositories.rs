//! The port by which repositories are declared: what a repository is, what a registry can do for one, and every
//! change as a value that can be printed before it is made.
//!
//! A registry is asked three things. [`Repositories::powers`]: what can you do, and how much? It needs no call.
//! [`Repositories::observe`]: what is this repository now? [`Repositories::apply`]: make this one change. Nothing else
//! is kept anywhere: the registry is the state.
//!
//! The words are those of Amazon ECR Public's API (2020-10-30) and of Amazon ECR's (2015-09-21).

mod change;
mod description;
mod error;
mod observed;
mod powers;

pub use change::{Change, Deletion};
pub use description::{Catalog, Description, Logo};
pub use error::{Error, Result};
pub use observed::{Enforcement, Images, Observed};
pub use powers::{CatalogLimits, Flaw, Powers, ResourceTagLimits, Rule};

use crate::RepoName;

/// A registry in which repositories can be declared: ECR Public, private ECR, or a store.
pub trait Repositories {
    /// What this registry can do for a repository. Asks nobody.
    fn powers(&self) -> Powers;

    /// What the repository is now; `None` when there is none of that name. Reads, and changes nothing.
    ///
    /// # Errors
    /// Whatever keeps the registry from answering; never [`Error::NotFound`].
    fn observe(&self, name: &RepoName) -> Result<Option<Observed>>;

    /// Makes one change. What it says is so when this returns, for whoever observes next.
    ///
    /// A change that is made already is no error, but for [`Change::Create`] and [`Change::Delete`], whose caller has
    /// to know that somebody else was there first.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] from a `Create` where there is such a repository, [`Error::NotFound`] from any other
    /// change where there is none, [`Error::NotEmpty`] from a `Delete` that leaves images alone,
    /// [`Error::Invalid`] for what [`Powers::check`] refuses, [`Error::Unsupported`] for a change beyond the powers;
    /// nothing has changed then. Whatever keeps the registry from answering.
    fn apply(&self, name: &RepoName, change: &Change) -> Result<()>;
}

impl<T: Repositories + ?Sized> Repositories for &T {
    fn powers(&self) -> Powers {
        (**self).powers()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        (**self).observe(name)
    }

    fn apply(&self, name: &RepoName, change: &Change) -> Result<()> {
        (**self).apply(name, change)
    }
}

impl<T: Repositories + ?Sized> Repositories for Box<T> {
    fn powers(&self) -> Powers {
        (**self).powers()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        (**self).observe(name)
    }

    fn apply(&self, name: &RepoName, change: &Change) -> Result<()> {
        (**self).apply(name, change)
    }
}
