//! Requests that an AWS client signed, and the passwords that it gets for docker.

use super::rules::{Action, Permission, Who};
use super::signature::{Covered, Signature, SignatureFault};
use super::token::{Claims, Kind};
use super::{Access, Denial, Proved, local, unix_now};
use crate::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use modelkeep_core::Digest;

/// The name in the scope of a signature.
const SERVICE: &str = "ecr-public";
/// What docker is told to log in as.
const LOGIN_NAME: &str = "AWS";
const LOGIN_SECONDS: u64 = 12 * 60 * 60;

/// Who signed a request.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) who: Who,
    /// The region that the client takes this server for.
    pub(crate) region: String,
    /// The key, where keys are checked.
    key: Option<String>,
}

/// Why a signed request may not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsigned {
    Signature(SignatureFault),
    Denied(Denial),
}

impl From<SignatureFault> for Unsigned {
    fn from(fault: SignatureFault) -> Self {
        Self::Signature(fault)
    }
}

/// A password for docker, and the end of its time in Unix seconds.
pub(crate) struct Login {
    /// `AWS:PASSWORD` in base64.
    pub(crate) token: String,
    pub(crate) expires: u64,
}

impl Access {
    /// Refuses, by its head alone, what nobody here can have signed: its body need not be read.
    pub(crate) fn expect_signed(&self, request: &Request<'_>) -> Result<(), Unsigned> {
        let fields = |name: &str| request.headers(name).collect();
        let covered = covered(request, &fields);
        let signature = Signature::of(&covered)?;
        signature.is_for(&covered, SERVICE, i64::try_from(unix_now()).unwrap_or(i64::MAX))?;
        if self.is_open() {
            // Everything may write, so that a page in a browser must not even read.
            local(
                request,
                &[Permission {
                    action: Action::Push,
                    repository: "",
                }],
            )
            .map_err(Unsigned::Denied)?;
            return Ok(());
        }
        match self.aws_keys.get(signature.key) {
            Some(_) => Ok(()),
            None => Err(SignatureFault::UnknownKey.into()),
        }
    }

    /// Who signed `request`, whose body has this hash. Without accounts the secret of a key is not known, and
    /// whoever is on this machine may use any.
    pub(crate) fn signer(&self, request: &Request<'_>, body: &Digest) -> Result<Signer, Unsigned> {
        self.expect_signed(request)?;
        let fields = |name: &str| request.headers(name).collect();
        let covered = covered(request, &fields);
        let signature = Signature::of(&covered)?;
        let region = signature.region.to_owned();
        if self.is_open() {
            return Ok(Signer {
                who: Who::Local,
                region,
                key: None,
            });
        }
        let key = self
            .aws_keys
            .get(signature.key)
            .ok_or(SignatureFault::UnknownKey)?;
        signature.check(&covered, &key.secret, body)?;
        Ok(Signer {
            who: Who::Account(key.account().to_owned()),
            region,
            key: Some(key.id.clone()),
        })
    }

    /// A password by which docker may do for twelve hours what the signer may.
    pub(crate) fn login(&self, signer: &Signer) -> Login {
        let key = signer.key.as_ref().and_then(|id| self.aws_keys.get(id));
        let issued = unix_now();
        let expires = issued + LOGIN_SECONDS;
        let password = self.key.sign(&Claims {
            kind: Kind::Login,
            account: key.map(|key| (subject(&key.id), self.key.stamp(key.secret.expose()))),
            scopes: Vec::new(),
            issued,
            expires,
        });
        Login {
            token: STANDARD.encode(format!("{LOGIN_NAME}:{password}")),
            expires,
        }
    }

    /// Whose password it is, if it is one of [`Access::login`].
    pub(super) fn check_login(&self, name: &str, password: &str) -> Option<Proved> {
        if name != LOGIN_NAME {
            return None;
        }
        let claims = self.key.read(password, Kind::Login, unix_now()).ok()?;
        let claim = claims.account?;
        Some(Proved {
            account: self.account_of(&claim)?,
            claim,
            until: Some(claims.expires),
        })
    }

    /// Whose login it is that came as a token, still in base64.
    pub(super) fn check_login_token(&self, token: &str) -> Option<Proved> {
        let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        self.check_login(name, password)
    }

    /// The account of a key by what a token says of it.
    pub(super) fn account_of_key(&self, subject: &str, stamp: &str) -> Option<String> {
        let key = self.aws_keys.get(subject.strip_prefix(KEY_SUBJECT)?)?;
        (self.key.stamp(key.secret.expose()) == stamp).then(|| key.account().to_owned())
    }
}

/// Begins what a token calls a key: no account of a file has a colon in its name.
const KEY_SUBJECT: &str = "aws:";

fn subject(id: &str) -> String {
    format!("{KEY_SUBJECT}{id}")
}

/// What is signed of a request to `/`. A query could only be there to be signed otherwise than it is read.
fn covered<'a, 'f>(request: &Request<'a>, fields: &'f dyn Fn(&str) -> Vec<&'a str>) -> Covered<'a, 'f> {
    Covered {
        method: request.method().as_str(),
        path: "/",
        query: request.target().split_once('?').map_or("", |(_, query)| query),
        fields,
    }
}
