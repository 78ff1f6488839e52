use std::{path::PathBuf, sync::Arc};

use modelkeep_core::{Descriptor, Digest, Host, Limits, RepoName, Tag, content};

use crate::{
    Credential, Error, Keychain, Patience, Timeouts,
    address::{address, limits},
    ahead::Budget,
    auth::{Auth, Lent, Place},
    chunks::Chunks,
    credentials,
    http::{Http, Origin, Proxies, Reach, Request, Response, Scheme, Url},
    pace::Pace,
    problem::{problem, sentence},
    retry::{Attempts, Retries, retry_after},
};

/// What a repository is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading, which may need no credentials.
    Read,
    /// Reading and writing.
    Write,
}

impl Access {
    fn actions(self) -> &'static str {
        match self {
            Self::Read => "pull",
            Self::Write => "pull,push",
        }
    }
}

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A file of authorities that are trusted besides those of the machine.
    pub ca: Option<PathBuf>,
    /// No TLS, as for this machine when `ca` names no authorities.
    pub plain_http: bool,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// How often it is tried.
    pub patience: Patience,
    /// Where uploads that are not finished are remembered, so that another process goes on with them.
    pub uploads: Option<PathBuf>,
}

/// Redirects that are followed for one request.
const REDIRECTS: usize = 5;
/// Answers to one request that want other credentials.
const CHALLENGES: usize = 5;

/// One repository of a registry on the network. Clones share connections, tokens and budgets.
#[derive(Clone)]
pub struct Registry {
    pub(crate) http: Arc<Http>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) base: Url,
    pub(crate) name: RepoName,
    pub(crate) settings: Settings,
    pub(crate) chunks: Arc<Chunks>,
    pub(crate) pace: Arc<Pace>,
    pub(crate) ahead: Arc<Budget>,
    /// What tokens are asked for; nothing for a login.
    scope: String,
    limits: Limits,
}

impl Registry {
    /// The repository `name` of the registry `host`. Nothing is sent yet. `variable` reads the environment: proxies.
    ///
    /// # Errors
    /// [`Error::Url`] when a proxy that the environment names cannot be used.
    pub fn new(
        host: &Host,
        name: &RepoName,
        access: Access,
        keychain: Keychain,
        settings: Settings,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let (base, name) = address(host, name, &settings)?;
        let places = credentials::places(host, &name, access, keychain, &settings, variable)?;
        Ok(Self {
            http: Arc::new(Http::new(
                settings.ca.clone(),
                Proxies::read(variable)?,
                settings.timeouts,
            )),
            auth: Arc::new(Auth::new(base.origin.clone(), places)),
            chunks: Arc::default(),
            pace: Arc::new(Pace::of(&base.origin.host)),
            ahead: Arc::default(),
            limits: limits(&base.origin.host),
            scope: format!("repository:{name}:{}", access.actions()),
            base,
            name,
            settings,
        })
    }

    /// What the registry takes, as far as its operator documents it.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Attempts at an upload, with the patience of the settings.
    #[must_use]
    pub fn retries(&self) -> Retries {
        Retries::new(self.settings.patience)
    }

    /// This repository, with leave to read from another one of the same registry.
    pub(crate) fn reading_too(&self, other: &RepoName) -> Self {
        Self {
            scope: format!("{} repository:{other}:pull", self.scope),
            ..self.clone()
        }
    }

    /// `HOST/NAME`
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.host(), self.name)
    }

    pub(crate) fn host(&self) -> String {
        self.base.origin.authority()
    }

    /// `/v2/NAME/{rest}`
    pub(crate) fn url(&self, rest: &str) -> Url {
        Url {
            origin: self.base.origin.clone(),
            target: format!("/v2/{}/{rest}", self.name),
        }
    }

    pub(crate) fn blob(&self, digest: &Digest) -> Url {
        self.url(&format!("blobs/{digest}"))
    }

    pub(crate) fn manifest(&self, reference: &dyn std::fmt::Display) -> Url {
        self.url(&format!("manifests/{reference}"))
    }

    /// A request to an address that is the registry's own, or to which it sent us.
    pub(crate) fn request<'a>(&self, method: &'static str, url: &'a Url) -> Request<'a> {
        Request {
            method,
            url,
            headers: Vec::new(),
            body: &[],
            reach: Reach::Anywhere,
        }
    }

    /// Sends a request, again when that may help, and gives an answer that is no refusal, or one of the statuses that
    /// the caller `expects`.
    pub(crate) fn call(&self, request: &Request<'_>, expects: &[u16]) -> Result<Response, Error> {
        let mut attempts = Attempts::new(self.settings.patience);
        loop {
            match self.call_once(request, expects) {
                Ok(response) => return Ok(response),
                Err(error) => attempts.again(error)?,
            }
        }
    }

    pub(crate) fn call_once(&self, request: &Request<'_>, expects: &[u16]) -> Result<Response, Error> {
        let (response, _) = self.follow(request)?;
        self.accepted(response, expects)
    }

    pub(crate) fn accepted(&self, response: Response, expects: &[u16]) -> Result<Response, Error> {
        match response.head.status {
            200..300 => Ok(response),
            status if expects.contains(&status) => Ok(response),
            _ => Err(self.refusal(response)),
        }
    }

    /// What a refusal says.
    pub(crate) fn refusal(&self, response: Response) -> Error {
        let (host, request, status) = (response.host(), response.name.clone(), response.head.status);
        let asked = retry_after(response.head.get("retry-after"));
        let said = problem(response);
        if matches!(status, 401 | 403) && host == self.host() {
            return Error::Authentication {
                host,
                doing: request,
                reason: format!("{}; {}", sentence(status, &said), self.auth.used()),
            };
        }
        Error::Status {
            host,
            request,
            status,
            problem: said,
            retry_after: asked,
        }
    }

    /// Sends a request, with credentials where they belong, and follows redirects of what only reads. Says where they
    /// led, if they did.
    pub(crate) fn follow(&self, request: &Request<'_>) -> Result<(Response, Option<(Url, Reach)>), Error> {
        let mut response = self.authorized(request)?;
        let mut at = request.url.clone();
        let mut led = None;
        for _ in 0..REDIRECTS {
            let redirects = matches!(response.head.status, 301 | 302 | 303 | 307 | 308);
            if !redirects || !matches!(request.method, "GET" | "HEAD") {
                return Ok((response, led));
            }
            let Some(location) = response.head.get("location") else {
                return Ok((response, led));
            };
            let next = at.join(location)?;
            if at.origin.scheme == Scheme::Https && next.origin.scheme == Scheme::Http {
                return Err(redirect(&at, &next, "it would go on without TLS"));
            }
            let reach = reach(&response, request.reach);
            response.discard();
            let further = Request {
                url: &next,
                reach,
                ..request.clone()
            };
            response = self.authorized(&further)?;
            led = Some((next.clone(), reach));
            at = next;
        }
        Err(redirect(&at, &at, "there are too many redirects"))
    }

    /// Sends a request as it is: with credentials if it goes to the registry itself, and to nobody else.
    fn authorized(&self, request: &Request<'_>) -> Result<Response, Error> {
        if request.url.origin != self.base.origin {
            return self.http.send(request);
        }
        let scope = &self.scope;
        let mut shown = self.auth.header(&self.http, scope)?;
        for _ in 0..CHALLENGES {
            let mut authorized = request.clone();
            if let Some(header) = &shown {
                authorized
                    .headers
                    .push(("Authorization", header.expose().to_owned()));
            }
            let response = self.http.send(&authorized)?;
            let better = match response.head.status {
                401 => self
                    .auth
                    .challenged(&self.http, &response, scope, shown.as_ref())?,
                _ => None,
            };
            // Expired credentials: some registries refuse the token only here. Or too many who show none.
            let better = match (&shown, response.head.status) {
                (Some(shown), status @ (401 | 403 | 429)) if better.is_none() => {
                    match self.auth.turn(status, shown) {
                        true => self.auth.header(&self.http, scope)?,
                        false => None,
                    }
                }
                _ => better,
            };
            if better.is_none() {
                return Ok(response);
            }
            response.discard();
            shown = better;
        }
        Err(Error::Authentication {
            host: self.host(),
            doing: request.name(),
            reason: "it goes on asking for other credentials".to_owned(),
        })
    }

    /// The `Authorization` for a request whose body cannot be sent twice.
    pub(crate) fn authorization(&self, url: &Url) -> Result<Option<(&'static str, String)>, Error> {
        if url.origin != self.base.origin {
            return Ok(None);
        }
        let header = self.auth.header(&self.http, &self.scope)?;
        Ok(header.map(|header| ("Authorization", header.expose().to_owned())))
    }

    /// Whether there is a better token than the one that `response`, a 401 to such a request, refused.
    pub(crate) fn token_expired(&self, response: &Response) -> Result<bool, Error> {
        let shown = self.auth.header(&self.http, &self.scope)?;
        let better = self
            .auth
            .challenged(&self.http, response, &self.scope, shown.as_ref())?;
        Ok(better.is_some())
    }

    /// Where an answer to `from` sends us for the rest of an upload.
    pub(crate) fn location(&self, from: &Url, response: &Response) -> Result<Option<Url>, Error> {
        let Some(location) = response.head.get("location") else {
            return Ok(None);
        };
        let to = self.same_registry(from.join(location)?);
        if from.origin.scheme == Scheme::Https && to.origin.scheme == Scheme::Http {
            return Err(redirect(from, &to, "it would go on without TLS"));
        }
        Ok(Some(to))
    }

    /// A registry behind something that ends TLS for it may not know that it is reached by https.
    fn same_registry(&self, url: Url) -> Url {
        let ours = &self.base.origin;
        let downgraded = ours.scheme == Scheme::Https && url.origin.scheme == Scheme::Http;
        if downgraded
            && url.origin.host == ours.host
            && matches!(url.origin.port, port if port == 80 || port == ours.port)
        {
            return Url {
                origin: ours.clone(),
                ..url
            };
        }
        url
    }
}

/// Where the next request may go after `response`.
pub(crate) fn reach(response: &Response, before: Reach) -> Reach {
    if response.peer_is_public {
        Reach::Public
    } else {
        before
    }
}

fn redirect(from: &Url, to: &Url, reason: &'static str) -> Error {
    Error::Redirect {
        host: from.origin.authority(),
        to: to.to_string(),
        reason,
    }
}

/// Asks a registry whether it takes a user and password, as `docker login` does.
///
/// # Errors
/// [`Error::Authentication`] when it does not; whatever keeps the registry from answering.
pub fn check_login(
    host: &Host,
    credential: &Credential,
    settings: Settings,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), Error> {
    let any: RepoName = "any".parse().expect("letters are a name");
    let (base, name) = address(host, &any, &settings)?;
    let lent = Lent::from(credential.clone());
    let registry = Registry {
        http: Arc::new(Http::new(
            settings.ca.clone(),
            Proxies::read(variable)?,
            settings.timeouts,
        )),
        // Nothing after it: a wrong password must not pass as an anonymous reader.
        auth: Arc::new(Auth::new(
            base.origin.clone(),
            vec![Place::Stored(Box::new(move || Ok(Some(lent.clone()))))],
        )),
        chunks: Arc::default(),
        pace: Arc::new(Pace::of(&base.origin.host)),
        ahead: Arc::default(),
        limits: Limits::default(),
        base: base.clone(),
        name,
        scope: String::new(),
        settings,
    };
    let request = registry.request("GET", &base);
    registry.call(&request, &[])?.discard();
    Ok(())
}

impl Registry {
    /// Points `tag` at a manifest, which is sent with it. Everything that it names must be there.
    ///
    /// # Errors
    /// What the registry says.
    pub fn put_manifest(&self, tag: &Tag, media_type: &str, bytes: &[u8]) -> content::Result<Descriptor> {
        let doing = || format!("write the manifest of {tag} to {}", self.host());
        self.send_manifest(tag, media_type, bytes)
            .map_err(|error| error.while_doing(doing()))?;
        Ok(Descriptor::of(media_type, bytes))
    }

    pub(crate) fn send_manifest(
        &self,
        reference: &dyn std::fmt::Display,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let url = self.manifest(reference);
        self.pace.wait();
        let mut request = self.request("PUT", &url);
        request.headers.push(("Content-Type", media_type.to_owned()));
        request.body = bytes;
        let response = self.call(&request, &[])?;
        let stored = self.stored(&response, &Digest::of(bytes));
        response.discard();
        stored
    }

    /// Makes sure that an answer names what was sent, if it names anything.
    pub(crate) fn stored(&self, response: &Response, expected: &Digest) -> Result<(), Error> {
        match response.head.get("docker-content-digest") {
            Some(found)
                if found
                    .parse::<Digest>()
                    .is_ok_and(|found| found.algorithm() == expected.algorithm()) =>
            {
                if found == expected.to_string() {
                    Ok(())
                } else {
                    Err(Error::Stored {
                        host: self.host(),
                        expected: expected.clone(),
                        found: found.chars().take(200).collect(),
                    })
                }
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.base.origin
    }
}
