//! Errors at the edge: what kind, which exit code, and what to do next.

mod declared;

use std::{error::Error, io, path::PathBuf, process::ExitCode};

use modelkeep_core::{Digest, InvalidName, RepoName, content};
use modelkeep_ledger::{MalformedHistory, PublishError, Unauthorized};

use crate::{known, settings::Registry};

/// Exit codes, as `--help` documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Authentication = 3,
    Exists = 4,
    Damage = 5,
    Pending = 6,
    Policy = 7,
    Conflict = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that failed: the error, and at most two hints that name a real command or setting.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: Box<dyn Error + Send + Sync>,
    pub(crate) hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            exit,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message.into())
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// An error of the world around, with a hint where its cause is known.
    pub(crate) fn failed(error: impl Error + Send + Sync + 'static) -> Self {
        if let Some(registry) = registry(&error) {
            let (exit, hint) = advice(registry);
            let by_digest = registry.refuses_listing().then_some(
                "what a digest names needs no history, and is read without a list: HOST/NAME@sha256:...",
            );
            let mut failure = Self::new(exit, error);
            failure.hints.extend(hint);
            failure.hints.extend(by_digest.map(str::to_owned));
            return failure;
        }
        if let Some(found) = known::find(&error) {
            let (exit, hints) = known::advice(found);
            let error = error.into();
            return Self { exit, error, hints };
        }
        if is_conflict(&error) {
            return Self::new(Exit::Conflict, error);
        }
        if is_damage(&error) {
            return Self::new(Exit::Damage, error)
                .hint("`modelkeep verify --all` lists everything that is damaged");
        }
        let kind = io_kind(&error);
        let failure = Self::new(Exit::Failed, error);
        match kind {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => failure
                .hint("the disk is full: free some space, or name a store on another disk with --store PATH"),
            Some(io::ErrorKind::PermissionDenied) => failure
                .hint("look at the owner and mode of that path; `modelkeep config` says where the store is"),
            _ => failure,
        }
    }
}

/// The error of a registry somewhere below `error`. Ports carry it inside of an I/O error.
pub(crate) fn registry<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a modelkeep_client::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let carried = carried.and_then(|inner| inner.downcast_ref::<modelkeep_client::Error>());
        if let Some(found) = error.downcast_ref().or(carried) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Exit code of an error of a registry, and what may be done about it.
fn advice(error: &modelkeep_client::Error) -> (Exit, Option<String>) {
    use modelkeep_client::Error as Registry;
    match error {
        Registry::Authentication { host, .. } => (
            Exit::Authentication,
            Some(format!(
                "`modelkeep login {host} -u USER --password-stdin`, or `docker login {host}`"
            )),
        ),
        Registry::Aws { host, source } => aws_advice(host, source),
        error if error.is_authentication() => (Exit::Authentication, None),
        Registry::TooLarge { .. } => (
            Exit::Failed,
            Some("split the file: safetensors in shards are what the libraries expect".to_owned()),
        ),
        _ => (Exit::Failed, None),
    }
}

/// As [`advice`], where AWS gives no token for the registry `host`.
fn aws_advice(host: &str, error: &modelkeep_client::aws::Error) -> (Exit, Option<String>) {
    use modelkeep_client::aws::Error as Aws;
    let hint = match error {
        Aws::NoCredentials { .. } => format!(
            "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or `docker login {host}`"
        ),
        Aws::Credentials { .. } | Aws::Expired { .. } => {
            "`aws sso login`, or take new credentials from where these came from".to_owned()
        }
        Aws::Rejected { .. } => {
            "`aws sts get-caller-identity` says whether AWS knows the key and the clock is right".to_owned()
        }
        Aws::Denied { action, .. } => format!("allow {action} to this identity in IAM"),
        Aws::NoRegion => "set AWS_REGION".to_owned(),
        _ => return (Exit::Failed, None),
    };
    let exit = match error.is_authentication() {
        true => Exit::Authentication,
        false => Exit::Usage,
    };
    (exit, Some(hint))
}

/// Whether there are two accounts of what happened.
fn is_conflict(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(content::Error::Conflict { .. }) = error.downcast_ref() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Whether something that is stored is not what it should be.
fn is_damage(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(content::Error::Damaged { .. }) = error.downcast_ref() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The kind of the I/O error at the root, if there is one.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

impl From<content::Error> for Failure {
    fn from(error: content::Error) -> Self {
        Self::failed(error)
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Taken { ref next_free, .. } | PublishError::Kept { ref next_free, .. } => {
                let next = next_free
                    .as_ref()
                    .map(|next| format!("the next free version is {next}"));
                let failure = Self::new(Exit::Exists, error);
                match next {
                    Some(next) => failure.hint(next),
                    None => failure,
                }
            }
            PublishError::Unauthorized(error) => error.into(),
            PublishError::History(error) => error.into(),
            PublishError::Content(error) => error.into(),
        }
    }
}

impl From<MalformedHistory> for Failure {
    fn from(error: MalformedHistory) -> Self {
        Self::new(Exit::Damage, error)
    }
}

impl From<Unauthorized> for Failure {
    fn from(error: Unauthorized) -> Self {
        let hint = match &error {
            Unauthorized::NoKey => "name a key of the history in MODELKEEP_SIGNING_KEY",
            Unauthorized::Sign(_) => return Self::failed(error),
            Unauthorized::Keys(_) => return Self::new(Exit::Usage, error),
            Unauthorized::Changed => return Self::new(Exit::Failed, error),
            Unauthorized::Recovery(_) => "name a key that may publish in MODELKEEP_SIGNING_KEY",
            Unauthorized::NoRecovery(_) => "name a recovery key of the history in MODELKEEP_SIGNING_KEY",
            Unauthorized::NotListed(_) | Unauthorized::UnknownHint(_) => {
                "whoever has a key of the history can list yours: `modelkeep keys add FILE.pub`"
            }
        };
        Self::new(Exit::Authentication, error).hint(hint)
    }
}

/// Why settings or arguments cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not right", path.display())]
    Toml {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{}: {key}: {reason}", path.display())]
    Value {
        path: PathBuf,
        key: &'static str,
        reason: String,
    },
    #[error("the name of the directory {} is not a repository name", directory.display())]
    NoName { directory: PathBuf },
    #[error("no modelkeep.toml in {} or above it declares a repository", directory.display())]
    NotDeclared { directory: PathBuf },
    #[error("there is no place for the store: neither --store, MODELKEEP_HOME nor HOME is set")]
    NoHome,
    #[error("{0}")]
    Argument(String),
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let hint = match &error {
            SettingsError::NoName { .. } => {
                Some("name it: `modelkeep push DIR NAME:VERSION`, or `modelkeep init --name NAME`")
            }
            SettingsError::NotDeclared { .. } => {
                Some("`modelkeep init` writes one, with the block [repository]")
            }
            SettingsError::NoHome => Some("set MODELKEEP_HOME, or name a store with --store PATH"),
            _ => None,
        };
        let failure = Self::new(Exit::Usage, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What was asked for is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("there is no repository {name} in the store {}", store.display())]
    Repository { name: RepoName, store: PathBuf },
    #[error("{name} has no version {version}")]
    Version { name: RepoName, version: String },
    #[error("{name} has no manifest {digest}")]
    Manifest { name: RepoName, digest: Digest },
    #[error("repositories cannot be declared in {0}: the OCI API has no words for it")]
    Declaring(Registry),
    #[error("{0} knows no IAM policies")]
    Policy(Registry),
}
