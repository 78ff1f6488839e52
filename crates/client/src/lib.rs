//! Speaks to remote OCI registries.
//!
//! A [`Registry`] is one repository of a registry on the network, as an end of a transfer: it implements
//! [`Source`](modelkeep_core::content::Source), [`Target`](modelkeep_core::content::Target) and
//! [`Names`](modelkeep_core::content::Names), and whatever
//! registry it is, [`Manifests`](modelkeep_core::content::Manifests). A [`Keychain`] finds and stores credentials where docker and podman keep
//! theirs. A [`Daemon`] is the docker engine of this machine, which takes and gives images as archives.
//!
//! Everything blocks, in the thread that calls, and bytes go from the caller's memory into the connection. Passwords and
//! tokens are [`Secret`]s: they are sent to the registry, and to a token server that belongs to it, and to nobody else.
//! No model is known here, and of histories only their bytes: a [`History`] is that of a repository whose registry keeps it.
//!
//! ```no_run
//! use modelkeep_client::{Access, Keychain, Registry, Settings};
//! use modelkeep_core::content::Names;
//!
//! let variable = |name: &str| std::env::var(name).ok();
//! let keychain = Keychain::from_environment(&variable);
//! let (host, name) = ("ghcr.io".parse()?, "team/digits".parse()?);
//! let registry = Registry::new(&host, &name, Access::Read, keychain, Settings::default(), &variable)?;
//! println!("{:?}", registry.tags()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod address;
mod ahead;
mod auth;
pub mod aws;
mod chunks;
mod credentials;
mod daemon;
mod error;
mod history;
mod http;
mod manifests;
mod names;
mod open;
mod pace;
mod pages;
mod probe;
mod problem;
mod referrers;
mod registry;
mod retry;
mod secret;
mod source;
mod target;
mod upload;

pub use credentials::{Credential, Keychain};
pub use daemon::{Daemon, Inspected, InspectedLayers};
pub use error::Error;
pub use history::History;
pub use http::Timeouts;
pub use probe::{Greeting, Identity, TagPage};
pub use registry::{Access, Registry, Settings, check_login};
pub use retry::{Patience, Retries};
pub use secret::Secret;
pub use upload::{Begun, BlobUpload};
