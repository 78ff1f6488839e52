use modelkeep_core::{
    RepoName,
    repositories::{self, Powers},
};

use super::super::Error;

/// Whether AWS refused with this error, whose name is given without `Exception`.
pub(super) fn is(error: &Error, name: &str) -> bool {
    matches!(error, Error::Refused { code, .. } if code.strip_suffix("Exception") == Some(name))
}

/// An error of AWS in the words of the port.
pub(super) fn refused(powers: &Powers, name: Option<&RepoName>, error: Error) -> repositories::Error {
    use repositories::Error as Port;
    let registry = powers.registry.clone();
    match error {
        Error::NoCredentials { machine } => Port::NoCredentials {
            registry,
            reason: match machine {
                None => "neither the environment nor a profile nor this machine has any".to_owned(),
                Some(said) => {
                    format!("neither the environment nor a profile has any, and this machine says: {said}")
                }
            },
        },
        // A session of single sign-on is over, or a token of the web: signing in again is what helps.
        Error::Credentials { reason } if is_over(&reason) => Port::ExpiredCredentials {
            registry,
            message: reason,
        },
        Error::Credentials { reason } => Port::NoCredentials { registry, reason },
        Error::Expired { message } => Port::ExpiredCredentials { registry, message },
        Error::Rejected { message, .. } => Port::RejectedCredentials { registry, message },
        Error::Denied { action, message } => Port::Permission { action, message },
        Error::NoRegion => Port::Unreachable {
            endpoint: registry,
            reason: "no region is set: name one in the settings, in AWS_REGION or in the profile".to_owned(),
        },
        Error::Unreachable { source, .. } => Port::Unreachable {
            endpoint: registry,
            reason: super::super::error::chain(&*source),
        },
        Error::Setup { reason } => Port::Failed {
            registry,
            code: "settings that cannot be used".to_owned(),
            message: reason,
        },
        Error::Protocol { reason, .. } => Port::Failed {
            registry,
            code: "an answer that is not understood".to_owned(),
            message: reason,
        },
        Error::Refused {
            code,
            message,
            action,
        } => match (code.trim_end_matches("Exception"), name) {
            ("RepositoryNotFound", Some(name)) => Port::NotFound {
                name: name.clone(),
                registry,
            },
            ("RepositoryAlreadyExists", Some(name)) => Port::AlreadyExists {
                name: name.clone(),
                registry,
            },
            ("RepositoryNotEmpty", Some(name)) => Port::NotEmpty { name: name.clone() },
            ("LimitExceeded" | "TooManyTags", _) => Port::LimitExceeded { registry, message },
            ("InvalidParameter" | "InvalidTagParameter" | "Validation", _) => {
                Port::InvalidParameter { registry, message }
            }
            ("UnsupportedCommand" | "UnknownOperation", _) => Port::Unsupported {
                registry,
                what: format!("do {action}: {message}"),
            },
            _ => Port::Failed {
                registry,
                code,
                message,
            },
        },
    }
}

/// Whether the SDK says that a session is over: it has no type for that.
fn is_over(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["expired", "session token not found or invalid"]
        .iter()
        .any(|said| reason.contains(said))
}
