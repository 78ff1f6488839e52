//! The repositories that whoever asks may read, by the page.

use modelkeep_core::RepoName;
use serde::Serialize;

use super::page::{self, Page};
use crate::{
    access::Permission,
    http::{Response, Status},
    registry::Exchange,
    reply::Fault,
};

const USUAL: usize = 1000;
/// Names of one page: less than 4 MiB of them.
const MOST: usize = 10_000;

#[derive(Serialize)]
struct Listed {
    repositories: Vec<RepoName>,
}

/// `GET`.
pub(crate) fn list(exchange: &mut Exchange<'_, '_>) -> Result<Response, Fault> {
    let who = exchange.authorize(&[Permission::CATALOG])?;
    let registry = exchange.registry;
    let page = Page::of(exchange.request, USUAL, MOST)?;
    let mut last: Option<RepoName> =
        match &page.last {
            Some(text) => Some(text.parse().map_err(|error: modelkeep_core::InvalidName| {
                Fault::bad("NAME_INVALID", error.to_string())
            })?),
            None => None,
        };
    let mut repositories = Vec::new();
    // One more than the page has tells whether there is a next one.
    while page.most > 0 && repositories.len() <= page.most {
        let wanted = page.most + 1 - repositories.len();
        let found = registry.store.repositories_after(last.as_ref(), wanted)?;
        let Some(newest) = found.last() else { break };
        last = Some(newest.clone());
        let visible = |name: &RepoName| registry.access.may(&who, Permission::pull(name.as_str()));
        repositories.extend(found.into_iter().filter(visible));
    }
    let more = repositories.len() > page.most;
    repositories.truncate(page.most);
    let next = repositories.last().filter(|_| more).cloned();
    let body = serde_json::to_vec(&Listed { repositories }).expect("texts become JSON");
    let response = Response::new(Status::OK).json(body);
    Ok(match next {
        None => response,
        Some(last) => {
            let n = page.most.to_string();
            page::link_next(response, "/v2/_catalog", &[("n", &n), ("last", last.as_str())])
        }
    })
}
