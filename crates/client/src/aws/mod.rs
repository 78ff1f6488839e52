//! AWS, by its own SDK: tokens for the registries that it runs, and the repositories in them.
//!
//! Credentials are found where every tool of AWS finds them: environment, profile, SSO, web identity, the role of a
//! container or a machine. The SDK's futures run in the thread that waits for them, and its requests go through the same
//! HTTP as those to registries. Nothing of it is touched, and no metadata of a machine asked, until a registry of AWS
//! wants credentials.

mod error;
mod host;
mod repositories;
mod session;
mod tokens;
mod transport;

pub use error::Error;
pub(crate) use host::EcrHost;
pub use repositories::Repositories;
pub use session::AwsOptions;
pub(crate) use tokens::password;
pub(crate) use transport::Transport;
