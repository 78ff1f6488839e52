//! What a registry wants to see before it answers: passwords, or tokens that somebody else gives.

mod challenge;
mod realm;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

pub(crate) use challenge::Challenge;

use crate::{
    Access, Credential, Error, Secret,
    http::{Http, Origin, Reach, Request, Response, Url, escape},
    problem::{self, problem},
};

/// Longest answer of a token server.
const ANSWER: u64 = 1 << 20;
/// How long a token serves when nothing is said of it (distribution, "Token Authentication Specification").
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// A token this near to its end is not used for another request.
const MARGIN: Duration = Duration::from_secs(10);
/// Schemes, services and scopes that are remembered.
const SCOPES: usize = 64;

/// Who looks stored credentials up. Asked once, and only when a registry wants some.
pub(crate) type Lookup = Box<dyn Fn() -> Result<Option<Credential>, Error> + Send + Sync>;

/// What is to be shown to one registry.
pub(crate) struct Auth {
    registry: Origin,
    access: Access,
    lookup: Lookup,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    credential: Option<Arc<Option<Credential>>>,
    /// Whether the registry lies on the open network, and so has no business sending us to a private one.
    is_public: bool,
    /// The stored credentials were no good, and nothing is the better answer.
    anonymous: bool,
    tokens: HashMap<String, Arc<Mutex<Option<Token>>>>,
}

struct Token {
    header: Secret,
    until: Instant,
}

impl Auth {
    pub(crate) fn new(registry: Origin, access: Access, lookup: Lookup) -> Self {
        Self {
            registry,
            access,
            lookup,
            state: Mutex::default(),
        }
    }

    /// The `Authorization` for a request in `scope`, as far as is known what the registry wants.
    pub(crate) fn header(&self, http: &Http, scope: &str) -> Result<Option<Secret>, Error> {
        let challenge = self.state().challenge.clone();
        match challenge {
            None => Ok(None),
            Some(challenge) => self.answer(http, &challenge, scope, None),
        }
    }

    /// What to show after `response`, a 401, came to a request that showed `shown`. `None` when there is nothing better.
    pub(crate) fn challenged(
        &self,
        http: &Http,
        response: &Response,
        scope: &str,
        shown: Option<&Secret>,
    ) -> Result<Option<Secret>, Error> {
        let Some(challenge) = Challenge::choose(response.head.all("www-authenticate")) else {
            return Ok(None);
        };
        let mut state = self.state();
        state.challenge = Some(challenge.clone());
        state.is_public = response.peer_is_public;
        drop(state);
        let header = self.answer(http, &challenge, scope, shown)?;
        Ok(header.filter(|header| Some(header) != shown))
    }

    /// Turns to anonymous tokens, once, when stored credentials are no good for reading what may be public.
    pub(crate) fn give_credentials_up(&self) -> bool {
        if self.access != Access::Read {
            return false;
        }
        let mut state = self.state();
        let bearer = matches!(state.challenge, Some(Challenge::Bearer { .. }));
        let had = state.credential.as_deref().is_some_and(Option::is_some);
        if state.anonymous || !bearer || !had {
            return false;
        }
        state.anonymous = true;
        state.tokens.clear();
        true
    }

    /// For messages: what was shown.
    pub(crate) fn used(&self) -> &'static str {
        let state = self.state();
        match state.credential.as_deref() {
            Some(Some(_)) if state.anonymous => {
                "the stored credentials were refused, and it does not answer without"
            }
            Some(Some(_)) => "the stored credentials do not suffice",
            Some(None) => "no credentials are stored for it",
            None => "it wants nothing that we could show",
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn credential(&self) -> Result<Arc<Option<Credential>>, Error> {
        let mut state = self.state();
        if state.anonymous {
            return Ok(Arc::new(None));
        }
        if let Some(found) = &state.credential {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new((self.lookup)()?);
        state.credential = Some(Arc::clone(&found));
        Ok(found)
    }

    fn answer(
        &self,
        http: &Http,
        challenge: &Challenge,
        scope: &str,
        refused: Option<&Secret>,
    ) -> Result<Option<Secret>, Error> {
        match challenge {
            Challenge::Basic => Ok(match &*self.credential()? {
                Some(Credential::Password { user, password }) => Some(basic(user, password)),
                _ => None,
            }),
            Challenge::Bearer {
                realm,
                service,
                scope: asked,
                ..
            } => {
                let scopes = scopes(scope, asked.as_deref());
                let slot = self.slot(&scopes.join(" "));
                // Held while the token is fetched: whoever needs the same one waits for it.
                let mut token = slot.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(token) = &*token
                    && Some(&token.header) != refused
                    && token.until > Instant::now()
                {
                    return Ok(Some(token.header.clone()));
                }
                let fetched = self.token(http, realm, service.as_deref(), &scopes)?;
                let header = fetched.header.clone();
                *token = Some(fetched);
                Ok(Some(header))
            }
        }
    }

    fn slot(&self, scope: &str) -> Arc<Mutex<Option<Token>>> {
        let mut state = self.state();
        if state.tokens.len() >= SCOPES {
            state.tokens.clear();
        }
        Arc::clone(state.tokens.entry(scope.to_owned()).or_default())
    }

    fn token(
        &self,
        http: &Http,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<Token, Error> {
        let realm = Url::parse(realm)?;
        let credential = self.credential()?;
        let fetched = self.fetch(http, &realm, service, scopes, credential.as_ref().as_ref());
        match fetched {
            Err(Error::Authentication { .. }) if credential.is_some() && self.give_credentials_up() => {
                self.fetch(http, &realm, service, scopes, None)
            }
            fetched => fetched,
        }
    }

    fn fetch(
        &self,
        http: &Http,
        realm: &Url,
        service: Option<&str>,
        scopes: &[String],
        credential: Option<&Credential>,
    ) -> Result<Token, Error> {
        if credential.is_some() && !realm::may_have_credentials(&self.registry, realm) {
            return Err(Error::Realm {
                host: self.registry.authority(),
                realm: realm.to_string(),
            });
        }
        let mut fields = Vec::new();
        fields.extend(service.map(|service| ("service", service)));
        let joined = scopes.join(" ");
        let mut request = Request {
            method: "GET",
            url: realm,
            headers: vec![("Accept", "application/json".to_owned())],
            body: &[],
            reach: match self.state().is_public {
                true => Reach::Public,
                false => Reach::Anywhere,
            },
        };
        let mut url = realm.clone();
        let form;
        match credential {
            Some(Credential::Identity(token)) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "modelkeep"),
                    ("scope", &joined),
                    ("refresh_token", token.expose()),
                ]);
                form = fields
                    .iter()
                    .map(|(name, value)| format!("{name}={}", escape(value)))
                    .collect::<Vec<_>>()
                    .join("&");
                request.method = "POST";
                request.body = form.as_bytes();
                request
                    .headers
                    .push(("Content-Type", "application/x-www-form-urlencoded".to_owned()));
            }
            other => {
                fields.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
                if let Some(Credential::Password { user, password }) = other {
                    fields.push(("account", user));
                    request
                        .headers
                        .push(("Authorization", basic(user, password).expose().to_owned()));
                }
                for (name, value) in fields {
                    url = url.with_query(name, value);
                }
                request.url = &url;
            }
        }
        let response = http.send(&request)?;
        let status = response.head.status;
        if status != 200 {
            let (host, name) = (response.host(), response.name.clone());
            let asked = crate::retry::retry_after(response.head.get("retry-after"));
            let said = problem(response);
            return Err(match status {
                400 | 401 | 403 => Error::Authentication {
                    host: self.registry.authority(),
                    doing: format!("have a token from {host}"),
                    reason: problem::sentence(status, &said),
                },
                _ => Error::Status {
                    host,
                    request: name,
                    status,
                    problem: said,
                    retry_after: asked,
                },
            });
        }
        let (host, name) = (response.host(), response.name.clone());
        let body = response.small_body(ANSWER)?;
        read_token(&body).ok_or_else(|| Error::Protocol {
            host,
            request: name,
            reason: "it holds no token".to_owned(),
        })
    }
}

fn read_token(body: &[u8]) -> Option<Token> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<f64>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let text = answer.token.or(answer.access_token)?;
    // It becomes a header: a line break in it would become another one.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let life = answer
        .expires_in
        .and_then(|seconds| Duration::try_from_secs_f64(seconds.min(86_400.0)).ok())
        .unwrap_or(DEFAULT_LIFE);
    Some(Token {
        header: Secret::new(format!("Bearer {text}")),
        until: Instant::now() + life.saturating_sub(MARGIN.min(life / 2)),
    })
}

pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    let pair = format!("{user}:{}", password.expose());
    Secret::new(format!("Basic {}", STANDARD.encode(pair)))
}

/// The scopes to ask for: what the request needs, and what the registry asked for if that is something else. Some
/// registries (`aws`) have one scope of their own for everything.
fn scopes(needed: &str, asked: Option<&str>) -> Vec<String> {
    let mut scopes: Vec<String> = needed
        .split(' ')
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect();
    let Some(asked) = asked else {
        return scopes;
    };
    if !asked.starts_with("repository:") && !asked.starts_with("registry:") || scopes.is_empty() {
        return vec![asked.to_owned()];
    }
    for scope in asked.split(' ') {
        if !scopes.iter().any(|wide| covers(wide, scope)) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// Whether `scope` asks for nothing that `wide` does not give.
fn covers(wide: &str, scope: &str) -> bool {
    match (wide.rsplit_once(':'), scope.rsplit_once(':')) {
        (Some((a, all)), Some((b, some))) => {
            a == b
                && some
                    .split(',')
                    .all(|action| all.split(',').any(|given| given == action))
        }
        _ => wide == scope,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_what_is_needed_and_what_is_asked_for() {
        let needed = "repository:a/b:pull,push";
        assert_eq!(scopes(needed, None), [needed]);
        assert_eq!(scopes(needed, Some("repository:a/b:pull")), [needed]);
        assert_eq!(scopes(needed, Some("aws")), ["aws"]);
        assert_eq!(
            scopes(needed, Some("repository:c:pull")),
            [needed, "repository:c:pull"]
        );
        assert!(scopes("", None).is_empty());
    }

    #[test]
    fn a_token_that_would_break_a_header_is_none() {
        assert!(read_token(br#"{"token":"abc"}"#).is_some());
        assert!(read_token(br#"{"access_token":"abc","expires_in":1e300}"#).is_some());
        for body in [r#"{"token":"a\r\nEvil: 1"}"#, r#"{"token":""}"#, "{}", "<html>"] {
            assert!(read_token(body.as_bytes()).is_none(), "{body}");
        }
    }
}
