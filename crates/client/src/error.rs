use std::{io, time::Duration};

use modelkeep_core::{Digest, content};

use crate::aws;

/// Why a registry could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or one that broke.
    #[error("cannot reach {host}")]
    Connection {
        /// Host and port.
        host: String,
        /// What the system or TLS said.
        #[source]
        source: io::Error,
    },
    /// The other side does not speak HTTP as it should.
    #[error("{host} answered {request} with something that is not understood: {reason}")]
    Protocol {
        /// Host and port.
        host: String,
        /// Method and path.
        request: String,
        /// What is wrong.
        reason: String,
    },
    /// An answer that is a refusal.
    #[error("{host} refused {request} with {status}{problem}")]
    Status {
        /// Host and port.
        host: String,
        /// Method and path.
        request: String,
        /// HTTP status.
        status: u16,
        /// What the registry said about it, cleaned and cut; begins with `: ` unless empty.
        problem: String,
        /// How long the registry asks us to wait.
        retry_after: Option<Duration>,
    },
    /// Neither what is stored nor no credentials at all were good enough.
    #[error("{host} does not let us {doing}: {reason}")]
    Authentication {
        /// Host and port.
        host: String,
        /// What was attempted.
        doing: String,
        /// What the registry said, and which credentials were used.
        reason: String,
    },
    /// The registry wants its credentials sent over a line that everybody reads.
    #[error("{host} asks for its credentials to be sent to {realm}, without TLS: nothing was sent")]
    Realm {
        /// The registry.
        host: String,
        /// Where it wants them.
        realm: String,
    },
    /// A redirect that is not followed.
    #[error("{host} sent us on to {to}, which is not followed: {reason}")]
    Redirect {
        /// Who sent us.
        host: String,
        /// Where to.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// An upload that goes on when it is begun again.
    #[error("the upload to {host} was interrupted: {reason}")]
    Interrupted {
        /// The registry.
        host: String,
        /// What happened.
        reason: &'static str,
    },
    /// It went on failing.
    #[error("gave up after {attempts} attempts in {:.1} s", elapsed.as_secs_f64())]
    GaveUp {
        /// How often it was tried.
        attempts: u32,
        /// Since the first attempt.
        elapsed: Duration,
        /// The last failure.
        #[source]
        last: Box<Error>,
    },
    /// Stored credentials, or a program that keeps them, cannot be read.
    #[error("cannot use the credentials for {host}: {reason}")]
    Credentials {
        /// The registry.
        host: String,
        /// What is wrong; never the secret.
        reason: String,
    },
    /// AWS, which has the tokens of its registries.
    #[error("cannot have a token for {host} from AWS")]
    Aws {
        /// The registry.
        host: String,
        /// What keeps AWS from giving one.
        #[source]
        source: aws::Error,
    },
    /// An address that is none.
    #[error("{url:?} is not an address that can be used: {reason}")]
    Url {
        /// What was to be read.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Settings of TLS or proxies that cannot be used.
    #[error("{what}")]
    Setup {
        /// What was being set up.
        what: String,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A layer, config or manifest larger than the registry takes.
    #[error("{host} takes no {what} over {limit} bytes, and this one has {size}")]
    TooLarge {
        /// The registry.
        host: String,
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The most that is taken, in bytes.
        limit: u64,
    },
    /// Bytes that were not written one after the other: a registry takes them in no other way.
    #[error("a registry takes bytes in order: {at} was next, and {offset} came")]
    Order {
        /// The position that was next.
        at: u64,
        /// The position that was written.
        offset: u64,
    },
    /// The registry kept something else than what was sent.
    #[error("{host} says that it stored {found}, and {expected} was sent")]
    Stored {
        /// The registry.
        host: String,
        /// What was sent.
        expected: Digest,
        /// What it answered.
        found: String,
    },
}

impl Error {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connection { source, .. } => !matches!(
                source.kind(),
                // A certificate does not get better, nor a name that does not exist.
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
            ),
            // docker-registry writes the record of a blob in place: while another client sends the same blob again, the
            // record is empty for a moment, and a manifest that needs the blob is refused with both of these.
            Self::Status {
                status: 400, problem, ..
            } => ["MANIFEST_BLOB_UNKNOWN", "DIGEST_INVALID"]
                .iter()
                .all(|code| problem.contains(code)),
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Interrupted { .. } => true,
            _ => false,
        }
    }

    /// The error of a registry behind an error of a port, if that is what it is.
    #[must_use]
    pub fn behind(error: &content::Error) -> Option<&Self> {
        match error {
            content::Error::Io { source, .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// Whether a registry does not let us list the tags of a repository, whatever else it lets us do.
    #[must_use]
    pub fn refuses_listing(&self) -> bool {
        let is_listing = |request: &str| request.ends_with("/tags/list");
        match self {
            Self::Status {
                request,
                status: 400 | 403 | 405 | 501,
                ..
            } => is_listing(request),
            Self::Authentication { doing, .. } => is_listing(doing),
            _ => false,
        }
    }

    /// Whether better credentials would help.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Authentication { .. } | Self::Realm { .. } | Self::Credentials { .. } => true,
            Self::Aws { source, .. } => source.is_authentication(),
            Self::GaveUp { last, .. } => last.is_authentication(),
            _ => false,
        }
    }

    /// As an error of a port.
    pub(crate) fn while_doing(self, doing: impl Into<String>) -> content::Error {
        content::Error::Io {
            doing: doing.into(),
            source: io::Error::other(self),
        }
    }
}
