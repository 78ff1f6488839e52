//! What says something about a manifest (distribution-spec, "Listing Referrers").

use modelkeep_core::{Descriptor, Digest, RepoName, media};

use super::page;
use crate::{
    access::Permission,
    http::{ReplyBody, Response, Status},
    registry::Exchange,
    reply::Fault,
};

/// Descriptors of one page.
const MOST: usize = 100;
/// Bytes of one page: clients read no more than 4 MiB.
const MOST_BYTES: usize = 3 << 20;

/// `GET`. A subject that is not here has none, and so has a repository that is not.
pub(crate) fn list(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    subject: &Digest,
) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::pull(name.as_str())])?;
    let request = &*exchange.request;
    let kind = request
        .query_value("artifactType")
        .filter(|kind| !kind.is_empty());
    let last = match request.query_value("last") {
        Some(text) => Some(crate::route::parse_digest(&text)?),
        None => None,
    };
    let mut page: Vec<u8> = Vec::new();
    let mut next = None;
    if let Some(repository) = exchange.registry.store.repository(name)? {
        let mut listed: Option<Descriptor> = None;
        let mut count = 0;
        for found in repository.referrers_after(subject, last.as_ref())? {
            let found = found?;
            if kind
                .as_deref()
                .is_some_and(|kind| found.artifact_type.as_deref() != Some(kind))
            {
                continue;
            }
            let json = serde_json::to_vec(&found).expect("texts, numbers and maps become JSON");
            if count == MOST || (count > 0 && page.len() + json.len() > MOST_BYTES) {
                next = listed;
                break;
            }
            if count > 0 {
                page.push(b',');
            }
            page.extend(json);
            count += 1;
            listed = Some(found);
        }
    }
    let index = media::OCI_INDEX;
    let mut body = format!("{{\"schemaVersion\":2,\"mediaType\":\"{index}\",\"manifests\":[").into_bytes();
    body.extend(page);
    body.extend(b"]}");
    let mut response = Response::new(Status::OK)
        .field("Content-Type", index)
        .body(ReplyBody::Owned(body));
    if kind.is_some() {
        response = response.field("OCI-Filters-Applied", "artifactType");
    }
    Ok(match next {
        None => response,
        Some(last) => {
            let last = last.digest.to_string();
            let mut parameters = vec![("last", last.as_str())];
            parameters.extend(kind.as_deref().map(|kind| ("artifactType", kind)));
            page::link_next(response, &format!("/v2/{name}/referrers/{subject}"), &parameters)
        }
    })
}
