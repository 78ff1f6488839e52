use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Hashed, Platform};

/// A content descriptor (OCI image-spec, `descriptor.md`): what a blob is, how large, and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Type of an artifact, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where else the content may be had; a layer with URLs need not be in the registry. Never fetched by us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl Descriptor {
    /// The descriptor of content that has been hashed.
    #[must_use]
    pub fn new(media_type: &str, hashed: &Hashed) -> Self {
        Self::plain(media_type, hashed.digest().clone(), hashed.size())
    }

    /// The descriptor of `bytes`.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::plain(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// A descriptor without the optional properties.
    #[must_use]
    pub fn plain(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        }
    }
}
