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
mod token;

pub use accounts::AccountsError;
pub use config::{AccessConfig, Mode, RateConfig};
pub use denial::Denial;
pub use listen::{OpenToAll, check_listen};
pub use rules::{Action, Pattern, Permission, Rule, Subject, Who};
pub use secret::Secret;
pub use token::{KeyError, TokenKey};

use crate::http::Request;
use crate::watched::Watched;
use accounts::Accounts;
use credentials::Credentials;
use passwords::{Checked, Passwords};
use rate::Rate;
use rules::Rules;
use scope::Scope;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use token::Kind;

/// The file of accounts is looked at this often, when a request with credentials arrives.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Why access control cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file of accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// There are rules and no accounts whom they could be for.
    #[error("there are access rules and no accounts: set `htpasswd` under [access]")]
    RulesWithoutAccounts,
    /// `public_url` is not `http://host` or `https://host`.
    #[error("public_url {0:?} is not http://HOST or https://HOST")]
    PublicUrl(String),
    /// The service's name cannot stand in a header field.
    #[error("service {0:?} has characters other than letters, digits, and .:-_/")]
    Service(String),
    /// The system gave no random bytes.
    #[error("no random bytes")]
    Random(#[from] getrandom::Error),
}

type ReloadHook = Box<dyn Fn(&AccountsError) + Send + Sync>;

/// The access control of one server.
pub struct Access {
    accounts: Option<Watched<Accounts, AccountsError>>,
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
        if config.htpasswd.is_none() && !config.rules.is_empty() {
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

    /// Whether there are accounts: see [`check_listen`].
    pub fn has_accounts(&self) -> bool {
        self.accounts.is_some()
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
        let Some(accounts) = self.accounts() else {
            return Ok((Who::Local, None));
        };
        match Credentials::of(request) {
            Credentials::None => Ok((Who::Anonymous, None)),
            Credentials::Basic(name, password) => match self.passwords.check(&accounts, &name, &password) {
                Checked::Right => Ok((Who::Account(name), None)),
                Checked::Wrong => Err(self.challenge(request, &[], None)),
                Checked::Busy => Err(Denial::TooManyRequests { seconds: 1 }),
            },
            Credentials::Bearer(token) => self
                .bearer(&accounts, token.expose(), Kind::Access)
                .ok_or_else(|| self.challenge(request, &[], Some("invalid_token"))),
            Credentials::Malformed => Err(self.challenge(request, &[], None)),
        }
    }

    fn bearer(&self, accounts: &Accounts, token: &str, kind: Kind) -> Option<(Who, Option<Vec<Scope>>)> {
        let claims = self.key.read(token, kind, unix_now()).ok()?;
        let who = match claims.account {
            None => Who::Anonymous,
            Some((name, stamp)) => {
                let stored = accounts.get(&name)?;
                (self.key.stamp(stored.text()) == stamp).then_some(Who::Account(name))?
            }
        };
        let scopes = claims
            .scopes
            .iter()
            .filter_map(|scope| Scope::parse(scope))
            .collect();
        Some((who, Some(scopes)))
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
