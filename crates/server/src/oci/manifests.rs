//! Manifests: reading, pushing and deleting them and their tags.

use std::{
    io::Read,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use modelkeep_core::{
    Algorithm, Descriptor, Hasher, Outline, RepoName, Tag,
    content::{Error, Expect, Names, Need, Source, Target as _},
    name::Target,
};
use modelkeep_ledger::{self as ledger, DeleteError, Force, Outcome, Publish, TagError};
use modelkeep_store::Repository;
use serde::Deserialize;

use super::{KEEP, conditions};
use crate::{
    access::Permission,
    gate::Turn,
    http::{Method, ReplyBody, Response, Status},
    registry::Exchange,
    reply::{Fault, chain},
};

/// The largest manifest that is taken (distribution-spec, "Pushing Manifests").
const MOST_BYTES: u64 = 4 << 20;
/// A manifest that is larger waits for its turn to be read.
const SMALL_BYTES: u64 = 128 << 10;
/// Tags of one push: each is a header field of the answer, of which some clients read a hundred.
const MOST_TAGS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);

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
    let repository = exchange.registry.repository(name)?;
    let found = match reference {
        Target::Tag(tag) => match repository.resolve(tag)? {
            None => by_history(exchange, &repository, tag)?,
            found => found,
        },
        Target::Digest(digest) => repository.manifest(digest)?,
    };
    let manifest = found.ok_or_else(|| unknown(reference))?;
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
    Ok(response.body(body(exchange, &repository, &manifest)?))
}

/// What a tag that is not there is by the history, whose publisher may have died before it wrote the tag.
fn by_history(
    exchange: &Exchange<'_, '_>,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<Descriptor>, Fault> {
    if tag.is_reserved() {
        return Ok(None);
    }
    let recent = exchange.registry.histories.of(repository.name());
    Ok(recent.look_up::<TagError>(repository, tag)?)
}

fn body(
    exchange: &Exchange<'_, '_>,
    repository: &Repository,
    manifest: &Descriptor,
) -> Result<ReplyBody, Fault> {
    let cache = &exchange.registry.manifests;
    if let Some(bytes) = cache.get(&manifest.digest) {
        return Ok(ReplyBody::Shared(bytes));
    }
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
    let media_type = media_type(exchange, bytes)?;
    let subject = Outline::parse(&media_type, bytes)
        .map_err(|error| Fault::bad("MANIFEST_INVALID", chain(&error)))?
        .subject;
    let algorithm = match reference {
        Target::Tag(_) => Algorithm::Sha256,
        Target::Digest(digest) => digest.algorithm(),
    };
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    let hashed = hasher.finish();
    if let Target::Digest(digest) = reference
        && digest != hashed.digest()
    {
        let message = format!("the manifest is {}, and was pushed as {digest}", hashed.digest());
        return Err(Fault::bad("DIGEST_INVALID", message));
    }
    let repository = exchange.registry.repository_to_push(name)?;
    let manifest = Descriptor::new(&media_type, &hashed);
    if let Some(known) = repository.manifest(&manifest.digest)?
        && known.media_type != media_type
    {
        let message = format!(
            "the manifest is here as {}, and came as {media_type}",
            known.media_type
        );
        return Err(Fault::bad("MANIFEST_INVALID", message));
    }
    if repository.need(&manifest)? != Need::Nothing {
        let mut sink = repository.begin(Expect::Known(&manifest))?;
        sink.write(0, bytes)?;
        sink.commit(&hashed)?;
    }
    let mut tags: Vec<Tag> = match reference {
        Target::Tag(tag) => vec![tag.clone()],
        Target::Digest(_) => Vec::new(),
    };
    tags.extend(parameters.iter().cloned());
    set_tags(exchange, &repository, &tags, &manifest)?;
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

fn set_tags(
    exchange: &Exchange<'_, '_>,
    repository: &Repository,
    tags: &[Tag],
    manifest: &Descriptor,
) -> Result<(), Fault> {
    let publish = Publish {
        manifest: manifest.clone(),
        root: None,
        message: None,
        metrics: Default::default(),
        params: Default::default(),
    };
    let recent = exchange.registry.histories.of(repository.name());
    match ledger::tag(repository, Some(recent), &exchange.author(), tags, &publish) {
        Ok(outcomes) => {
            // Whoever set it first may have died before its entry was on the disk.
            if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Unchanged) {
                repository.sync_history()?;
            }
            Ok(())
        }
        Err(TagError::Refused(refused)) => {
            // Only a proposal: whoever follows it is judged again.
            let next = refused.first().and_then(|refused| refused.next_free.clone());
            let mut message = TagError::Refused(refused).to_string();
            if let Some(next) = next {
                message.push_str(&format!("; the next free version is {next}"));
            }
            Err(Fault::new(Status::CONFLICT, "DENIED", message))
        }
        Err(error) => Err(error.into()),
    }
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

/// What the manifest is: as the request says, without parameters, or else as it says itself.
fn media_type(exchange: &Exchange<'_, '_>, bytes: &[u8]) -> Result<String, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: String,
    }
    if let Some(field) = exchange.request.header("content-type") {
        let named = field.split(';').next().unwrap_or_default().trim();
        if !named.is_empty() {
            return Ok(named.to_owned());
        }
    }
    match serde_json::from_slice::<Typed>(bytes) {
        Ok(typed) => Ok(typed.media_type),
        Err(_) => Err(Fault::bad(
            "MANIFEST_INVALID",
            "neither Content-Type nor the manifest says what it is",
        )),
    }
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
