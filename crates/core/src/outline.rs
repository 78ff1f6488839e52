use std::{fmt, io, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::{Digest, MalformedManifest, media};

/// What a manifest consists of and is about, without what is only said of it: a manifest of 4 MiB can have hundreds of
/// thousands of annotations, and takes ten times its size as a [`Document`](crate::Document).
///
/// What is left out is checked all the same: bytes are an outline exactly if they are a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Whether it lists manifests; an image has a config and layers.
    pub is_index: bool,
    /// Config and layers of an image, manifests of an index.
    pub parts: Vec<Part>,
    /// The manifest that this one says something about.
    pub subject: Option<Digest>,
}

/// A part of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// It may be had elsewhere, and need not be here.
    pub is_elsewhere: bool,
}

impl Outline {
    /// Reads `bytes` that arrived as `media_type`.
    ///
    /// # Errors
    /// Whatever makes it something else.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, MalformedManifest> {
        Self::check(media_type, || serde_json::from_slice(bytes))
    }

    /// As [`Outline::parse`], from a reader, which is read to its end unless that fails. It is slower, and takes no
    /// memory for the bytes.
    ///
    /// # Errors
    /// Whatever makes it something else, and what reading fails by.
    pub fn read(media_type: &str, bytes: impl io::Read) -> Result<Self, MalformedManifest> {
        Self::check(media_type, || serde_json::from_reader(bytes))
    }

    fn check(
        media_type: &str,
        parse: impl FnOnce() -> serde_json::Result<Fields>,
    ) -> Result<Self, MalformedManifest> {
        let is_index = match media_type {
            media::OCI_MANIFEST | media::DOCKER_MANIFEST => false,
            media::OCI_INDEX | media::DOCKER_MANIFEST_LIST => true,
            _ => return Err(MalformedManifest::UnknownType(media_type.to_owned())),
        };
        let json = |source| MalformedManifest::Json {
            media_type: media_type.to_owned(),
            source,
        };
        let missing = |field| json(serde::de::Error::missing_field(field));
        let fields = parse().map_err(json)?;
        if fields.manifests.is_some() && (fields.config.is_some() || fields.layers.is_some()) {
            return Err(MalformedManifest::Ambiguous);
        }
        let parts = if is_index {
            fields.manifests.ok_or_else(|| missing("manifests"))?
        } else {
            let config = fields.config.ok_or_else(|| missing("config"))?;
            let layers = fields.layers.ok_or_else(|| missing("layers"))?;
            let mut parts = Vec::with_capacity(layers.len() + 1);
            parts.push(config);
            parts.extend(layers);
            parts
        };
        if fields.schema_version != 2 {
            return Err(MalformedManifest::SchemaVersion(fields.schema_version));
        }
        match fields.media_type {
            Some(inside) if inside != media_type => Err(MalformedManifest::MediaType {
                inside,
                outside: media_type.to_owned(),
            }),
            _ => Ok(Self {
                is_index,
                parts,
                subject: fields.subject.map(|subject| subject.digest),
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    schema_version: u32,
    media_type: Option<String>,
    #[serde(rename = "artifactType")]
    _artifact_type: Option<Text>,
    config: Option<Part>,
    layers: Option<Vec<Part>>,
    manifests: Option<Vec<Part>>,
    subject: Option<Part>,
    #[serde(default, rename = "annotations")]
    _annotations: Checked<Texts>,
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            #[serde(rename = "mediaType")]
            _media_type: Text,
            digest: Digest,
            size: u64,
            #[serde(rename = "platform")]
            _platform: Option<Platform>,
            #[serde(rename = "artifactType")]
            _artifact_type: Option<Text>,
            #[serde(default, rename = "annotations")]
            _annotations: Checked<Texts>,
            #[serde(default)]
            urls: Vec<Text>,
        }
        #[derive(Deserialize)]
        struct Platform {
            #[serde(rename = "architecture")]
            _architecture: Text,
            #[serde(rename = "os")]
            _os: Text,
            #[serde(rename = "variant")]
            _variant: Option<Text>,
        }
        let fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            digest: fields.digest,
            size: fields.size,
            is_elsewhere: !fields.urls.is_empty(),
        })
    }
}

/// Something that is looked at and dropped.
struct Checked<T>(PhantomData<T>);

/// A text.
type Text = Checked<OneText>;

struct OneText;

/// An object of texts.
struct Texts;

impl<T> Default for Checked<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(OneText).map(|()| Self::default())
    }
}

impl Visitor<'_> for OneText {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Checked<Texts> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Texts).map(|()| Self::default())
    }
}

impl<'de> Visitor<'de> for Texts {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut texts: A) -> Result<(), A::Error> {
        while texts.next_entry::<Text, Text>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    const PART: &str = r#"{"mediaType":"a/b","size":2,"urls":["x"],"annotations":{"a":"b"},
        "platform":{"os":"linux","architecture":"amd64"},
        "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}"#;

    #[test]
    fn an_outline_has_what_its_document_has() {
        let image = format!(r#"{{"schemaVersion":2,"config":{PART},"layers":[{PART}],"subject":{PART}}}"#);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{PART},{PART}],"annotations":{{}}}}"#);
        for (media_type, text) in [(media::OCI_MANIFEST, image), (media::OCI_INDEX, index)] {
            let outline = Outline::parse(media_type, text.as_bytes()).unwrap();
            let document = Document::parse(media_type, text.as_bytes()).unwrap();
            assert_eq!(outline, Outline::read(media_type, text.as_bytes()).unwrap());
            assert_eq!(outline.is_index, matches!(document, Document::Index(_)));
            let parts: Vec<Part> = document
                .parts()
                .map(|part| Part {
                    digest: part.digest.clone(),
                    size: part.size,
                    is_elsewhere: !part.urls.is_empty(),
                })
                .collect();
            assert_eq!(outline.parts, parts);
            assert_eq!(
                outline.subject.as_ref(),
                document.subject().map(|found| &found.digest)
            );
        }
    }

    #[test]
    fn what_is_no_document_is_no_outline() {
        let right = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{PART},"layers":[{PART}],"subject":{PART},"annotations":{{"k":"v"}},"artifactType":"t/u"}}"#,
            media::OCI_MANIFEST
        );
        let mut texts = vec![right.clone()];
        texts.extend((0..right.len()).step_by(3).map(|end| right[..end].to_owned()));
        for (from, to) in [
            ("\"v\"", "1"),
            ("\"v\"", "null"),
            ("{\"k\":\"v\"}", "null"),
            ("{\"k\":\"v\"}", "[]"),
            ("{\"k\":\"v\"}", r#"{"k":"v","k":"\ud800"}"#),
            ("\"a/b\"", "null"),
            ("[\"x\"]", "[1]"),
            ("[\"x\"]", "null"),
            ("\"linux\"", "7"),
            ("\"t/u\"", "null"),
            ("\"t/u\"", "3"),
            ("\"size\":2", "\"size\":-2"),
            ("\"layers\"", "\"manifests\""),
            ("\"layers\"", "\"other\""),
            ("\"config\"", "\"other\""),
            ("\"schemaVersion\":2", "\"schemaVersion\":1"),
            ("\"subject\"", "\"layers\""),
            ("image.manifest", "image.index"),
        ] {
            assert!(right.contains(from), "{from}");
            texts.push(right.replace(from, to));
        }
        for media_type in [media::OCI_MANIFEST, media::OCI_INDEX, "text/html"] {
            for text in &texts {
                let outline = Outline::parse(media_type, text.as_bytes());
                let document = Document::parse(media_type, text.as_bytes());
                assert_eq!(
                    outline.is_ok(),
                    document.is_ok(),
                    "{text}: {outline:?} {document:?}"
                );
            }
        }
    }
}
