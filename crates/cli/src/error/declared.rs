//! What may be done about a declaration that was refused.

use modelkeep_core::repositories::Error;
use modelkeep_provision::{ApplyError, Mistake, NotOwned, Stays};

use super::{Exit, Failure};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::Content(error) = error {
            return error.into();
        }
        let (exit, hint) = advice(&error);
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Exit code of an error of a registry, and what may be done about it.
fn advice(error: &Error) -> (Exit, Option<String>) {
    let (exit, hint) = match error {
        Error::NotFound { .. } => (Exit::Failed, "`modelkeep up` makes what modelkeep.toml declares"),
        Error::AlreadyExists { .. } => (
            Exit::Failed,
            "`modelkeep preview` shows what it is; `modelkeep adopt` takes it over",
        ),
        Error::NotEmpty { .. } => (Exit::Policy, "`modelkeep destroy --force` deletes the images too"),
        Error::Permission { action, .. } => {
            let hint = format!("allow {action}; `modelkeep policy` prints the least policy that is needed");
            return (Exit::Authentication, Some(hint));
        }
        Error::Unauthorized { .. } => (
            Exit::Authentication,
            "name a key of the history in MODELKEEP_SIGNING_KEY",
        ),
        Error::NoCredentials { .. } => (
            Exit::Authentication,
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run `aws sso login`",
        ),
        Error::ExpiredCredentials { .. } => (
            Exit::Authentication,
            "get new ones: `aws sso login`, or set AWS_SESSION_TOKEN and the key anew",
        ),
        Error::RejectedCredentials { .. } => (
            Exit::Authentication,
            "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE; `aws sts get-caller-identity` says who they are",
        ),
        Error::Unreachable { .. } => (
            Exit::Failed,
            "look at the network, the proxy and the region, or name another address with --endpoint-url",
        ),
        Error::LimitExceeded { .. } => (
            Exit::Failed,
            "delete what is not needed, or ask AWS for more (Service Quotas)",
        ),
        Error::Invalid(_) | Error::InvalidParameter { .. } => {
            (Exit::Usage, "`modelkeep config` says where modelkeep.toml is")
        }
        Error::Unsupported { .. } | Error::Failed { .. } | Error::Content(_) => return (Exit::Failed, None),
    };
    (exit, Some(hint.to_owned()))
}

impl From<Mistake> for Failure {
    fn from(error: Mistake) -> Self {
        match error {
            Mistake::Enforcement { .. } => Self::new(Exit::Policy, error)
                .hint("`registry = \"ecr\"` and `registry = \"embedded\"` enforce it; or remove require_enforcement"),
            error => Self::new(Exit::Usage, error),
        }
    }
}

impl From<NotOwned> for Failure {
    fn from(error: NotOwned) -> Self {
        Self::new(Exit::Failed, error)
            .hint("`modelkeep adopt` takes it over, and changes nothing else; or choose another name")
    }
}

impl From<Stays> for Failure {
    fn from(error: Stays) -> Self {
        match error {
            Stays::Protected(_) => {
                Self::new(Exit::Policy, error).hint("remove `protect` from modelkeep.toml if it is to go")
            }
            Stays::NotEmpty { .. } => {
                Self::new(Exit::Policy, error).hint("`modelkeep destroy --force` deletes them too")
            }
            Stays::NotOwned(error) => error.into(),
        }
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Moved { .. } => {
                Self::new(Exit::Failed, error).hint("`modelkeep preview` shows what it is now")
            }
            ApplyError::NotReached { .. } => {
                Self::new(Exit::Failed, error).hint("`modelkeep preview` shows what is missing")
            }
            ApplyError::Step { ref source, .. } => {
                let (exit, hint) = advice(source);
                let failure = Self::new(exit, error);
                match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            ApplyError::Observe(error) => error.into(),
            ApplyError::NotOwned(error) => error.into(),
        }
    }
}
