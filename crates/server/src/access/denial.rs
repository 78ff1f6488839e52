//! Why a request may not go on, and the answer that says so.

use super::Access;
use super::config::Mode;
use super::rules::Who;
use super::scope::Scope;
use crate::http::{Request, Response, Status};

/// A refusal of access control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// 401: credentials are missing, wrong, or a token is not enough.
    Unauthenticated {
        /// The `WWW-Authenticate` field.
        challenge: String,
    },
    /// 403: whoever it is may not do this.
    Forbidden {
        /// Who asked.
        who: Who,
    },
    /// 429: later.
    TooManyRequests {
        /// When to come back.
        seconds: u64,
    },
}

/// Docker takes its own standard message of this code, `authentication required`, for a fault that may pass, and tries
/// again for a minute before it shows anything. Any other message is shown at once.
const LOG_IN: &str = "log in with an account of this registry";

impl Denial {
    /// The answer, with the spec's error code.
    pub fn response(&self) -> Response {
        match self {
            Self::Unauthenticated { challenge } => {
                Response::error(Status::UNAUTHORIZED, "UNAUTHORIZED", LOG_IN)
                    .field("WWW-Authenticate", challenge)
            }
            Self::Forbidden { who } => {
                let message = format!("{who} may not do this here");
                Response::error(Status::FORBIDDEN, "DENIED", &message)
            }
            Self::TooManyRequests { seconds } => Response::error(
                Status::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                "too many requests, try later",
            )
            .field("Retry-After", seconds),
        }
    }
}

impl Access {
    /// A 401 that tells the client where to get a token for `scopes`, or to send its password.
    pub(super) fn challenge(&self, request: &Request<'_>, scopes: &[Scope], error: Option<&str>) -> Denial {
        let service = &self.config.service;
        let realm = match self.config.mode {
            Mode::Basic => None,
            Mode::Bearer => self.realm(request),
        };
        let Some(realm) = realm else {
            return Denial::Unauthenticated {
                challenge: basic_challenge(service),
            };
        };
        let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
        if !scopes.is_empty() {
            let words: Vec<_> = scopes.iter().map(ToString::to_string).collect();
            challenge.push_str(&format!(",scope=\"{}\"", words.join(" ")));
        }
        if let Some(error) = error {
            challenge.push_str(&format!(",error=\"{error}\""));
        }
        Denial::Unauthenticated { challenge }
    }

    /// Where clients reach the server, as docker writes it: HOST or HOST:PORT. `None` where nobody says.
    pub(crate) fn host(&self, request: &Request<'_>) -> Option<String> {
        let address = self.address(request)?;
        let (_, rest) = address.split_once("://")?;
        rest.split('/').next().map(str::to_owned)
    }

    /// Where clients reach the server: `https://HOST`, without a slash at its end. `None` where nobody says.
    pub(crate) fn address(&self, request: &Request<'_>) -> Option<String> {
        if let Some(url) = &self.config.public_url {
            return Some(url.trim_end_matches('/').to_owned());
        }
        let host = request.header("host").filter(|host| is_host(host))?;
        let scheme = if request.is_secure() { "https" } else { "http" };
        Some(format!("{scheme}://{host}"))
    }

    /// The token endpoint's address as the client can reach it. `None` where nobody says.
    fn realm(&self, request: &Request<'_>) -> Option<String> {
        Some(format!("{}/token", self.address(request)?))
    }
}

pub(super) fn basic_challenge(service: &str) -> String {
    format!("Basic realm=\"{service}\",charset=\"UTF-8\"")
}

/// A host and maybe a port, and nothing that could leave a quoted string.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

/// `http` or `https`, a host, and maybe a path to stand before `/token`.
pub(super) fn is_public_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        is_host(host)
            && path
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
    })
}
