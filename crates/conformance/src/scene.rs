//! What one test works with: two repositories that nobody else uses, content that
//! nobody else has, and the steps that most tests begin with.

use std::cell::RefCell;

use serde_json::json;

use crate::check::{Exchange, Failure, Outcome};
use crate::client::Client;
use crate::digest::{Algorithm, Digest, Random};
use crate::http::Request;
use crate::manifest::{self, CONFIG, DOCKER_IMAGE, DOCKER_LIST, EMPTY_BLOB, IMAGE, INDEX, LAYER, Manifest};

/// One test's surroundings.
pub(crate) struct Scene<'a> {
    pub(crate) client: &'a Client,
    /// The repository under test.
    pub(crate) repo: String,
    /// A second repository, the source of mounts.
    pub(crate) other: String,
    /// The algorithm that names blobs and manifests.
    pub(crate) algorithm: Algorithm,
    pub(crate) random: RefCell<Random>,
}

/// An upload session: where its next request goes.
pub(crate) struct Upload {
    pub(crate) target: String,
    /// A chunk size that the registry takes.
    pub(crate) chunk_bytes: usize,
}

impl Upload {
    /// The target of the request that ends the session.
    pub(crate) fn closing(&self, digest: &Digest) -> String {
        with_query(&self.target, &format!("digest={}", digest.in_query()))
    }
}

/// Adds one parameter to a target, keeping those it has.
pub(crate) fn with_query(target: &str, parameter: &str) -> String {
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{parameter}")
}

/// A chunk that says where in the blob it begins.
pub(crate) fn chunk(target: &str, start: usize, bytes: &[u8]) -> Request {
    Request::patch(target)
        .octets()
        .header("Content-Range", format!("{start}-{}", start + bytes.len() - 1))
        .sized(bytes)
}

/// An upload's closing request with the last chunk in it.
pub(crate) fn last_chunk(target: String, start: usize, bytes: &[u8]) -> Request {
    let mut request = chunk(&target, start, bytes);
    request.method = "PUT";
    request
}

impl Scene<'_> {
    pub(crate) fn bytes(&self, count: usize) -> Vec<u8> {
        self.random.borrow_mut().bytes(count)
    }

    /// A word that no other test and no other run uses.
    pub(crate) fn unique(&self) -> String {
        format!("{:016x}", self.random.borrow_mut().word())
    }

    pub(crate) fn digest(&self, bytes: &[u8]) -> Digest {
        self.algorithm.digest(bytes)
    }

    /// A digest of this test's algorithm that nothing has.
    pub(crate) fn unknown_digest(&self) -> Digest {
        self.digest(&self.bytes(64))
    }

    pub(crate) fn send(&self, request: Request) -> Result<Exchange, Failure> {
        self.client.send(request)
    }

    pub(crate) fn get(&self, target: impl Into<String>) -> Result<Exchange, Failure> {
        self.send(Request::get(target))
    }

    /// GET of a manifest of any kind, each in an Accept header of its own.
    pub(crate) fn get_manifest(&self, target: impl Into<String>) -> Result<Exchange, Failure> {
        self.send(accepting(Request::get(target)))
    }

    /// HEAD of a manifest of any kind, each in an Accept header of its own.
    pub(crate) fn head_manifest(&self, target: impl Into<String>) -> Result<Exchange, Failure> {
        self.send(accepting(Request::head(target)))
    }

    pub(crate) fn head(&self, target: impl Into<String>) -> Result<Exchange, Failure> {
        self.send(Request::head(target))
    }

    pub(crate) fn delete(&self, target: impl Into<String>) -> Result<Exchange, Failure> {
        self.send(Request::delete(target))
    }

    pub(crate) fn blob(&self, digest: &Digest) -> String {
        format!("/v2/{}/blobs/{digest}", self.repo)
    }

    pub(crate) fn manifest(&self, reference: impl AsRef<str>) -> String {
        format!("/v2/{}/manifests/{}", self.repo, reference.as_ref())
    }

    pub(crate) fn tags(&self) -> String {
        format!("/v2/{}/tags/list", self.repo)
    }

    pub(crate) fn referrers(&self, subject: &Digest) -> String {
        format!("/v2/{}/referrers/{subject}", self.repo)
    }

    pub(crate) fn uploads(&self) -> String {
        format!("/v2/{}/blobs/uploads/", self.repo)
    }

    /// Opens an upload session in the repository under test.
    pub(crate) fn open_upload(&self) -> Result<Upload, Failure> {
        upload(&self.send(Request::post(self.uploads()))?)
    }

    /// Stores a blob in the repository under test, as a precondition.
    pub(crate) fn given_blob(&self, bytes: &[u8]) -> Result<Digest, Failure> {
        self.given_blob_in(&self.repo, bytes)
    }

    /// Stores a blob in any repository, as a precondition.
    pub(crate) fn given_blob_in(&self, repo: &str, bytes: &[u8]) -> Result<Digest, Failure> {
        let digest = self.digest(bytes);
        let session = upload(&self.send(Request::post(format!("/v2/{repo}/blobs/uploads/")))?)?;
        let put = Request::put(session.closing(&digest)).octets().sized(bytes);
        self.send(put)?.status(201)?;
        Ok(digest)
    }

    /// Stores a manifest whose blobs are there, as a precondition.
    pub(crate) fn given_manifest(&self, reference: &str, manifest: &Manifest) -> Outcome {
        self.send(put_manifest(&self.manifest(reference), manifest))?
            .status(201)?;
        Ok(())
    }

    /// A small image that differs from all others; its blobs are stored, itself not.
    pub(crate) fn small_image(&self) -> Result<Manifest, Failure> {
        self.given_blob(EMPTY_BLOB)?;
        let mut document = manifest::image(
            manifest::descriptor(CONFIG, self.algorithm, EMPTY_BLOB),
            vec![manifest::descriptor(LAYER, self.algorithm, EMPTY_BLOB)],
        );
        document["annotations"] = json!({ "unique": self.unique() });
        Ok(Manifest::of(&document))
    }

    /// A stored small image under one tag.
    pub(crate) fn given_image(&self, tag: &str) -> Result<Manifest, Failure> {
        let image = self.small_image()?;
        self.given_manifest(tag, &image)?;
        Ok(image)
    }

    /// HEAD and GET of a stored blob answer as the specification says.
    pub(crate) fn blob_is_stored(&self, digest: &Digest, bytes: &[u8]) -> Outcome {
        self.head(self.blob(digest))?
            .status(200)?
            .length_is(bytes.len())?
            .digest_is(digest)?;
        self.get(self.blob(digest))?
            .status(200)?
            .body_is(bytes)?
            .digest_is(digest)?;
        Ok(())
    }

    /// The answer to a finished blob push: 201, its digest, and a Location that holds it.
    pub(crate) fn blob_was_pushed(&self, exchange: &Exchange, digest: &Digest, bytes: &[u8]) -> Outcome {
        let location = exchange.status(201)?.location()?;
        exchange.digest_is(digest)?;
        self.get(location)?.status(200)?.body_is(bytes)?;
        self.blob_is_stored(digest, bytes)
    }

    /// The answer to a manifest push: 201, its digest, and a Location that holds it.
    pub(crate) fn manifest_was_pushed(
        &self,
        exchange: &Exchange,
        digest: &Digest,
        manifest: &Manifest,
    ) -> Outcome {
        let location = exchange.status(201)?.location()?;
        exchange.digest_is(digest)?;
        is_manifest(&self.get_manifest(location)?, digest, manifest)
    }
}

/// As skopeo, docker and the official suite ask: else an older registry hides OCI types.
pub(crate) fn accepting(request: Request) -> Request {
    [IMAGE, INDEX, DOCKER_IMAGE, DOCKER_LIST]
        .into_iter()
        .fold(request, |request, kind| request.header("Accept", kind))
}

/// The session that a POST opened.
pub(crate) fn upload(exchange: &Exchange) -> Result<Upload, Failure> {
    let target = exchange.status(202)?.location()?;
    let least = match exchange.answer.header("OCI-Chunk-Min-Length") {
        None => 0,
        Some(value) => value
            .parse()
            .ok()
            .filter(|least| *least <= 16 * 1024 * 1024)
            .ok_or_else(|| exchange.failure("OCI-Chunk-Min-Length of at most 16 MiB"))?,
    };
    Ok(Upload {
        target,
        chunk_bytes: least.max(256),
    })
}

/// A manifest push with its length known.
pub(crate) fn put_manifest(target: &str, manifest: &Manifest) -> Request {
    Request::put(target)
        .header("Content-Type", manifest.media_type.as_str())
        .sized(manifest.bytes.as_slice())
}

/// The answer to GET of a manifest: its exact bytes, type, length and digest.
pub(crate) fn is_manifest(exchange: &Exchange, digest: &Digest, manifest: &Manifest) -> Outcome {
    exchange
        .status(200)?
        .body_is(&manifest.bytes)?
        .header_is("Content-Type", &manifest.media_type)?
        .length_is(manifest.bytes.len())?
        .digest_is(digest)?;
    Ok(())
}

/// The answer to HEAD of a manifest: as to GET, without the bytes.
pub(crate) fn is_manifest_head(exchange: &Exchange, digest: &Digest, manifest: &Manifest) -> Outcome {
    exchange
        .status(200)?
        .body_is(b"")?
        .header_is("Content-Type", &manifest.media_type)?
        .length_is(manifest.bytes.len())?
        .digest_is(digest)?;
    Ok(())
}
