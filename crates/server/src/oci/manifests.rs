//! Manifests: reading, pushing and deleting them and their tags.

use std::{
    io::Read,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use modelkeep_core::{
    Descriptor, RepoName, Tag,
    content::{Error, Source},
    name::Target,
};
use modelkeep_ledger::{self as ledger, DeleteError, Force, TagError};

use super::{KEEP, conditions};
use crate::{
    access::Permission,
    gate::Turn,
    http::{Method, ReplyBody, Response, Status},
    pushed::{self, MOST_BYTES, PATIENCE, Push, Pushed, SMALL_BYTES},
    registry::Exchange,
    reply::Fault,
};

/// Tags of one push: each is a header field of the answer, of which some clients read a hundred.
const MOST_TAGS: usize = 64;

fn unknown(reference: &Target) -> Fault {
    let text = match reference {
        Target::Tag(tag) => tag.to_string(),
        Target::Digest(digest) => digest.to_string(),
    };
    Fault::missing(
        "MANIFEST_UNKNOWN",
        format!("the repository has no manifest {text}"),
    )
}

/// `GET` and `HEAD`.
pub(crate) fn read(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    reference: &Target,
) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::pull(name.as_str())])?;
    let registry = exchange.registry;
    let manifest = match reference {
        Target::Tag(tag) => match registry.store.resolve(name, tag)? {
            None => by_history(exchange, name, tag)?.map(Arc::new),
            found => found,
        },
        Target::Digest(digest) => registry.repository(name)?.manifest(digest)?.map(Arc::new),
    };
    let manifest = manifest.ok_or_else(|| unknown(reference))?;
    let keep = match reference {
        Target::Tag(_) => "no-cache",
        Target::Digest(_) => KEEP,
    };
    let known = conditions::has_already(exchange.request, &manifest.digest);
    let status = if known { Status::NOT_MODIFIED } else { Status::OK };
    let response = Response::new(status)
        .field("Docker-Content-Digest", &manifest.digest)
        .field("ETag", conditions::entity_tag(&manifest.digest))
        .field("Cache-Control", keep);
    if known {
        return Ok(response);
    }
    let response = response.field("Content-Type", &manifest.media_type);
    if exchange.request.method() == Method::Head {
        return Ok(response.body(ReplyBody::HeadOf(manifest.size)));
    }
    Ok(response.body(body(exchange, name, &manifest)?))
}

/// What a tag that is not there is by the history, whose publisher may have died before it wrote the tag.
fn by_history(exchange: &Exchange<'_, '_>, name: &RepoName, tag: &Tag) -> Result<Option<Descriptor>, Fault> {
    let repository = exchange.registry.repository(name)?;
    if tag.is_reserved() {
        return Ok(None);
    }
    exchange.request.take_time();
    let recent = exchange.registry.histories.of(name);
    Ok(recent.look_up::<TagError>(&repository, tag)?)
}

fn body(exchange: &Exchange<'_, '_>, name: &RepoName, manifest: &Descriptor) -> Result<ReplyBody, Fault> {
    let cache = &exchange.registry.manifests;
    if let Some(bytes) = cache.get(&manifest.digest) {
        return Ok(ReplyBody::Shared(bytes));
    }
    let repository = exchange.registry.repository(name)?;
    if cache.takes(manifest.size) {
        let bytes: Arc<[u8]> = repository.fetch(manifest, MOST_BYTES)?.into();
        cache.insert(&manifest.digest, &bytes);
        return Ok(ReplyBody::Shared(bytes));
    }
    match repository.blob_file(&manifest.digest)? {
        Some((file, length)) if length == manifest.size => Ok(ReplyBody::File {
            file: Arc::new(file),
            offset: 0,
            length,
        }),
        _ => Err(Fault::internal(format!(
            "the bytes of {} are gone",
            manifest.digest
        ))),
    }
}

/// `PUT`: the manifest first, then its tags, all of them or none.
pub(crate) fn push(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    reference: &Target,
) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::push(name.as_str())])?;
    let parameters = tag_parameters(exchange)?;
    let received = receive(exchange)?;
    let bytes = match &received {
        Received::Small(bytes) => bytes.as_slice(),
        Received::Large(bytes) => bytes.as_slice(),
    };
    let media_type = content_type(exchange)
        .or_else(|| pushed::own_media_type(bytes))
        .ok_or_else(|| {
            let message = "neither Content-Type nor the manifest says what it is";
            Fault::bad("MANIFEST_INVALID", message)
        })?;
    let (digest, mut tags) = match reference {
        Target::Tag(tag) => (None, vec![tag.clone()]),
        Target::Digest(digest) => (Some(digest), Vec::new()),
    };
    tags.extend(parameters.iter().cloned());
    let push = Push {
        media_type: &media_type,
        bytes,
        digest,
        tags: &tags,
    };
    let author = exchange.author();
    let read = push.read()?;
    let repository = exchange.registry.repository_to_push(name)?;
    let Pushed {
        manifest, subject, ..
    } = read.into_repository(&repository, &exchange.registry.histories, &author)?;
    let digest = &manifest.digest;
    let mut response = Response::new(Status::CREATED)
        .field("Location", format_args!("/v2/{name}/manifests/{digest}"))
        .field("Docker-Content-Digest", digest);
    if let Some(subject) = subject {
        response = response.field("OCI-Subject", subject);
    }
    for tag in &parameters {
        response = response.field("OCI-Tag", tag);
    }
    Ok(response)
}

/// The tags among the parameters (`?tag=a&tag=b`), each once.
fn tag_parameters(exchange: &Exchange<'_, '_>) -> Result<Vec<Tag>, Fault> {
    let mut tags: Vec<Tag> = Vec::new();
    let named = exchange.request.query().filter(|(key, _)| key == "tag");
    for (_, text) in named {
        let tag: Tag = text.parse().map_err(|error: modelkeep_core::InvalidName| {
            Fault::bad("MANIFEST_INVALID", error.to_string())
        })?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > MOST_TAGS {
            let message = format!("a push may have {MOST_TAGS} tags at most");
            return Err(Fault::bad("MANIFEST_INVALID", message));
        }
    }
    Ok(tags)
}

/// The bytes of a manifest that came.
enum Received<'r> {
    Small(Vec<u8>),
    Large(Turn<'r, Vec<u8>>),
}

/// The body. Where it is large it waits on the disk until it has come, and then for its turn to be in memory: who sends
/// slowly keeps nobody waiting.
fn receive<'r>(exchange: &mut Exchange<'r, '_>) -> Result<Received<'r>, Fault> {
    let registry = exchange.registry;
    let fault = |error| Fault::body("MANIFEST_INVALID", &error);
    let body = &mut exchange.request.body;
    body.limit(MOST_BYTES);
    let announced = body.remaining();
    let mut bytes = Vec::new();
    if announced.is_none_or(|length| length <= SMALL_BYTES) {
        body.by_ref()
            .take(SMALL_BYTES)
            .read_to_end(&mut bytes)
            .map_err(fault)?;
        if announced.is_some() || (bytes.len() as u64) < SMALL_BYTES {
            registry
                .metrics
                .received_bytes
                .fetch_add(bytes.len() as u64, Relaxed);
            return Ok(Received::Small(bytes));
        }
    }
    let mut spool = registry.store.spool()?;
    spool.write(&bytes)?;
    drop(bytes);
    let mut piece = [0; 16 << 10];
    loop {
        match body.read(&mut piece).map_err(fault)? {
            0 => break,
            read => spool.write(&piece[..read])?,
        }
    }
    let turn = registry.large_manifest.enter(PATIENCE);
    let mut turn = turn.ok_or_else(|| Fault::busy("too many large manifests at once, try later"))?;
    spool.read_into(&mut turn)?;
    registry
        .metrics
        .received_bytes
        .fetch_add(turn.len() as u64, Relaxed);
    Ok(Received::Large(turn))
}

/// What the request says that the manifest is, without parameters.
fn content_type(exchange: &Exchange<'_, '_>) -> Option<String> {
    let field = exchange.request.header("content-type")?;
    let named = field.split(';').next().unwrap_or_default().trim();
    (!named.is_empty()).then(|| named.to_owned())
}

/// `DELETE`: of a tag alone, or of a manifest with all its tags.
pub(crate) fn delete(
    exchange: &mut Exchange<'_, '_>,
    name: &RepoName,
    reference: &Target,
) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::delete(name.as_str())])?;
    let repository = exchange.registry.repository(name)?;
    let recent = exchange.registry.histories.of(name);
    match ledger::delete(
        &repository,
        Some(recent),
        &exchange.author(),
        reference,
        Force::No,
    ) {
        Ok(_) => Ok(Response::new(Status::ACCEPTED)),
        Err(DeleteError::NotFound(_)) => Err(unknown(reference)),
        // The repository went meanwhile.
        Err(DeleteError::Content(Error::NotFound { .. })) => Err(unknown(reference)),
        Err(error) => Err(error.into()),
    }
}
