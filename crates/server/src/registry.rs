//! The registry: from a request to its answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use jiff::Timestamp;
use modelkeep_core::RepoName;
use modelkeep_ledger::{self as ledger, Histories};
use modelkeep_store::{Repository, Store};

use crate::{
    access::{Access, Permission, Who},
    cache::Cache,
    config::ServeConfig,
    ecr_public,
    gate::Gate,
    http::{Answered, Event, Handler, Request, Response, Status},
    log::{Level, Line, Sink},
    metrics::Metrics,
    oci::{self, tags::Listings},
    reply::{Fault, chain},
    route::{Action, route},
};

/// Manifests that are kept in memory, all together.
const MANIFEST_CACHE_BYTES: usize = 8 << 20;
/// Bodies of calls that are taken to the disk at once, each of at most 28 MiB.
const CALL_BODIES: usize = 16;

/// A store as an OCI registry, whose [`Handler`] it is.
pub struct Registry {
    pub(crate) store: Store,
    pub(crate) access: Access,
    pub(crate) config: ServeConfig,
    pub(crate) manifests: Cache,
    pub(crate) listings: Listings,
    pub(crate) histories: Histories,
    pub(crate) metrics: Metrics,
    /// One large manifest at a time is in memory, and always in the same.
    pub(crate) large_manifest: Gate<Vec<u8>>,
    /// One large manifest at a time is parsed whole: a hundred thousand short annotations take far more memory than bytes.
    pub(crate) whole_manifest: Gate<()>,
    /// One large call of the ECR Public API at a time is read from the disk, of at most 8 MiB.
    pub(crate) large_call: Gate<()>,
    pub(crate) call_bodies: Gate<()>,
    log: Sink,
    /// Begins the ids of requests, so that two servers of one store have different ones.
    id: String,
    requests: AtomicU64,
}

/// What the log is to have of a request besides what the connection knows.
struct Note {
    id: String,
    resource: &'static str,
    /// The operation, where the target does not say what was wanted.
    operation: Option<&'static str>,
    who: Option<Who>,
    detail: Option<String>,
}

/// A request on its way.
pub(crate) struct Exchange<'r, 'c> {
    pub(crate) registry: &'r Registry,
    pub(crate) request: &'r mut Request<'c>,
    who: Option<Who>,
}

impl Registry {
    pub(crate) fn new(store: Store, access: Access, config: ServeConfig, log: Sink) -> Self {
        Self {
            store,
            access,
            manifests: Cache::new(MANIFEST_CACHE_BYTES),
            listings: Listings::default(),
            histories: Histories::default(),
            metrics: Metrics::default(),
            large_manifest: Gate::new(vec![Vec::new()]),
            whole_manifest: Gate::new(vec![()]),
            large_call: Gate::new(vec![()]),
            call_bodies: Gate::new(vec![(); CALL_BODIES]),
            config,
            log,
            id: modelkeep_disk::unique()[..8].to_owned(),
            requests: AtomicU64::new(0),
        }
    }

    pub(crate) fn log(&self, line: &Line) {
        (self.log)(line.as_str());
    }

    /// A repository that is there.
    pub(crate) fn repository(&self, name: &RepoName) -> Result<Repository, Fault> {
        let found = self.store.repository(name)?;
        found.ok_or_else(|| Fault::missing("NAME_UNKNOWN", format!("there is no repository {name}")))
    }

    /// A repository to push to, which is made if it is not there and may be.
    pub(crate) fn repository_to_push(&self, name: &RepoName) -> Result<Repository, Fault> {
        if let Some(repository) = self.store.repository(name)? {
            return Ok(repository);
        }
        let Some(mutability) = self.config.create_repositories.mutability() else {
            let message = format!("there is no repository {name}, and a push makes none here");
            return Err(Fault::missing("NAME_UNKNOWN", message));
        };
        let (repository, _) = self.store.create_repository(name, &mutability, &now())?;
        Ok(repository)
    }

    /// Refuses what would take more of the disk than may be taken.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<(), Fault> {
        let needed = self.config.storage.headroom_bytes().saturating_add(bytes);
        if self.store.free_bytes()? < needed {
            return Err(Fault::full());
        }
        Ok(())
    }

    fn perform(exchange: &mut Exchange<'_, '_>, action: &Action) -> Result<Response, Fault> {
        match action {
            Action::Enter => exchange.enter(),
            Action::Token => Ok(exchange.registry.access.token(exchange.request)),
            Action::Health => Ok(Response::new(Status::OK).text("alive\n".to_owned())),
            Action::Ready => Ok(exchange.ready()),
            Action::Metrics => exchange.metrics(),
            Action::EcrPublic => Ok(ecr_public::answer(exchange)?),
            Action::Logo(name) => ecr_public::logo(exchange, name),
            Action::Catalog => oci::catalog::list(exchange),
            Action::Tags(name) => oci::tags::list(exchange, name),
            Action::Referrers(name, subject) => oci::referrers::list(exchange, name, subject),
            Action::ReadHistory(name) => oci::history::read(exchange, name),
            Action::AddToHistory(name) => oci::history::add(exchange, name),
            Action::ReadManifest(name, reference) => oci::manifests::read(exchange, name, reference),
            Action::PushManifest(name, reference) => oci::manifests::push(exchange, name, reference),
            Action::DeleteManifest(name, reference) => oci::manifests::delete(exchange, name, reference),
            Action::ReadBlob(name, digest) => oci::blobs::read(exchange, name, digest),
            Action::DeleteBlob(name, digest) => oci::blobs::delete(exchange, name, digest),
            Action::BeginUpload(name) => oci::uploads::begin(exchange, name),
            Action::UploadStatus(name, id) => oci::uploads::status(exchange, name, id),
            Action::Append(name, id) => oci::uploads::append(exchange, name, id),
            Action::Finish(name, id) => oci::uploads::finish(exchange, name, id),
            Action::Cancel(name, id) => oci::uploads::cancel(exchange, name, id),
        }
    }
}

impl Exchange<'_, '_> {
    /// Goes on only if whoever asks may do all of this.
    pub(crate) fn authorize(&mut self, permissions: &[Permission<'_>]) -> Result<Who, Fault> {
        let who = self.registry.access.authorize(self.request, permissions)?;
        self.who = Some(who.clone());
        Ok(who)
    }

    /// Remembers who asks, for the log and the history.
    pub(crate) fn is(&mut self, who: Who) {
        self.who = Some(who);
    }

    /// Who changes a repository, and when, for its history.
    pub(crate) fn author(&self) -> ledger::Who {
        let author = match &self.who {
            Some(Who::Account(name)) => name.clone(),
            _ => format!("anonymous@{}", self.request.remote().ip().to_canonical()),
        };
        ledger::Who {
            time: now(),
            author,
            // The server has no key: what it writes is what an account did.
            seal: None,
        }
    }

    fn enter(&mut self) -> Result<Response, Fault> {
        let who = self.registry.access.enter(self.request)?;
        self.who = Some(who);
        Ok(Response::new(Status::OK).json(b"{}".to_vec()))
    }

    fn metrics(&mut self) -> Result<Response, Fault> {
        self.authorize(&[Permission::CATALOG])?;
        let text = self.registry.metrics.text(self.registry.store.free_bytes().ok());
        Ok(Response::new(Status::OK).text(text))
    }

    /// Whether the store can be read and written, and has room.
    fn ready(&self) -> Response {
        let registry = self.registry;
        let flaw = match registry.store.probe().map_err(Fault::from) {
            Ok(()) => registry.check_room(0).err(),
            Err(fault) => Some(fault),
        };
        match flaw {
            None => Response::new(Status::OK).text("ready\n".to_owned()),
            Some(fault) => {
                let (_, detail) = fault.answer();
                let detail = detail.unwrap_or_default();
                registry.log(&Line::new(Level::Error, "not ready").add("error", detail));
                let text = "the store cannot be written, or its disk is full: the log has more\n";
                Response::new(Status::UNAVAILABLE).text(text.to_owned())
            }
        }
    }
}

impl Handler for Registry {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        let number = self.requests.fetch_add(1, Relaxed);
        let mut note = Note {
            id: format!("{}-{number:x}", self.id),
            resource: "none",
            operation: None,
            who: None,
            detail: None,
        };
        let action = route(request.method(), request.path());
        let done = self.access.admit(request.remote().ip()).map_err(Fault::from);
        let done = done.and_then(|()| {
            let action = action.as_ref().map_err(|none| Fault::from(none.clone()))?;
            note.resource = action.resource();
            if !action.is_brief() {
                request.take_time();
            }
            if *action == Action::EcrPublic {
                note.operation = ecr_public::Operation::of(request)
                    .ok()
                    .map(ecr_public::Operation::as_str);
            }
            let mut exchange = Exchange {
                registry: self,
                request,
                who: None,
            };
            let done = Self::perform(&mut exchange, action);
            note.who = exchange.who;
            done
        });
        let is_api = action == Ok(Action::EcrPublic);
        let response = done.unwrap_or_else(|fault| {
            let fault = match is_api {
                true => ecr_public::ApiError::from(fault).into(),
                false => fault,
            };
            let (response, detail) = fault.answer();
            note.detail = detail;
            response
        });
        let response = match is_api {
            // By this name AWS's clients show it.
            true => response.field("X-Amzn-RequestId", &note.id),
            false => response.field("Docker-Distribution-Api-Version", "registry/2.0"),
        };
        response.field("X-Request-Id", &note.id).noting(Arc::new(note))
    }

    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::Connected => {
                self.metrics.connections.fetch_add(1, Relaxed);
                return;
            }
            Event::Disconnected => {
                self.metrics.connections.fetch_sub(1, Relaxed);
                return;
            }
            Event::Answered(answered) => self.answered(answered),
            Event::Refused {
                remote,
                status,
                reason,
            } => Line::new(Level::Warning, "refused")
                .add("remote", remote)
                .add("status", status.code())
                .add("error", reason),
            Event::Panicked { target, message } => Line::new(Level::Error, "panic")
                .add("target", target)
                .add("error", message),
            Event::Full { remote } => {
                self.metrics.connections_refused.fetch_add(1, Relaxed);
                Line::new(Level::Warning, "all connections are in use").add("remote", remote)
            }
            Event::Handshake { remote, error } => Line::new(Level::Warning, "handshake failed")
                .add("remote", remote)
                .add("error", error),
            Event::Reload(error) => {
                Line::new(Level::Error, "the certificate before stays in use").add("error", chain(error))
            }
            Event::Accept(error) => Line::new(Level::Error, "cannot take connections").add("error", error),
        };
        self.log(&line);
    }
}

impl Registry {
    fn answered(&self, answered: &Answered<'_>) -> Line {
        let note = answered.note.and_then(|note| note.downcast_ref::<Note>());
        let (status, method) = (answered.status.code(), answered.method.as_str());
        let resource = note.map_or("none", |note| note.operation.unwrap_or(note.resource));
        self.metrics
            .answered(resource, method, status, answered.sent_bytes, answered.took);
        let level = match status {
            500.. => Level::Error,
            _ => Level::Info,
        };
        let mut line = Line::new(level, "request");
        if let Some(note) = note {
            line = line.add_text("id", &note.id);
            if let Some(who) = &note.who {
                line = line.add("who", who);
            }
        }
        line = line
            .add("remote", answered.remote)
            .add_text("method", method)
            .add_text("target", loggable(answered.target));
        if let Some(operation) = note.and_then(|note| note.operation) {
            line = line.add_text("operation", operation);
        }
        let took = answered.took.as_micros();
        line = line
            .add("status", status)
            .add("bytes", answered.sent_bytes)
            .add("ms", format_args!("{}.{:03}", took / 1000, took % 1000));
        if let Some(detail) = note.and_then(|note| note.detail.as_ref()) {
            line = line.add("error", detail);
        }
        match answered.error {
            Some(error) => line.add("cut", error),
            None => line,
        }
    }
}

/// A target without what a client may have put there by mistake: the query of the token endpoint.
fn loggable(target: &str) -> &str {
    match target.split_once('?') {
        Some((path @ "/token", _)) => path,
        _ => target,
    }
}

/// The time, RFC 3339 in UTC, in whole seconds.
pub(crate) fn now() -> String {
    let seconds = Timestamp::now().as_second();
    Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}
