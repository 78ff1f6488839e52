//! Who may do what: accounts, rules, tokens and rate limits.
//!
//! A route asks [`Access::authorize`] with the [`Permission`]s it needs and gets [`Who`] is asking, or
//! a [`Denial`] that knows its answer. `GET /v2/` asks [`Access::enter`]; `/token` is
//! [`Access::token`].
//!
//! A client that may not yet do something is told 401 with what to ask for; an account that may
//! never do it is told 403. Rules are looked at when a token is made and again when it is used, so
//! that a narrowed rule, a removed account or a changed password counts at once.

mod accounts;
mod aws_keys;
mod config;
mod credentials;
mod denial;
mod grant;
mod listen;
mod mac;
mod passwords;
mod rate;
mod rules;
mod scope;
mod secret;
mod signature;
mod signed;
mod token;

pub use accounts::AccountsError;
pub use aws_keys::{AwsKey, InvalidAwsKey};
pub use config::{AccessConfig, Mode, RateConfig};
pub use denial::Denial;
pub use listen::{OpenToAll, check_listen};
pub use rules::{Action, Pattern, Permission, Rule, Subject, Who};
pub use secret::Secret;
pub(crate) use signature::SignatureFault;
pub(crate) use signed::{Signer, Unsigned};
pub use token::{KeyError, TokenKey};

use crate::http::Request;
use crate::watched::Watched;
use accounts::Accounts;
use aws_keys::AwsKeys;
use credentials::Credentials;
use passwords::{Checked, Passwords};
use rate::Rate;
use rules::Rules;
use scope::Scope;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use token::{Claims, Kind};

/// The file of accounts is looked at this often, when a request with credentials arrives.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Why access control cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// There are rules and no accounts whom they could be for.
    #[error("there are access rules and no accounts: set `htpasswd` or `aws_key` under [access]")]
    RulesWithoutAccounts,
    /// `public_url` is not `http://host` or `https://host`.
    #[error("public_url {0:?} is not http://HOST or https://HOST")]
    PublicUrl(String),
    /// The service's name cannot stand in a header field.
    #[error("service {0:?} has characters other than letters, digits, and .:-_/")]
    Service(String),
    /// A key is none, or there twice.
    #[error(transparent)]
    AwsKey(#[from] InvalidAwsKey),
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random(#[from] getrandom::Error),
}

type ReloadHook = Box<dyn Fn(&AccountsError) + Send + Sync>;

/// The access control of one server.
pub struct Access {
    accounts: Option<Watched<Accounts, AccountsError>>,
    aws_keys: AwsKeys,
    passwords: Passwords,
    rules: Rules,
    key: TokenKey,
    rate: Option<Rate>,
    config: AccessConfig,
    on_reload_failure: Option<ReloadHook>,
}

impl Access {
    /// Access as `config` has it; tokens are signed with `key`.
    ///
    /// # Errors
    /// When the accounts cannot be read or the settings contradict each other.
    pub fn open(config: AccessConfig, key: TokenKey) -> Result<Self, AccessError> {
        if !config.has_accounts() && !config.rules.is_empty() {
            return Err(AccessError::RulesWithoutAccounts);
        }
        if let Some(url) = &config.public_url
            && !denial::is_public_url(url)
        {
            return Err(AccessError::PublicUrl(url.clone()));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_/".contains(&byte);
        if config.service.is_empty() || !config.service.bytes().all(plain) {
            return Err(AccessError::Service(config.service));
        }
        let read = |path| Watched::open(vec![path], CHECK_EVERY, |paths| Accounts::read(&paths[0]));
        Ok(Self {
            accounts: config.htpasswd.clone().map(read).transpose()?,
            aws_keys: AwsKeys::new(&config.aws_keys)?,
            passwords: Passwords::new()?,
            rules: Rules::new(&config.rules, config.anonymous_pull),
            key,
            rate: config.rate.map(Rate::new),
            config,
            on_reload_failure: None,
        })
    }

    /// Calls `hook` when a changed file of accounts cannot be used; the accounts before it stay.
    #[must_use]
    pub fn on_reload_failure(mut self, hook: impl Fn(&AccountsError) + Send + Sync + 'static) -> Self {
        self.on_reload_failure = Some(Box::new(hook));
        self
    }

    /// Whether nobody can prove who they are, so that everybody on this machine may do everything.
    fn is_open(&self) -> bool {
        !self.config.has_accounts()
    }

    /// Counts a request against its client's rate. Ask before anything else.
    ///
    /// # Errors
    /// [`Denial::TooManyRequests`] when the client must wait.
    pub fn admit(&self, remote: IpAddr) -> Result<(), Denial> {
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        rate.take(remote, Instant::now())
            .map_err(|seconds| Denial::TooManyRequests { seconds })
    }

    /// Who is asking, if they may do all of `permissions`.
    ///
    /// # Errors
    /// The [`Denial`] to answer with.
    pub fn authorize(&self, request: &Request<'_>, permissions: &[Permission<'_>]) -> Result<Who, Denial> {
        let (who, granted) = self.identify(request)?;
        if who == Who::Local {
            return local(request, permissions);
        }
        let all_allowed = permissions
            .iter()
            .all(|permission| self.rules.allow(&who, *permission));
        let challenge = |error| self.challenge(request, &Scope::needed(permissions), error);
        match (&who, all_allowed, granted) {
            (Who::Anonymous, false, _) => Err(challenge(None)),
            (_, false, _) => Err(Denial::Forbidden { who }),
            (_, true, Some(scopes)) => {
                let granted = |needed: &Permission<'_>| scopes.iter().any(|scope| scope.grants(*needed));
                if permissions.iter().all(granted) {
                    Ok(who)
                } else {
                    Err(challenge(Some("insufficient_scope")))
                }
            }
            (_, true, None) => Ok(who),
        }
    }

    /// `GET /v2/`: whether the client proved who it is, or needs not. Clients learn from this answer
    /// how to log in, so that without credentials it is 401 even where all may pull.
    ///
    /// # Errors
    /// The [`Denial`] to answer with.
    pub fn enter(&self, request: &Request<'_>) -> Result<Who, Denial> {
        match self.identify(request)? {
            (Who::Anonymous, None) => Err(self.challenge(request, &[], None)),
            (Who::Local, _) => local(request, &[]),
            (who, _) => Ok(who),
        }
    }

    /// Whether `who` may do it by the rules: for leaving out of a listing what they may not see. It
    /// does not know the request's token; where that matters, ask [`Access::authorize`] once more.
    pub fn may(&self, who: &Who, permission: Permission<'_>) -> bool {
        self.rules.allow(who, permission)
    }

    /// Who is asking, and the scopes of their token if they came with one.
    fn identify(&self, request: &Request<'_>) -> Result<(Who, Option<Vec<Scope>>), Denial> {
        if self.is_open() {
            return Ok((Who::Local, None));
        }
        match Credentials::of(request) {
            Credentials::None => Ok((Who::Anonymous, None)),
            Credentials::Basic(name, password) => {
                // Hashes of passwords are made to take long.
                request.take_time();
                match self.prove(&name, &password) {
                    Ok(proved) => Ok((Who::Account(proved.account), None)),
                    Err(NotProved::Wrong) => Err(self.challenge(request, &[], None)),
                    Err(NotProved::Busy) => Err(Denial::TooManyRequests { seconds: 1 }),
                }
            }
            Credentials::Bearer(token) => self
                .bearer(token.expose())
                .ok_or_else(|| self.challenge(request, &[], Some("invalid_token"))),
            Credentials::Malformed => Err(self.challenge(request, &[], None)),
        }
    }

    /// Who they are that have this name and password.
    fn prove(&self, name: &str, password: &Secret) -> Result<Proved, NotProved> {
        if let Some(proved) = self.check_login(name, password.expose()) {
            return Ok(proved);
        }
        let accounts = self.accounts().ok_or(NotProved::Wrong)?;
        match self.passwords.check(&accounts, name, password) {
            Checked::Right => {}
            Checked::Wrong => return Err(NotProved::Wrong),
            Checked::Busy => return Err(NotProved::Busy),
        }
        let stored = accounts.get(name).ok_or(NotProved::Wrong)?;
        Ok(Proved {
            account: name.to_owned(),
            claim: (name.to_owned(), self.key.stamp(stored.text())),
            until: None,
        })
    }

    fn bearer(&self, token: &str) -> Option<(Who, Option<Vec<Scope>>)> {
        if let Some(proved) = self.check_login_token(token) {
            return Some((Who::Account(proved.account), None));
        }
        let (who, claims) = self.read_token(token, Kind::Access)?;
        let scopes = claims
            .scopes
            .iter()
            .filter_map(|scope| Scope::parse(scope))
            .collect();
        Some((who, Some(scopes)))
    }

    /// A token of ours, and whose it is as long as they have the secret that they had when they got it.
    fn read_token(&self, token: &str, kind: Kind) -> Option<(Who, Claims)> {
        let claims = self.key.read(token, kind, unix_now()).ok()?;
        let who = match &claims.account {
            None => Who::Anonymous,
            Some(claim) => Who::Account(self.account_of(claim)?),
        };
        Some((who, claims))
    }

    /// The account that a token's claim names.
    fn account_of(&self, (subject, stamp): &(String, String)) -> Option<String> {
        if let Some(account) = self.account_of_key(subject, stamp) {
            return Some(account);
        }
        let accounts = self.accounts()?;
        let stored = accounts.get(subject)?;
        (self.key.stamp(stored.text()) == *stamp).then(|| subject.clone())
    }

    fn accounts(&self) -> Option<Arc<Accounts>> {
        let (accounts, failure) = self.accounts.as_ref()?.get();
        if let (Some(failure), Some(hook)) = (failure, &self.on_reload_failure) {
            hook(&failure);
        }
        Some(accounts)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// An account that proved itself.
struct Proved {
    account: String,
    /// How tokens name it, and the stamp of the secret that proved it.
    claim: (String, String),
    /// When the proof ends, where it does, in Unix seconds.
    until: Option<u64>,
}

/// Why somebody did not prove who they are.
enum NotProved {
    Wrong,
    /// Too many passwords are being checked.
    Busy,
}

/// A server without accounts trusts its machine, but not the pages that a browser on it shows: those
/// send `Origin` when they write, which no registry client does.
fn local(request: &Request<'_>, permissions: &[Permission<'_>]) -> Result<Who, Denial> {
    let writes = permissions
        .iter()
        .any(|permission| matches!(permission.action, Action::Push | Action::Delete));
    let from_page = writes && request.header("origin").is_some();
    if from_page || !request.remote().ip().to_canonical().is_loopback() {
        return Err(Denial::Forbidden { who: Who::Anonymous });
    }
    Ok(Who::Local)
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
