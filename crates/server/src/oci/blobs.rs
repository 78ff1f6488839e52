//! Blobs: reading, asking for, and giving up.

use std::sync::Arc;

use modelkeep_core::{Digest, RepoName, content};

use super::{
    KEEP, blob_path, conditions,
    ranges::{self, Wanted},
};
use crate::{
    access::Permission,
    http::{Method, ReplyBody, Response, Status},
    registry::Exchange,
    reply::Fault,
};

fn unknown(digest: &Digest) -> Fault {
    Fault::missing("BLOB_UNKNOWN", format!("the repository has no blob {digest}"))
}

/// `GET` and `HEAD`.
pub(crate) fn read(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    digest: &Digest,
) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::pull(name.as_str())])?;
    let repository = exchange.registry.repository(name)?;
    let request = &*exchange.request;
    if request.method() == Method::Head {
        // Who asks and hears that it is here will not send it: that is to hold for a while.
        let size = repository.has_blob(digest)?.ok_or_else(|| unknown(digest))?;
        return Ok(if conditions::has_already(request, digest) {
            unchanged(digest)
        } else {
            found(Status::OK, name, digest).body(ReplyBody::HeadOf(size))
        });
    }
    let (file, size) = repository.blob_file(digest)?.ok_or_else(|| unknown(digest))?;
    if conditions::has_already(request, digest) {
        return Ok(unchanged(digest));
    }
    let wanted = match request.header("range") {
        Some(field) if conditions::range_applies(request, digest) => ranges::wanted(field, size),
        _ => Wanted::Whole,
    };
    let file = Arc::new(file);
    Ok(match wanted {
        Wanted::Whole => found(Status::OK, name, digest).body(ReplyBody::File {
            file,
            offset: 0,
            length: size,
        }),
        Wanted::Part(part) => {
            let last = part.offset + part.length - 1;
            let range = format!("bytes {}-{last}/{size}", part.offset);
            found(Status::PARTIAL_CONTENT, name, digest)
                .field("Content-Range", range)
                .body(ReplyBody::File {
                    file,
                    offset: part.offset,
                    length: part.length,
                })
        }
        Wanted::Nothing => {
            let message = format!("the blob has {size} bytes, and none in that range");
            return Err(Fault::new(Status::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message)
                .field("Content-Range", format!("bytes */{size}"))
                .field("Accept-Ranges", "bytes"));
        }
    })
}

/// What every answer about a blob that is here says. Ollama reads a blob from where `Location` says.
fn found(status: Status, name: &RepoName, digest: &Digest) -> Response {
    Response::new(status)
        .field("Content-Type", "application/octet-stream")
        .field("Docker-Content-Digest", digest)
        .field("ETag", conditions::entity_tag(digest))
        .field("Accept-Ranges", "bytes")
        .field("Cache-Control", KEEP)
        .field("Location", blob_path(name, digest))
}

fn unchanged(digest: &Digest) -> Response {
    Response::new(Status::NOT_MODIFIED)
        .field("ETag", conditions::entity_tag(digest))
        .field("Docker-Content-Digest", digest)
        .field("Cache-Control", KEEP)
}

/// `DELETE`.
pub(crate) fn delete(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    digest: &Digest,
) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::delete(name.as_str())])?;
    let repository = exchange.registry.repository(name)?;
    match repository.unlink_blob(digest) {
        Ok(true) => Ok(Response::new(Status::ACCEPTED).field("Docker-Content-Digest", digest)),
        Ok(false) => Err(unknown(digest)),
        Err(error @ content::Error::InUse { .. }) => Err(Fault::stays(error.to_string())),
        Err(error) => Err(error.into()),
    }
}
