//! Manifests that the tests push, as exact bytes.

use serde_json::{Value, json};

use crate::digest::{Algorithm, Digest};

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The blob of the empty descriptor.
pub(crate) const EMPTY_BLOB: &[u8] = b"{}";

/// A manifest or an index: its type and the bytes whose digest names it.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Manifest {
    /// Serializes a document under the media type that it names itself.
    pub(crate) fn of(document: &Value) -> Self {
        Self {
            media_type: document["mediaType"].as_str().unwrap_or(IMAGE).to_owned(),
            bytes: document.to_string().into_bytes(),
        }
    }

    pub(crate) fn digest(&self, algorithm: Algorithm) -> Digest {
        algorithm.digest(&self.bytes)
    }

    pub(crate) fn descriptor(&self, algorithm: Algorithm) -> Value {
        descriptor(&self.media_type, algorithm, &self.bytes)
    }
}

/// The descriptor of `bytes`.
pub(crate) fn descriptor(media_type: &str, algorithm: Algorithm, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": algorithm.digest(bytes).as_str(),
        "size": bytes.len(),
    })
}

/// An image manifest over blobs that exist already.
pub(crate) fn image(config: Value, layers: Vec<Value>) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": config,
        "layers": layers,
    })
}

/// An index over manifests that exist already.
pub(crate) fn index(manifests: Vec<Value>) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": manifests,
    })
}

/// An artifact without content of its own: the empty blob as config and as only layer.
pub(crate) fn artifact(artifact_type: &str, algorithm: Algorithm) -> Value {
    let empty = descriptor(EMPTY, algorithm, EMPTY_BLOB);
    let mut document = image(empty.clone(), vec![empty]);
    document["artifactType"] = json!(artifact_type);
    document
}
