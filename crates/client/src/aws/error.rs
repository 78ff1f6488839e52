use std::error::Error as StdError;

use aws_config::imds::client::error::ImdsError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};

/// Why AWS could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing in the environment, in the profile, or on the machine says who we are.
    #[error("there are no AWS credentials{}", .machine.as_deref().map(|said| format!("; {said}")).unwrap_or_default())]
    NoCredentials {
        /// What the metadata service of the machine said, if there is one that gives no role.
        machine: Option<String>,
    },
    /// Something says who we are, and does not work: a profile that is broken, a session of SSO that has ended.
    #[error("the AWS credentials cannot be used: {reason}")]
    Credentials {
        /// What the SDK says, with its causes.
        reason: String,
    },
    /// The credentials are temporary, and their time is over.
    #[error("the AWS credentials have expired: {message}")]
    Expired {
        /// What AWS says.
        message: String,
    },
    /// AWS does not know the key, or the secret does not belong to it.
    #[error("AWS does not take the credentials ({code}): {message}")]
    Rejected {
        /// AWS's name of the error.
        code: String,
        /// What AWS says.
        message: String,
    },
    /// The credentials are good, and do not allow this.
    #[error("AWS does not allow {action}: {message}")]
    Denied {
        /// The action of IAM that is missing, such as `ecr:CreateRepository`.
        action: String,
        /// What AWS says.
        message: String,
    },
    /// What the environment or a setting says cannot be used.
    #[error("the settings for AWS cannot be used: {reason}")]
    Setup {
        /// What is wrong with them.
        reason: String,
    },
    /// Neither a setting nor the environment nor the profile names a region.
    #[error("no AWS region is set")]
    NoRegion,
    /// The connection failed.
    #[error("cannot reach AWS for {action}")]
    Unreachable {
        /// The action that was wanted.
        action: String,
        /// Host, and what went wrong.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Another refusal.
    #[error("AWS refused {action} ({code}): {message}")]
    Refused {
        /// The action that was wanted.
        action: String,
        /// AWS's name of the error, such as `RepositoryAlreadyExistsException`.
        code: String,
        /// What AWS says.
        message: String,
    },
    /// The answer is not what the API promises, or there was no way to ask.
    #[error("AWS gave no answer to {action} that is understood: {reason}")]
    Protocol {
        /// The action that was wanted.
        action: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// Whether other credentials would help.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        matches!(
            self,
            Self::NoCredentials { .. }
                | Self::Credentials { .. }
                | Self::Expired { .. }
                | Self::Rejected { .. }
                | Self::Denied { .. }
        )
    }

    /// What an error of the SDK means; `action` is the action of IAM that was wanted.
    pub(crate) fn of<E, R>(action: &str, error: SdkError<E, R>) -> Self
    where
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let action = action.to_owned();
        if let SdkError::ServiceError(refused) = &error {
            let meta = refused.err().meta();
            let code = meta.code().unwrap_or("an error without a name");
            return Self::refusal(action, code, meta.message().unwrap_or_default());
        }
        if let Some(missing) = cause::<CredentialsError>(&error) {
            return match (missing, cause::<ImdsError>(missing)) {
                (CredentialsError::CredentialsNotLoaded(_), _) => Self::NoCredentials { machine: None },
                // Machines of others have such a service too, and nothing in it that concerns AWS.
                (_, Some(machine)) => Self::NoCredentials {
                    machine: Some(chain(machine)),
                },
                (broken, None) => Self::Credentials {
                    reason: chain(broken),
                },
            };
        }
        // Whatever did not come from our own HTTP did not get as far as that.
        let sent = cause::<crate::Error>(&error).is_some();
        let reason = chain(&error);
        match error {
            _ if reason.contains("Missing Region") => Self::NoRegion,
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) if sent => Self::Unreachable {
                action,
                source: error.into_source().unwrap_or_else(|error| error.into()),
            },
            _ => Self::Protocol { action, reason },
        }
    }

    fn refusal(action: String, code: &str, message: &str) -> Self {
        let code = code.rsplit('#').next().unwrap_or(code).to_owned();
        let message: String = message.chars().filter(|c| !c.is_control()).take(2000).collect();
        match code.trim_end_matches("Exception") {
            "ExpiredToken" | "RequestExpired" | "TokenRefreshRequired" => Self::Expired { message },
            "UnrecognizedClient"
            | "InvalidClientTokenId"
            | "InvalidSignature"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "InvalidAccessKeyId"
            | "MissingAuthenticationToken"
            | "AuthFailure" => Self::Rejected { code, message },
            "AccessDenied" | "UnauthorizedOperation" => Self::Denied {
                action: named_action(&message).map_or(action, str::to_owned),
                message,
            },
            _ => Self::Refused {
                action,
                code,
                message,
            },
        }
    }
}

/// The action that a refusal names: `... is not authorized to perform: ecr:CreateRepository on resource ...`.
fn named_action(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("perform: ")?;
    let action = rest.split_whitespace().next()?.trim_end_matches(['.', ',']);
    action.contains(':').then_some(action)
}

/// The cause of this type, however deep.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its causes; what only repeats the one above is left out.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, message: &str) -> Error {
        Error::refusal("ecr:DescribeRepositories".to_owned(), code, message)
    }

    #[test]
    fn a_denial_names_the_action_that_is_missing() {
        let message = "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: sts:GetServiceBearerToken on resource: * because no identity-based policy allows it";
        assert!(matches!(
            refusal("AccessDeniedException", message),
            Error::Denied { action, .. } if action == "sts:GetServiceBearerToken"
        ));
        assert!(matches!(
            refusal("com.amazonaws#AccessDeniedException", "no"),
            Error::Denied { action, .. } if action == "ecr:DescribeRepositories"
        ));
    }

    #[test]
    fn credentials_that_are_expired_or_unknown_are_told_apart() {
        assert!(matches!(
            refusal("ExpiredTokenException", "x"),
            Error::Expired { .. }
        ));
        assert!(matches!(
            refusal("UnrecognizedClientException", "x"),
            Error::Rejected { .. }
        ));
        let other = refusal("RepositoryNotEmptyException", "a\u{1b}[31m\nb");
        assert!(!other.is_authentication());
        assert_eq!(
            other.to_string(),
            "AWS refused ecr:DescribeRepositories (RepositoryNotEmptyException): a[31mb"
        );
    }
}
