//! What a registry wants to see before it answers: passwords, or tokens that somebody else gives.

mod challenge;
mod places;
mod realm;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

pub(crate) use challenge::Challenge;
use places::Places;
pub(crate) use places::{Lent, Lookup, Place};

use crate::{
    Credential, Error, Secret,
    http::{Http, Origin, Reach, Request, Response, Url, escape},
    probe::Identity,
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

/// What is to be shown to one registry.
pub(crate) struct Auth {
    registry: Origin,
    state: Mutex<State>,
}

struct State {
    challenge: Option<Challenge>,
    places: Places,
    /// Whether the registry lies on the open network, and so has no business sending us to a private one.
    is_public: bool,
    tokens: HashMap<String, Arc<Mutex<Option<Token>>>>,
    /// How often credentials from another place were turned to.
    turns: usize,
    /// What was given out since then.
    given: Vec<Secret>,
}

struct Token {
    header: Secret,
    until: Instant,
}

impl Auth {
    /// `places` are where credentials come from, in the order in which they are tried.
    pub(crate) fn new(registry: Origin, places: Vec<Place>) -> Self {
        Self {
            registry,
            state: Mutex::new(State {
                challenge: None,
                places: Places::new(places),
                is_public: false,
                tokens: HashMap::new(),
                turns: 0,
                given: Vec::new(),
            }),
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

    /// Turns to the next place that has credentials, or to none for reading what may be public, when a registry
    /// answered with `status` to what it was `shown`. `false` when nothing is left.
    pub(crate) fn turn(&self, status: u16, shown: &Secret) -> bool {
        let mut state = self.state();
        // Otherwise another thread has turned meanwhile.
        !state.given.contains(shown) || state.turn(status)
    }

    /// Whom the registry takes us for.
    pub(crate) fn identity(&self) -> Identity {
        let state = self.state();
        match (&state.challenge, state.places.has_credentials()) {
            (None, _) => Identity::Anybody,
            (Some(_), false) => Identity::Anonymous,
            (Some(_), true) => Identity::Known,
        }
    }

    /// For messages: what was shown.
    pub(crate) fn used(&self) -> String {
        self.state().places.used()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn credential(&self) -> Result<Option<Credential>, Error> {
        self.state().places.credential()
    }

    fn answer(
        &self,
        http: &Http,
        challenge: &Challenge,
        scope: &str,
        refused: Option<&Secret>,
    ) -> Result<Option<Secret>, Error> {
        let turns = self.state().turns;
        let header = self.find(http, challenge, scope, refused)?;
        let mut state = self.state();
        if let Some(header) = header.as_ref().filter(|header| !state.given.contains(header))
            && state.turns == turns
        {
            state.given.truncate(SCOPES);
            state.given.insert(0, header.clone());
        }
        Ok(header)
    }

    fn find(
        &self,
        http: &Http,
        challenge: &Challenge,
        scope: &str,
        refused: Option<&Secret>,
    ) -> Result<Option<Secret>, Error> {
        match challenge {
            Challenge::Basic => Ok(match self.credential()? {
                Some(Credential::Password { user, password }) => Some(basic(&user, &password)),
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
        loop {
            let credential = self.credential()?;
            let fetched = self.fetch(http, &realm, service, scopes, credential.as_ref());
            let refused = match &fetched {
                Err(Error::Authentication { .. }) => 401,
                Err(Error::Status { status: 429, .. }) => 429,
                _ => return fetched,
            };
            if !self.state().turn(refused) {
                return fetched;
            }
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

impl State {
    fn turn(&mut self, status: u16) -> bool {
        let turned = self.places.step(status, self.challenge.as_ref());
        if turned {
            self.tokens.clear();
            self.given.clear();
            self.turns += 1;
        }
        turned
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
