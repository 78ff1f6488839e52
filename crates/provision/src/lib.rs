//! Declared repositories: one file says what a repository is to be, and one command makes it so.
//!
//! [`Declaration`] is what the file says. [`Wanted`] is what follows from it for one registry, with every limit checked.
//! [`plan`] compares that with what is there, and is pure: the [`Plan`] is a value that can be printed, and leaves no
//! choice to [`apply`], which looks again before and after. [`destroy`] plans the empty state.
//!
//! Nothing is kept between two runs. The registry is the state; that a repository is declared here is a resource tag of
//! its own ([`OWNER_TAG`]), and so is which logo it was given ([`LOGO_TAG`]), because AWS does not say.
//!
//! ```
//! use modelkeep_core::repositories::{Powers, Repositories};
//! use modelkeep_provision::{Declaration, apply, plan};
//! use modelkeep_testkit::{LogosAre, MemoryRepositories};
//!
//! let registry = MemoryRepositories::new(Powers::ecr(), LogosAre::Urls);
//! let declaration = Declaration::new("ml-model-repo".parse()?);
//! let wanted = declaration.wanted(&registry.powers())?;
//! let first = plan(&wanted, registry.observe(&wanted.name)?)?;
//! assert!(first.to_string().starts_with("+ create ml-model-repo"));
//! apply(&registry, &first, &mut |_| {})?;
//! assert!(plan(&wanted, registry.observe(&wanted.name)?)?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod apply;
mod destroy;
mod diff;
mod iam;
mod plan;
mod show;
mod spec;

pub use apply::{ApplyError, apply};
pub use destroy::{Force, Stays, destroy};
pub use iam::{Service, least_policy};
pub use plan::{Field, Goal, NotOwned, Plan, Step, adopt, plan};
pub use spec::{Declaration, Mistake, Wanted, with_aliases};

/// The resource tag that says that a repository is declared: its value is [`OWNER`].
pub const OWNER_TAG: &str = "dev.modelkeep.managed-by";

/// Who manages what is declared here.
pub const OWNER: &str = "modelkeep";

/// The resource tag that holds the digest of the logo that a repository was given.
pub const LOGO_TAG: &str = "dev.modelkeep.logo";
