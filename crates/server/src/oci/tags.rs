//! The tags of a repository, by the page and in the order of their bytes.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use modelkeep_core::{RepoName, Tag};
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
/// Bytes of lists that are kept as JSON, all together.
const KEPT_BYTES: usize = 4 << 20;

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a RepoName,
    tags: &'a [Tag],
}

/// Whole lists as JSON, each as long as the store gives the same list: it gives another when the tags have changed.
#[derive(Default)]
pub(crate) struct Listings {
    kept: RwLock<HashMap<RepoName, Listing>>,
}

struct Listing {
    tags: Arc<[Tag]>,
    json: Arc<[u8]>,
}

impl Listings {
    fn of(&self, name: &RepoName, tags: &Arc<[Tag]>) -> Arc<[u8]> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(listing) = kept.get(name)
            && Arc::ptr_eq(&listing.tags, tags)
        {
            return Arc::clone(&listing.json);
        }
        drop(kept);
        let json: Arc<[u8]> = json(name, tags).into();
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.remove(name);
        let others: usize = kept.values().map(|listing| listing.json.len()).sum();
        if others + json.len() > KEPT_BYTES {
            kept.clear();
        }
        if json.len() <= KEPT_BYTES {
            let listing = Listing {
                tags: Arc::clone(tags),
                json: Arc::clone(&json),
            };
            kept.insert(name.clone(), listing);
        }
        json
    }
}

fn json(name: &RepoName, tags: &[Tag]) -> Vec<u8> {
    serde_json::to_vec(&Listed { name, tags }).expect("texts become JSON")
}

/// `GET`.
pub(crate) fn list(exchange: &mut Exchange<'_, '_>, name: &RepoName) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::pull(name.as_str())])?;
    let page = Page::of(exchange.request, MOST, MOST)?;
    let repository = exchange.registry.repository(name)?;
    let all = repository.tag_list()?;
    let last = page.last.as_deref();
    let from = last.map_or(0, |last| all.partition_point(|tag| tag.as_str() <= last));
    let left = &all[from..];
    let tags = &left[..left.len().min(page.most)];
    let body = if tags.len() == all.len() {
        ReplyBody::Shared(exchange.registry.listings.of(name, &all))
    } else {
        ReplyBody::Owned(json(name, tags))
    };
    let response = Response::new(Status::OK)
        .field("Content-Type", "application/json")
        .body(body);
    Ok(match tags.last() {
        Some(last) if tags.len() < left.len() => {
            let (n, last) = (page.most.to_string(), last.as_str());
            page::link_next(
                response,
                &format!("/v2/{name}/tags/list"),
                &[("n", &n), ("last", last)],
            )
        }
        _ => response,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_once_and_another_list_again() {
        let listings = Listings::default();
        let name: RepoName = "a/b".parse().unwrap();
        let tags: Arc<[Tag]> = Arc::new(["1.0".parse().unwrap()]);
        let first = listings.of(&name, &tags);
        assert_eq!(&*first, br#"{"name":"a/b","tags":["1.0"]}"#);
        assert!(Arc::ptr_eq(&first, &listings.of(&name, &tags)));
        let more: Arc<[Tag]> = Arc::new(["1.0".parse().unwrap(), "1.1".parse().unwrap()]);
        assert_eq!(
            &*listings.of(&name, &more),
            br#"{"name":"a/b","tags":["1.0","1.1"]}"#
        );
    }
}
