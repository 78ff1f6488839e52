use super::Flaw;
use crate::{RepoName, content};

/// What a registry answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a registry did not say what a repository is, or did not make a change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such repository.
    #[error("the repository {name} is not in {registry}")]
    NotFound {
        /// The repository.
        name: RepoName,
        /// The registry, in words.
        registry: String,
    },
    /// The name is taken.
    #[error("there is a repository {name} in {registry}")]
    AlreadyExists {
        /// The repository.
        name: RepoName,
        /// The registry, in words.
        registry: String,
    },
    /// It holds images.
    #[error("the repository {name} holds images")]
    NotEmpty {
        /// The repository.
        name: RepoName,
    },
    /// The registry knows who asks, and does not let them.
    #[error("{action} is not allowed: {message}")]
    Permission {
        /// The action that has to be allowed, as a policy names it: `ecr-public:CreateRepository`.
        action: String,
        /// What the registry said.
        message: String,
    },
    /// What is asked for is an entry in the history of the repository, to which who asks may not add.
    #[error("the history of {name} cannot be added to: {reason}")]
    Unauthorized {
        /// The repository.
        name: RepoName,
        /// Why not.
        reason: String,
    },
    /// There is nothing to prove with who asks.
    #[error("no credentials for {registry}: {reason}")]
    NoCredentials {
        /// The registry, in words.
        registry: String,
        /// Where they were looked for, or what came of it.
        reason: String,
    },
    /// The credentials were good until lately.
    #[error("the credentials for {registry} have expired: {message}")]
    ExpiredCredentials {
        /// The registry, in words.
        registry: String,
        /// What was said.
        message: String,
    },
    /// The registry does not know the key, or the secret is another one's.
    #[error("{registry} does not accept the credentials: {message}")]
    RejectedCredentials {
        /// The registry, in words.
        registry: String,
        /// What the registry said.
        message: String,
    },
    /// No answer came.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// The address that was asked.
        endpoint: String,
        /// What went wrong.
        reason: String,
    },
    /// A quota of the account is used up.
    #[error("a limit of {registry} is reached: {message}")]
    LimitExceeded {
        /// The registry, in words.
        registry: String,
        /// What the registry said.
        message: String,
    },
    /// Something that [`Powers::check`](super::Powers::check) would have refused.
    #[error(transparent)]
    Invalid(#[from] Flaw),
    /// The registry refuses a value.
    #[error("{registry} refuses a value: {message}")]
    InvalidParameter {
        /// The registry, in words.
        registry: String,
        /// What the registry said.
        message: String,
    },
    /// The registry has no such thing.
    #[error("{registry} cannot {what}")]
    Unsupported {
        /// The registry, in words.
        registry: String,
        /// What it cannot do, as a verb.
        what: String,
    },
    /// The registry answered with something else: an error of its own, or too many requests after all attempts.
    #[error("{registry} failed with {code}: {message}")]
    Failed {
        /// The registry, in words.
        registry: String,
        /// The name of the error, as its API gives it.
        code: String,
        /// What the registry said.
        message: String,
    },
    /// The disk refused, or holds what cannot be read.
    #[error(transparent)]
    Content(#[from] content::Error),
}
