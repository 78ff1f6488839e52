//! The history of a repository, read and added to: an extension of the distribution specification
//! ("Extensions API for Distribution"), `/v2/NAME/_modelkeep/history`.

use std::{
    io::Read,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use modelkeep_core::{Mutability, RepoName};
use modelkeep_ledger::{self as ledger, AcceptError, Operation, Outcome, Written};
use serde::Serialize;

use super::page;
use crate::{
    access::{Permission, Who},
    http::{ReplyBody, Response, Status},
    registry::Exchange,
    reply::Fault,
};

/// What the answer to `GET` is, and how clients know a registry that keeps histories.
const MEDIA_TYPE: &str = "application/vnd.modelkeep.history.v1+json";
/// The largest entry that is taken.
const MOST_ENTRY_BYTES: u64 = 256 << 10;
/// Bytes of the entries of one page; as texts in JSON they are at most a few times as many.
const PAGE_BYTES: usize = 1 << 20;
/// How much faster the clock of an author may be than ours.
const AHEAD: Duration = Duration::from_secs(15 * 60);

#[derive(Serialize)]
struct Page<'a> {
    height: u64,
    /// What a repository has, or would have that a push made.
    #[serde(flatten)]
    mutability: Option<Mutability>,
    /// Whom an entry without a signature must name.
    author: Option<&'a str>,
    entries: Vec<String>,
}

/// `GET`: the entries from the height `from` on, by the page. A repository that is not there has none.
pub(crate) fn read(exchange: &mut Exchange<'_, '_>, name: &RepoName) -> Result<Response, Fault> {
    let who = exchange.authorize(&[Permission::pull(name.as_str())])?;
    let from = match exchange.request.query_value("from") {
        None => 1,
        Some(text) => text
            .parse::<u64>()
            .ok()
            .filter(|&from| from > 0)
            .ok_or_else(|| Fault::bad("UNSUPPORTED", "from must be the number of an entry, from 1"))?,
    };
    let registry = exchange.registry;
    let (mutability, entries, height) = match registry.store.repository(name)? {
        None => (registry.config.create_repositories.mutability(), Vec::new(), 0),
        Some(repository) => {
            let (entries, height) = repository.entries_within(from, PAGE_BYTES)?;
            // What is told must outlive a power cut: whoever added it may not have come to sync it.
            repository.sync_history()?;
            (Some(repository.mutability().clone()), entries, height)
        }
    };
    let next = from.saturating_add(entries.len() as u64);
    let entries = entries.into_iter().map(String::from_utf8);
    let entries: Result<Vec<String>, _> = entries.collect();
    let author = required_author(exchange, &who);
    let page = Page {
        height,
        mutability,
        author: author.as_deref(),
        entries: entries.map_err(|error| Fault::internal(error.to_string()))?,
    };
    let body = serde_json::to_vec(&page).expect("texts and numbers become JSON");
    let response = Response::new(Status::OK)
        .field("Content-Type", MEDIA_TYPE)
        .field("Cache-Control", "no-cache")
        .body(ReplyBody::Owned(body));
    Ok(match next <= height {
        true => page::link_next(response, &path(name), &[("from", &next.to_string())]),
        false => response,
    })
}

/// `POST`: the bytes of the next entry.
pub(crate) fn add(exchange: &mut Exchange<'_, '_>, name: &RepoName) -> Result<Response, Fault> {
    let who = exchange.authorize(&[Permission::push(name.as_str())])?;
    let bytes = receive(exchange)?;
    let written = Written::parse(&bytes).map_err(|error| Fault::from(AcceptError::Malformed(error)))?;
    if std::str::from_utf8(&bytes).is_err() {
        return Err(invalid("the entry is no text"));
    }
    if let Operation::Delete(_) = written.entry.operation() {
        let needed = [Permission::push(name.as_str()), Permission::delete(name.as_str())];
        exchange.authorize(&needed)?;
    }
    check_author(exchange, &who, &written)?;
    check_time(&written)?;
    let repository = exchange.registry.repository(name)?;
    let recent = exchange.registry.histories.of(name);
    let (id, outcome) = ledger::accept(&repository, Some(recent), &bytes)?;
    if outcome == Outcome::Unchanged {
        // Whoever added it first may have died before it was on the disk.
        repository.sync_history()?;
    }
    let height = written.entry.height();
    Ok(Response::new(Status::CREATED)
        .field("Location", format_args!("{}?from={height}", path(name)))
        .field("Modelkeep-Entry", id))
}

fn path(name: &RepoName) -> String {
    format!("/v2/{name}/_modelkeep/history")
}

fn receive(exchange: &mut Exchange<'_, '_>) -> Result<Vec<u8>, Fault> {
    let body = &mut exchange.request.body;
    body.limit(MOST_ENTRY_BYTES);
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes)
        .map_err(|error| Fault::body("HISTORY_INVALID", &error))?;
    let received = &exchange.registry.metrics.received_bytes;
    received.fetch_add(bytes.len() as u64, Relaxed);
    Ok(bytes)
}

/// Whom an entry that nobody signed must name: who was let in. On a server without accounts it is anybody.
fn required_author(exchange: &Exchange<'_, '_>, who: &Who) -> Option<String> {
    match who {
        Who::Local => None,
        Who::Account(_) | Who::Anonymous => Some(exchange.author().author),
    }
}

fn check_author(exchange: &Exchange<'_, '_>, who: &Who, written: &Written) -> Result<(), Fault> {
    match required_author(exchange, who) {
        Some(author) if written.bundle.is_none() && written.entry.author() != author => Err(Fault::new(
            Status::CONFLICT,
            "DENIED",
            format!("an entry that is not signed must name {author:?} as its author: that is who sends it"),
        )),
        _ => Ok(()),
    }
}

/// An entry from the future would seem to be new for as long as that is.
fn check_time(written: &Written) -> Result<(), Fault> {
    let time: Timestamp = written
        .entry
        .time()
        .parse()
        .map_err(|_| invalid("the time of the entry is none (RFC 3339)"))?;
    match SystemTime::from(time) > SystemTime::now() + AHEAD {
        true => Err(invalid(format!(
            "the entry is dated {time}, and it is {} here: correct the clock",
            crate::registry::now()
        ))),
        false => Ok(()),
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::bad("HISTORY_INVALID", message)
}
