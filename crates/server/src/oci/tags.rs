//! The tags of a repository, by the page and in the order of their bytes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use modelkeep_core::{RepoName, Tag, content, content::Names};
use modelkeep_store::Repository;
use serde::Serialize;

use super::page::{self, Page};
use crate::{
    access::Permission,
    http::{ReplyBody, Response, Status},
    registry::Exchange,
    reply::Fault,
};

/// Tags of one page: with names of 128 bytes less than the 4 MiB that clients read.
const MOST: usize = 20_000;

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a RepoName,
    tags: &'a [Tag],
}

/// `GET`.
pub(crate) fn list(exchange: &mut Exchange<'_, '_>, name: &RepoName) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::pull(name.as_str())])?;
    let registry = exchange.registry;
    let page = Page::of(exchange.request, MOST, MOST)?;
    let repository = registry.repository(name)?;
    let list = registry.tag_lists.of(&repository)?;
    let last = page.last.as_deref().unwrap_or_default();
    let from = list.tags.partition_point(|tag| tag.as_str() <= last);
    let rest = &list.tags[from..];
    let tags = &rest[..rest.len().min(page.most)];
    let body = if tags.len() == list.tags.len() {
        ReplyBody::Shared(Arc::clone(&list.json))
    } else {
        ReplyBody::Owned(json(name, tags))
    };
    let response = Response::new(Status::OK)
        .field("Content-Type", "application/json")
        .body(body);
    Ok(match tags.last() {
        Some(last) if tags.len() < rest.len() => {
            let (n, last) = (page.most.to_string(), last.as_str());
            page::link_next(response, &format!("/v2/{name}/tags/list"), &[("n", &n), ("last", last)])
        }
        _ => response,
    })
}

fn json(name: &RepoName, tags: &[Tag]) -> Vec<u8> {
    serde_json::to_vec(&Listed { name, tags }).expect("texts become JSON")
}

/// A list as it was read.
struct List {
    tags: Vec<Tag>,
    /// The answer that has all of them.
    json: Arc<[u8]>,
    bytes: usize,
}

/// When a directory was changed, and what it held then.
struct Seen {
    changed: SystemTime,
    list: Arc<List>,
}

/// The lists that were asked for lately. A list is good as long as nobody, in whatever process, has changed its
/// directory, which the file system tells.
#[derive(Default)]
pub(crate) struct TagLists {
    seen: Mutex<HashMap<RepoName, Seen>>,
}

/// Clocks of file systems are coarse: a directory that was changed less than this before it was read may be changed
/// again within the same tick.
const TICK: Duration = Duration::from_millis(100);
/// Bytes of lists in memory.
const MOST_BYTES: usize = 4 << 20;

impl TagLists {
    fn of(&self, repository: &Repository) -> content::Result<Arc<List>> {
        let changed = repository.tags_changed()?;
        let begun = SystemTime::now();
        if let Some(list) = self.find(repository.name(), changed) {
            return Ok(list);
        }
        let tags = repository.tags()?;
        let json: Arc<[u8]> = json(repository.name(), &tags).into();
        let bytes = 2 * json.len() + tags.len() * size_of::<Tag>();
        let list = Arc::new(List { tags, json, bytes });
        if let Some(changed) = changed
            && begun.duration_since(changed).is_ok_and(|age| age > TICK)
        {
            self.keep(repository.name(), changed, &list);
        }
        Ok(list)
    }

    fn find(&self, name: &RepoName, changed: Option<SystemTime>) -> Option<Arc<List>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(name)?;
        (Some(seen.changed) == changed).then(|| Arc::clone(&seen.list))
    }

    fn keep(&self, name: &RepoName, changed: SystemTime, list: &Arc<List>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = seen.values().map(|seen| seen.list.bytes).sum();
        if bytes + list.bytes > MOST_BYTES {
            seen.clear();
        }
        if list.bytes <= MOST_BYTES {
            let list = Arc::clone(list);
            seen.insert(name.clone(), Seen { changed, list });
        }
    }
}
