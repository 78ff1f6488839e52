//! Manifests, image configs, and the annotations that Modelkeep writes.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Digest, media};

/// Names of annotations and labels.
pub mod annotation {
    /// Version of the packaged model (OCI image-spec, `annotations.md`).
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// Time of creation, RFC 3339.
    pub const CREATED: &str = "org.opencontainers.image.created";
    /// Source control revision.
    pub const REVISION: &str = "org.opencontainers.image.revision";
    /// Where the source is.
    pub const SOURCE: &str = "org.opencontainers.image.source";
    /// Title for people.
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// Text about the content for people.
    pub const DESCRIPTION: &str = "org.opencontainers.image.description";
    /// Licenses, an SPDX expression.
    pub const LICENSES: &str = "org.opencontainers.image.licenses";
    /// Name of the image that this one lies on.
    pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
    /// Digest of the image that this one lies on.
    pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
    /// The tag of a manifest in the index of an OCI layout.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
    /// The message of the person who published.
    pub const MESSAGE: &str = "dev.modelkeep.message";
    /// Metrics, a JSON object of numbers.
    pub const METRICS: &str = "dev.modelkeep.metrics";
    /// Parameters, a JSON object of texts.
    pub const PARAMS: &str = "dev.modelkeep.params";
    /// The model that this one is, where it was taken from: `hf://ORG/NAME@REVISION`.
    pub const ORIGIN: &str = "dev.modelkeep.origin";
    /// The content root of the model.
    pub const ROOT: &str = "dev.modelkeep.root";
    /// What the files of a version say that it is, in JSON (`docs/reference/record.md`). A label only.
    pub const RECORD: &str = "dev.modelkeep.record";
    /// An entry of a history, as it is kept on registries that know none (`docs/reference/history.md`).
    pub const ENTRY: &str = "dev.modelkeep.entry";
}

/// An OCI image manifest (image-spec, `manifest.md`), or Docker's, which has the same shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Media type of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An OCI image index (image-spec, `image-index.md`), or Docker's manifest list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Media type of the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one says something about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Platform of an image (image-spec, `image-index.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Processor, by Go's name for it: `amd64`, `arm64`.
    pub architecture: String,
    /// Operating system, by Go's name for it: `linux`.
    pub os: String,
    /// Variant of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Whether what is for `self` is for `wanted` too, which means any variant if it names none.
    #[must_use]
    pub fn is_one_of(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

/// As docker writes it: `linux/arm64`, `linux/arm/v7`.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// A text that names no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a platform is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/amd64")]
pub struct InvalidPlatform;

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let words: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match *words.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(InvalidPlatform),
        };
        if !words.into_iter().all(is_word) {
            return Err(InvalidPlatform);
        }
        Ok(Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant,
        })
    }
}

/// An image config (image-spec, `config.md`): what of it Modelkeep writes and reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Time of creation, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Processor.
    pub architecture: String,
    /// Operating system.
    pub os: String,
    /// What a container of the image starts with.
    #[serde(default, deserialize_with = "null_is_none")]
    pub config: ContainerConfig,
    /// The layers by their uncompressed digests.
    pub rootfs: RootFs,
}

/// The part of the image config that is for containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// As whom: a user, or a user and a group, by name or number.
    #[serde(rename = "User", default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment, as `NAME=VALUE`.
    #[serde(rename = "Env", default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// What is run.
    #[serde(rename = "Entrypoint", default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The arguments of the entrypoint, or what is run where there is none.
    #[serde(rename = "Cmd", default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Labels; docker writes `null` for none.
    #[serde(rename = "Labels", default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// The layers of an image, uncompressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default, deserialize_with = "null_is_none")]
    pub diff_ids: Vec<Digest>,
}

/// Go writes `null` for what holds nothing.
fn null_is_none<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Bytes that are not the manifest they are said to be.
#[derive(Debug, thiserror::Error)]
pub enum MalformedManifest {
    /// Not JSON of that shape.
    #[error("the manifest is not JSON of the shape that {media_type} has")]
    Json {
        /// What it is said to be.
        media_type: String,
        /// What the parser found.
        #[source]
        source: serde_json::Error,
    },
    /// The media type within is not the one without.
    #[error("the manifest says that it is {inside}, and arrived as {outside}")]
    MediaType {
        /// What the document says.
        inside: String,
        /// What it arrived as.
        outside: String,
    },
    /// A schema version other than 2.
    #[error("the manifest has schemaVersion {0}; only 2 is taken")]
    SchemaVersion(u32),
    /// It could be read as an image and as an index (CVE-2021-41190).
    #[error("the manifest has the fields of an image and of an index")]
    Ambiguous,
    /// A type of document that nobody here knows.
    #[error("{0:?} is not the media type of a manifest")]
    UnknownType(String),
}

/// A manifest of either kind.
#[expect(
    clippy::large_enum_variant,
    reason = "made once per request, never kept in numbers"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// An image or an artifact.
    Image(Manifest),
    /// A list of manifests.
    Index(Index),
}

impl Document {
    /// Reads `bytes` that arrived as `media_type`.
    ///
    /// # Errors
    /// Whatever makes it something else.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, MalformedManifest> {
        #[derive(Deserialize)]
        struct Fields {
            config: Option<serde::de::IgnoredAny>,
            layers: Option<serde::de::IgnoredAny>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let json = |source| MalformedManifest::Json {
            media_type: media_type.to_owned(),
            source,
        };
        let index = match media_type {
            media::OCI_MANIFEST | media::DOCKER_MANIFEST => false,
            media::OCI_INDEX | media::DOCKER_MANIFEST_LIST => true,
            _ => return Err(MalformedManifest::UnknownType(media_type.to_owned())),
        };
        let fields: Fields = serde_json::from_slice(bytes).map_err(json)?;
        if fields.manifests.is_some() && (fields.config.is_some() || fields.layers.is_some()) {
            return Err(MalformedManifest::Ambiguous);
        }
        let document = if index {
            Self::Index(serde_json::from_slice(bytes).map_err(json)?)
        } else {
            Self::Image(serde_json::from_slice(bytes).map_err(json)?)
        };
        let (version, inside) = match &document {
            Self::Image(image) => (image.schema_version, &image.media_type),
            Self::Index(index) => (index.schema_version, &index.media_type),
        };
        if version != 2 {
            return Err(MalformedManifest::SchemaVersion(version));
        }
        match inside {
            Some(inside) if inside != media_type => Err(MalformedManifest::MediaType {
                inside: inside.clone(),
                outside: media_type.to_owned(),
            }),
            _ => Ok(document),
        }
    }

    /// The manifest that this one says something about.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
    }

    /// What the document is made of: config and layers of an image, manifests of an index.
    pub fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest) = match self {
            Self::Image(image) => (Some(&image.config), &image.layers),
            Self::Index(index) => (None, &index.manifests),
        };
        config.into_iter().chain(rest)
    }

    /// Its descriptor in a list of referrers: `plain` with the type of the artifact, which for an image that names
    /// none is that of its config, and the annotations (distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn referrer(self, plain: Descriptor) -> Descriptor {
        let (artifact_type, annotations) = match self {
            Self::Image(image) => {
                let named = image.artifact_type.filter(|name| !name.is_empty());
                (named.or(Some(image.config.media_type)), image.annotations)
            }
            Self::Index(index) => (index.artifact_type, index.annotations),
        };
        Descriptor {
            artifact_type,
            annotations,
            ..plain
        }
    }
}

/// The JSON of a document that Modelkeep writes: compact, fields in the order of their definition.
#[must_use]
pub fn to_json<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("texts, numbers and maps with text keys become JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,
        "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[],"unknown":1}"#;

    #[test]
    fn platforms_are_written_as_docker_writes_them() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "amd64",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "linux/a md",
            "linux//v7",
        ] {
            assert_eq!(text.parse::<Platform>(), Err(InvalidPlatform), "{text}");
        }
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        assert!(platform("linux/arm/v7").is_one_of(&platform("linux/arm")));
        assert!(platform("linux/arm/v7").is_one_of(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm").is_one_of(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm").is_one_of(&platform("linux/arm64")));
    }

    #[test]
    fn an_image_is_read_and_its_unknown_fields_are_let_be() {
        let document = Document::parse(media::OCI_MANIFEST, IMAGE.as_bytes()).unwrap();
        assert!(matches!(document, Document::Image(image) if image.config.size == 2));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let both = IMAGE.replace("\"unknown\":1", "\"manifests\":[]");
        let parse = |media_type, text: &str| Document::parse(media_type, text.as_bytes()).unwrap_err();
        assert!(matches!(
            parse(media::OCI_MANIFEST, &both),
            MalformedManifest::Ambiguous
        ));
        assert!(matches!(
            parse(media::DOCKER_MANIFEST, IMAGE),
            MalformedManifest::MediaType { .. }
        ));
        assert!(matches!(
            parse(media::OCI_INDEX, IMAGE),
            MalformedManifest::Json { .. }
        ));
        assert!(matches!(
            parse("text/html", IMAGE),
            MalformedManifest::UnknownType(_)
        ));
        let old = IMAGE.replace("\"schemaVersion\":2", "\"schemaVersion\":1");
        assert!(matches!(
            parse(media::OCI_MANIFEST, &old),
            MalformedManifest::SchemaVersion(1)
        ));
    }
}
