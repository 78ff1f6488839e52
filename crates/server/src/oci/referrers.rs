//! What says something about a manifest (distribution-spec, "Listing Referrers").

use std::borrow::Cow;

use modelkeep_core::{Descriptor, Digest, RepoName, content::Source, media};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::page;
use crate::{
    access::Permission,
    http::{ReplyBody, Response, Status},
    pushed::{MOST_BYTES, turn_to_parse},
    registry::Exchange,
    reply::Fault,
};

/// Descriptors of one page.
const MOST: usize = 100;
/// Bytes of one page: clients read no more than 4 MiB.
const MOST_PAGE_BYTES: usize = 3 << 20;

/// What a manifest says of itself in a list. Annotations stay the text that they are: as values they would take ten times
/// the memory.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    #[serde(default, borrow)]
    artifact_type: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    config: Option<Config<'a>>,
    #[serde(default, borrow)]
    annotations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    #[serde(borrow)]
    media_type: Cow<'a, str>,
}

/// A descriptor in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
}

impl Said<'_> {
    /// As [`Document::referrer`](modelkeep_core::Document::referrer) has it.
    fn listing<'s>(&'s self, manifest: &'s Descriptor) -> Listing<'s> {
        let named = self.artifact_type.as_deref().filter(|name| !name.is_empty());
        Listing {
            media_type: &manifest.media_type,
            digest: &manifest.digest,
            size: manifest.size,
            artifact_type: named.or(self.config.as_ref().map(|config| &*config.media_type)),
            annotations: self.annotations,
        }
    }
}

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
    let index = media::OCI_INDEX;
    let mut body = format!("{{\"schemaVersion\":2,\"mediaType\":\"{index}\",\"manifests\":[").into_bytes();
    let mut next = None;
    if let Some(repository) = exchange.registry.store.repository(name)? {
        let mut listed: Option<Digest> = None;
        let mut count = 0;
        for manifest in repository.referrers_after(subject, last.as_ref())? {
            let manifest = manifest?;
            let _turn = turn_to_parse(exchange.registry, manifest.size)?;
            let bytes = repository.fetch(&manifest, MOST_BYTES)?;
            let said: Said<'_> =
                serde_json::from_slice(&bytes).map_err(|error| Fault::internal(error.to_string()))?;
            let listing = said.listing(&manifest);
            if kind.is_some() && kind.as_deref() != listing.artifact_type {
                continue;
            }
            let end = body.len();
            if count > 0 {
                body.push(b',');
            }
            serde_json::to_writer(&mut body, &listing).expect("texts and numbers become JSON");
            if count == MOST || (count > 0 && body.len() > MOST_PAGE_BYTES) {
                body.truncate(end);
                next = listed;
                break;
            }
            count += 1;
            listed = Some(manifest.digest);
        }
    }
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
            let last = last.to_string();
            let mut parameters = vec![("last", last.as_str())];
            parameters.extend(kind.as_deref().map(|kind| ("artifactType", kind)));
            page::link_next(response, &format!("/v2/{name}/referrers/{subject}"), &parameters)
        }
    })
}
