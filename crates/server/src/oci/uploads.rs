//! Uploads: blobs that come in one request or in many.
//!
//! What has come is saved at the end of each request, so that an upload goes on after a broken connection, in another
//! process, and after a restart.

use std::{
    io::Read,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use modelkeep_core::{Digest, RepoName};
use modelkeep_store::{Repository, Upload, UploadId, Writing};

use super::{blob_path, ranges};
use crate::{
    access::{Denial, Permission, Who},
    http::{Response, Status},
    registry::{Exchange, now},
    reply::Fault,
    route::parse_digest,
};

/// Memory that is lent to an upload goes back when nothing comes for this time.
const PATIENCE: Duration = Duration::from_millis(100);
/// The disk is looked at again after so many bytes whose number nobody announced: much less, for all uploads at once,
/// than is to stay free.
const LOOK_AGAIN_BYTES: u64 = 4 << 20;

/// `POST`: mounts a blob, takes one whole, or begins an upload.
pub(crate) fn begin(exchange: &mut Exchange<'_, '_>, name: &RepoName) -> Result<Response, Fault> {
    let from = exchange
        .request
        .query_value("from")
        .and_then(|from| from.parse().ok());
    let (who, from) = authorize(exchange, name, from)?;
    if let Some(algorithm) = exchange.request.query_value("digest-algorithm")
        && !matches!(&*algorithm, "sha256" | "sha512")
    {
        let message = "digest-algorithm must be sha256 or sha512";
        return Err(Fault::bad("DIGEST_INVALID", message));
    }
    if let Some(digest) = parameter(exchange, "mount")? {
        let repository = exchange.registry.repository_to_push(name)?;
        let mounted = match (from, exchange.request.query_value("from")) {
            (Some(from), _) => mount(exchange, &repository, &digest, &from)?,
            // A source that is none, or that may not be read, has nothing.
            (None, Some(_)) => false,
            (None, None) => mount_from_any(exchange, &repository, &digest, &who)?,
        };
        if mounted {
            return Ok(created(name, &digest));
        }
        return start(exchange, &repository);
    }
    let Some(digest) = parameter(exchange, "digest")? else {
        let repository = exchange.registry.repository_to_push(name)?;
        return start(exchange, &repository);
    };
    exchange.registry.check_room(0)?;
    let repository = exchange.registry.repository_to_push(name)?;
    let upload = repository.begin_upload(&now())?;
    let taken = take_whole(exchange, &upload, &digest);
    if taken.is_err() {
        // Nobody knows its name. What cannot be removed now is swept later.
        let _ = upload.cancel();
    }
    taken?;
    Ok(created(name, &digest))
}

/// Who asks, and the source of a mount if they may read it. Both are asked for at once: a client that must get a
/// token is told to get one for both.
fn authorize(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    from: Option<RepoName>,
) -> Result<(Who, Option<RepoName>), Fault> {
    let push = Permission::push(name.as_str());
    if let Some(from) = from {
        match exchange.authorize(&[push, Permission::pull(from.as_str())]) {
            Err(Fault::Denied(Denial::Forbidden { .. })) => {}
            decided => return Ok((decided?, Some(from))),
        }
    }
    Ok((exchange.authorize(&[push])?, None))
}

fn take_whole(exchange: &mut Exchange<'_, '_>, upload: &Upload, digest: &Digest) -> Result<(), Fault> {
    let mut writing = upload.lock()?;
    exchange.receive(&mut writing, None)?;
    writing.finish(digest)?;
    Ok(())
}

fn start(exchange: &Exchange<'_, '_>, repository: &Repository) -> Result<Response, Fault> {
    exchange.registry.check_room(0)?;
    let upload = repository.begin_upload(&now())?;
    Ok(holds(
        Response::new(Status::ACCEPTED),
        repository.name(),
        upload.id(),
        0,
    ))
}

/// Lets the repository read a blob that `from` has.
fn mount(
    exchange: &Exchange<'_, '_>,
    repository: &Repository,
    digest: &Digest,
    from: &RepoName,
) -> Result<bool, Fault> {
    match exchange.registry.store.repository(from)? {
        Some(from) => Ok(repository.mount(digest, &from)?),
        None => Ok(false),
    }
}

/// Lets the repository read a blob that any repository has which `who` may read.
fn mount_from_any(
    exchange: &Exchange<'_, '_>,
    repository: &Repository,
    digest: &Digest,
    who: &Who,
) -> Result<bool, Fault> {
    let registry = exchange.registry;
    for holder in registry.store.holders(digest)? {
        let holder = holder?;
        let pull = Permission::pull(holder.name().as_str());
        if registry.access.may(who, pull) && repository.mount(digest, &holder)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A digest among the parameters of the request.
fn parameter(exchange: &Exchange<'_, '_>, key: &str) -> Result<Option<Digest>, Fault> {
    match exchange.request.query_value(key) {
        Some(text) => Ok(Some(parse_digest(&text)?)),
        None => Ok(None),
    }
}

/// `GET`: how far it has come.
pub(crate) fn status(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    id: &UploadId,
) -> Result<Response, Fault> {
    let upload = find(exchange, name, id)?;
    Ok(holds(
        Response::new(Status::NO_CONTENT),
        name,
        id,
        upload.offset(),
    ))
}

/// `PATCH`: the next bytes.
pub(crate) fn append(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    id: &UploadId,
) -> Result<Response, Fault> {
    let upload = find(exchange, name, id)?;
    let mut writing = exchange.receive_chunk(&upload, name)?;
    writing.save()?;
    Ok(holds(Response::new(Status::ACCEPTED), name, id, writing.offset()))
}

/// `PUT`: the last bytes, if any are left, and the digest of all.
pub(crate) fn finish(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    id: &UploadId,
) -> Result<Response, Fault> {
    let upload = find(exchange, name, id)?;
    let digest = parameter(exchange, "digest")?;
    let digest = digest.ok_or_else(|| Fault::bad("DIGEST_INVALID", "the parameter digest is missing"))?;
    exchange.receive_chunk(&upload, name)?.finish(&digest)?;
    Ok(created(name, &digest))
}

/// `DELETE`: it is given up.
pub(crate) fn cancel(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    id: &UploadId,
) -> Result<Response, Fault> {
    find(exchange, name, id)?.cancel()?;
    Ok(Response::new(Status::NO_CONTENT))
}

fn find(exchange: &mut Exchange<'_, '_>, name: &RepoName, id: &UploadId) -> Result<Upload, Fault> {
    exchange.authorize(&[Permission::push(name.as_str())])?;
    let repository = exchange.registry.store.repository(name)?;
    let upload = match repository {
        Some(repository) => repository.upload(id)?,
        None => None,
    };
    upload.ok_or_else(Fault::no_upload)
}

fn created(name: &RepoName, digest: &Digest) -> Response {
    Response::new(Status::CREATED)
        .field("Location", blob_path(name, digest))
        .field("Docker-Content-Digest", digest)
}

/// Where the upload goes on, and what it has. That it has nothing cannot be said: `0-0` is what clients know.
fn holds(response: Response, name: &RepoName, id: &UploadId, offset: u64) -> Response {
    response
        .field("Location", upload_path(name, id))
        .field("Range", range(offset))
        .field("Docker-Upload-UUID", id)
}

fn upload_path(name: &RepoName, id: &UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

fn range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

/// Counts an upload among those that are received, as long as it is.
pub(crate) struct Receiving<'a>(&'a AtomicU64);

impl<'a> Receiving<'a> {
    pub(crate) fn new(uploads: &'a AtomicU64) -> Self {
        uploads.fetch_add(1, Relaxed);
        Self(uploads)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Exchange<'_, '_> {
    /// Takes the body as the next chunk, if that is what it says it is. What is not taken whole leaves the upload as it
    /// was, or as far as it was saved.
    fn receive_chunk(&mut self, upload: &Upload, name: &RepoName) -> Result<Writing, Fault> {
        let mut writing = upload.lock()?;
        let received = self
            .chunk_length(&writing, name)
            .and_then(|length| self.receive(&mut writing, length));
        match received {
            Ok(()) => Ok(writing),
            Err(fault) => {
                // What cannot be given back now is when somebody goes on, or sweeps.
                let _ = writing.give_up();
                Err(fault)
            }
        }
    }

    /// How long the chunk is, if the request says; it must begin where the upload goes on.
    fn chunk_length(&self, writing: &Writing, name: &RepoName) -> Result<Option<u64>, Fault> {
        let Some(field) = self.request.header("content-range") else {
            return Ok(None);
        };
        let chunk = ranges::chunk(field)
            .ok_or_else(|| Fault::bad("BLOB_UPLOAD_INVALID", "Content-Range must be FIRST-LAST"))?;
        let (begin, id) = (writing.offset(), writing.upload().id());
        if chunk.offset == begin {
            return Ok(Some(chunk.length));
        }
        let first = chunk.offset;
        let message = format!("the chunk begins at {first}, and the upload goes on at {begin}");
        Err(
            Fault::new(Status::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message)
                .field("Location", upload_path(name, id))
                .field("Range", range(begin))
                .field("Docker-Upload-UUID", id.to_string()),
        )
    }

    /// Takes the body, all of it or as much as arrives; what has arrived is saved if the rest does not.
    fn receive(&mut self, writing: &mut Writing, length: Option<u64>) -> Result<(), Fault> {
        let wrong_length = || {
            let message = "Content-Range says another length than the body has";
            Fault::bad("SIZE_INVALID", message)
        };
        let registry = self.registry;
        let _receiving = Receiving::new(&registry.metrics.uploads);
        let announced = self.request.body.remaining();
        if let (Some(length), Some(announced)) = (length, announced)
            && length != announced
        {
            return Err(wrong_length());
        }
        if announced == Some(0) {
            return Ok(());
        }
        registry.check_room(announced.or(length).unwrap_or(0))?;
        if let Some(bytes) = announced.or(length) {
            writing.expect(bytes)?;
        }
        let begin = writing.offset();
        let mut look_again = begin + LOOK_AGAIN_BYTES;
        loop {
            if writing.holds_memory() && matches!(self.request.body.is_ready(PATIENCE), Ok(false)) {
                writing.rest()?;
            }
            match self.request.body.read(writing.space()) {
                Ok(0) => break,
                Ok(read) => {
                    writing.advance(read)?;
                    registry.metrics.received_bytes.fetch_add(read as u64, Relaxed);
                }
                Err(error) => {
                    if length.is_none() || announced.is_some() {
                        writing.save()?;
                    }
                    return Err(Fault::body("BLOB_UPLOAD_INVALID", &error));
                }
            }
            if announced.is_none() && writing.offset() >= look_again {
                registry.check_room(0)?;
                look_again = writing.offset() + LOOK_AGAIN_BYTES;
            }
        }
        match length {
            Some(length) if writing.offset() - begin != length => Err(wrong_length()),
            _ => Ok(()),
        }
    }
}
