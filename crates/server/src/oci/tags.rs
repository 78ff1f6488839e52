//! The tags of a repository, by the page and in the order of their bytes.

use modelkeep_core::{RepoName, Tag};
use serde::Serialize;

use super::page::{self, Page};
use crate::{
    access::Permission,
    http::{Response, Status},
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
    let page = Page::of(exchange.request, MOST, MOST)?;
    let repository = exchange.registry.repository(name)?;
    // One more than the page has tells whether there is a next one.
    let found = repository.tags_after(page.last.as_deref(), page.most + 1)?;
    let tags = &found[..found.len().min(page.most)];
    let body = serde_json::to_vec(&Listed { name, tags }).expect("texts become JSON");
    let response = Response::new(Status::OK).json(body);
    Ok(match tags.last() {
        Some(last) if tags.len() < found.len() => {
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
