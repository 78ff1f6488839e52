//! The token endpoint: `GET` as docker asks, `POST` as ORAS and containerd do.

use super::credentials::Credentials;
use super::denial::{Denial, basic_challenge};
use super::rules::Who;
use super::scope::{self, Scope};
use super::secret::Secret;
use super::token::{Claims, Kind};
use super::{Access, NotProved, Proved, unix_now};
use crate::http::target;
use crate::http::{BodyFault, Method, Request, Response, Status};
use jiff::Timestamp;
use serde_json::json;

/// A form with its longest refresh token and all scopes is far smaller.
const FORM_BYTES: u64 = 64 * 1024;

/// What a client asks of the endpoint.
struct Asked {
    proof: Proof,
    scopes: Vec<String>,
    wants_refresh: bool,
}

enum Proof {
    None,
    Password(String, Secret),
    Refresh(Secret),
}

impl Access {
    /// Answers the token endpoint (`GET` or `POST /token`): who proves to be an account, or may pull
    /// without, gets a token for those of the requested scopes that the rules allow.
    pub fn token(&self, request: &mut Request<'_>) -> Response {
        let asked = match request.method() {
            Method::Get | Method::Head => from_query(request),
            Method::Post => from_form(request),
            _ => {
                return Response::error(Status::METHOD_NOT_ALLOWED, "UNSUPPORTED", "GET or POST only")
                    .field("Allow", "GET, POST");
            }
        };
        asked
            .and_then(|asked| self.grant(asked))
            .unwrap_or_else(|refusal| refusal)
    }

    fn grant(&self, asked: Asked) -> Result<Response, Response> {
        if self.is_open() {
            return Err(Response::error(
                Status::NOT_FOUND,
                "UNSUPPORTED",
                "this server needs no tokens",
            ));
        }
        let unauthorized = || self.password_challenge().response();
        let (who, account, until, old_refresh) = match asked.proof {
            Proof::None if self.rules.anonymous_may_something() => (Who::Anonymous, None, None, None),
            Proof::None => return Err(unauthorized()),
            Proof::Password(name, password) => match self.prove(&name, &password) {
                Ok(Proved {
                    account,
                    claim,
                    until,
                }) => (Who::Account(account), Some(claim), until, None),
                Err(NotProved::Wrong) => return Err(unauthorized()),
                Err(NotProved::Busy) => return Err(Denial::TooManyRequests { seconds: 1 }.response()),
            },
            Proof::Refresh(token) => {
                let read = self.read_token(token.expose(), Kind::Refresh);
                let (who, claims) = read.ok_or_else(unauthorized)?;
                (who, claims.account, None, Some(token))
            }
        };
        if asked.scopes.len() > scope::MOST {
            return Err(bad("too many scopes"));
        }
        let parsed = asked.scopes.iter().filter_map(|text| Scope::parse(text));
        let scopes: Vec<_> = parsed
            .filter_map(|scope| scope.cut(&who, &self.rules))
            .map(|scope| scope.to_string())
            .collect();
        let issued = unix_now();
        let seconds = u64::from(self.config.token_seconds.max(60));
        let seconds = until.map_or(seconds, |until| seconds.min(until.saturating_sub(issued)));
        let access = Claims {
            kind: Kind::Access,
            account,
            scopes,
            issued,
            expires: issued + seconds,
        };
        let token = self.key.sign(&access);
        let mut answer = json!({
            "token": token,
            "access_token": token,
            "expires_in": seconds,
            "issued_at": rfc3339(issued),
        });
        // What proved it for twelve hours does not become a proof for a month.
        if asked.wants_refresh && access.account.is_some() && until.is_none() {
            let refresh =
                old_refresh.map_or_else(|| self.refresh_token(access), |old| old.expose().to_owned());
            answer["refresh_token"] = refresh.into();
        }
        Ok(Response::new(Status::OK)
            .field("Cache-Control", "no-store")
            .json(answer.to_string().into_bytes()))
    }

    fn refresh_token(&self, access: Claims) -> String {
        let expires = access.issued + u64::from(self.config.refresh_days.max(1)) * 86_400;
        self.key.sign(&Claims {
            kind: Kind::Refresh,
            scopes: Vec::new(),
            expires,
            ..access
        })
    }

    /// At the endpoint itself only a password helps.
    fn password_challenge(&self) -> Denial {
        Denial::Unauthenticated {
            challenge: basic_challenge(&self.config.service),
        }
    }
}

fn rfc3339(second: u64) -> String {
    let time = i64::try_from(second)
        .ok()
        .and_then(|second| Timestamp::from_second(second).ok());
    time.unwrap_or_default().to_string()
}

fn bad(message: &str) -> Response {
    Response::error(Status::BAD_REQUEST, "UNSUPPORTED", message)
}

fn from_query(request: &Request<'_>) -> Result<Asked, Response> {
    let proof = match Credentials::of(request) {
        Credentials::None => Proof::None,
        Credentials::Basic(name, password) => Proof::Password(name, password),
        Credentials::Bearer(_) | Credentials::Malformed => {
            return Err(bad("only Basic credentials help here"));
        }
    };
    let mut asked = Asked {
        proof,
        scopes: Vec::new(),
        wants_refresh: false,
    };
    for (name, value) in request.query() {
        match &*name {
            "scope" => asked.scopes.extend(value.split_whitespace().map(str::to_owned)),
            "offline_token" => asked.wants_refresh = value == "true",
            _ => {}
        }
    }
    Ok(asked)
}

fn from_form(request: &mut Request<'_>) -> Result<Asked, Response> {
    let body = request.body.read_all(FORM_BYTES).map_err(|error| {
        let status = BodyFault::of(&error).map_or(Status::BAD_REQUEST, BodyFault::status);
        Response::error(status, "UNSUPPORTED", "the form cannot be read")
    })?;
    let text = String::from_utf8(body).map_err(|_| bad("the form is not UTF-8"))?;
    let (mut grant, mut user, mut password, mut refresh) = (None, None, None, None);
    let (mut scopes, mut wants_refresh) = (Vec::new(), false);
    for pair in target::pairs(&text) {
        let (name, value) = pair.ok_or_else(|| bad("the form is malformed"))?;
        match &*name {
            "grant_type" => grant = Some(value.into_owned()),
            "username" => user = Some(value.into_owned()),
            "password" => password = Some(Secret::new(value)),
            "refresh_token" => refresh = Some(Secret::new(value)),
            "scope" => scopes.extend(value.split_whitespace().map(str::to_owned)),
            "access_type" => wants_refresh = value == "offline",
            _ => {}
        }
    }
    let proof = match (grant.as_deref(), user, password, refresh) {
        (Some("password"), Some(user), Some(password), _) => Proof::Password(user, password),
        (Some("refresh_token"), _, _, Some(refresh)) => Proof::Refresh(refresh),
        _ => {
            return Err(bad(
                "grant_type is password, with username and password, or refresh_token",
            ));
        }
    };
    // Who came with a refresh token keeps it: clients expect to see it again.
    let wants_refresh = wants_refresh || matches!(proof, Proof::Refresh(_));
    Ok(Asked {
        proof,
        scopes,
        wants_refresh,
    })
}
