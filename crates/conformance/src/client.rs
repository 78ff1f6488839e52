//! Requests to one registry, with its authentication answered. Redirects are not followed.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::answer::Answer;
use crate::auth::{Challenge, Credentials, token_target};
use crate::check::{Exchange, Failure, describe};
use crate::http::{Connection, HttpError, Request};

/// Why a URL cannot be tested.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not of the form `http://HOST[:PORT]`.
    #[error("target {0:?} is not of the form http://HOST[:PORT]; TLS is not spoken here")]
    Url(String),
    /// The host has no address.
    #[error("cannot resolve {host:?}")]
    Resolve {
        /// The host and port that were asked for.
        host: String,
        /// The resolver's answer.
        #[source]
        source: std::io::Error,
    },
    /// No test has a name with the wanted prefix.
    #[error("no test has a name that begins with {0:?}")]
    NoSuchTest(String),
}

/// A registry under test.
pub(crate) struct Client {
    /// Host and port as they stand in the URL.
    pub(crate) authority: String,
    address: SocketAddr,
    credentials: Option<Credentials>,
    /// `Authorization` values that worked, by what they were asked for.
    granted: Mutex<BTreeMap<String, String>>,
}

impl Client {
    pub(crate) fn new(url: &str, credentials: Option<Credentials>) -> Result<Self, TargetError> {
        let authority = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
            .filter(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ']))
            .ok_or_else(|| TargetError::Url(url.to_owned()))?;
        let port_is_named = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let host = if port_is_named {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let failed = |source| TargetError::Resolve {
            host: host.clone(),
            source,
        };
        let address = host
            .to_socket_addrs()
            .map_err(failed)?
            .next()
            .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        Ok(Self {
            authority: authority.to_owned(),
            address,
            credentials,
            granted: Mutex::new(BTreeMap::new()),
        })
    }

    /// One request on a connection of its own.
    pub(crate) fn send(&self, request: Request) -> Result<Exchange, Failure> {
        self.authorized(request, |request| {
            Connection::open(self.address, &self.authority)?.last_exchange(request)
        })
    }

    /// Several requests, one after the other, on one connection.
    pub(crate) fn send_in_turn(&self, requests: Vec<Request>) -> Result<Vec<Exchange>, Failure> {
        let mut connection =
            Connection::open(self.address, &self.authority).map_err(|error| Failure(error.to_string()))?;
        requests
            .into_iter()
            .map(|request| self.authorized(request, |request| connection.exchange(request)))
            .collect()
    }

    /// One request with exactly the headers it has, whatever the registry asks for.
    pub(crate) fn send_as_stranger(&self, request: Request) -> Result<Exchange, Failure> {
        let answer = Connection::open(self.address, &self.authority)
            .and_then(|connection| connection.last_exchange(&request))
            .map_err(|error| Failure(format!("{error}; request was {}", describe(&request))))?;
        Ok(Exchange::new(&request, answer, &self.authority))
    }

    fn authorized(
        &self,
        request: Request,
        send: impl FnMut(&Request) -> Result<Answer, HttpError>,
    ) -> Result<Exchange, Failure> {
        let sent = describe(&request);
        self.converse(request, send)
            .map_err(|error| Failure(format!("{error}; request was {sent}")))
    }

    fn converse(
        &self,
        mut request: Request,
        mut send: impl FnMut(&Request) -> Result<Answer, HttpError>,
    ) -> Result<Exchange, HttpError> {
        let bare = request.clone();
        let purpose = purpose(&request);
        let known = self.grants().get(&purpose).cloned();
        if let Some(value) = known {
            request = request.header("Authorization", value);
        }
        let mut answer = send(&request)?;
        if answer.status == 401
            && let Some(value) = self.answer_challenge(&answer)?
        {
            request = bare.header("Authorization", value.clone());
            answer = send(&request)?;
            if answer.status != 401 {
                self.grants().insert(purpose, value);
            }
        }
        Ok(Exchange::new(&request, answer, &self.authority))
    }

    fn grants(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer_challenge(&self, answer: &Answer) -> Result<Option<String>, HttpError> {
        let challenges: Vec<_> = answer
            .headers("www-authenticate")
            .filter_map(Challenge::parse)
            .collect();
        for challenge in challenges {
            match challenge {
                Challenge::Basic => {
                    if let Some(credentials) = &self.credentials {
                        return Ok(Some(credentials.basic()));
                    }
                }
                Challenge::Bearer(parameters) => {
                    if let Some(target) = token_target(&parameters, &self.authority) {
                        return self.fetch_token(target);
                    }
                }
            }
        }
        Ok(None)
    }

    fn fetch_token(&self, target: String) -> Result<Option<String>, HttpError> {
        let mut request = Request::get(target);
        if let Some(credentials) = &self.credentials {
            request = request.header("Authorization", credentials.basic());
        }
        let answer = Connection::open(self.address, &self.authority)?.last_exchange(&request)?;
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(["token", "access_token"]
            .into_iter()
            .find_map(|name| document.get(name)?.as_str())
            .map(|token| format!("Bearer {token}")))
    }
}

/// What one grant is good for: a method class on one repository.
fn purpose(request: &Request) -> String {
    let path = request.target.split('?').next().unwrap_or_default();
    let end = ["/blobs/", "/manifests/", "/tags/", "/referrers/"]
        .into_iter()
        .find_map(|part| path.find(part))
        .unwrap_or(path.len());
    let class = match request.method {
        "GET" | "HEAD" => "pull",
        "POST" | "PUT" | "PATCH" => "push",
        other => other,
    };
    format!("{class} {}", &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_without_a_path_are_targets() {
        for url in ["https://h", "h:1", "http://", "http://h/v2", "http://a b"] {
            assert!(matches!(Client::new(url, None), Err(TargetError::Url(_))));
        }
        let client = Client::new("http://127.0.0.1:5000/", None).unwrap();
        assert_eq!(client.authority, "127.0.0.1:5000");
        assert_eq!(client.address.port(), 5000);
    }

    #[test]
    fn grants_are_kept_per_repository_and_kind_of_access() {
        let upload = Request::post("/v2/a/b/blobs/uploads/?mount=x");
        assert_eq!(purpose(&upload), "push /v2/a/b");
        assert_eq!(purpose(&Request::get("/v2/a/b/tags/list")), "pull /v2/a/b");
        assert_eq!(purpose(&Request::get("/v2/")), "pull /v2/");
    }
}
