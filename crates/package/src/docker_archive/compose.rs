//! What an archive says that its images are, and the manifest that such an image gets.

use modelkeep_core::{
    Contents, Descriptor, Digest, Document, ImageConfig, Index, Manifest, annotation,
    content::{Error, Result},
    media,
};
use serde::{Deserialize, Serialize};

use super::MOST_DOCUMENT_BYTES;
use crate::image::{Blob, layer_title};

/// The member that lists the images.
pub(super) const LIST: &str = "manifest.json";
/// The member by which an archive is an OCI layout too.
pub(super) const INDEX: &str = "index.json";
/// Most manifests that are looked at for the one that an image had.
const MANIFESTS: usize = 64;

/// One image in `manifest.json`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    pub(super) config: String,
    /// docker writes `null` for none.
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Vec<String>,
}

/// The image that `name` names in `list`; the only one without a name.
pub(super) fn entry(list: &[u8], name: Option<&str>, malformed: &dyn Fn(String) -> Error) -> Result<Entry> {
    let entries: Vec<Entry> =
        serde_json::from_slice(list).map_err(|error| malformed(format!("{LIST}: {error}")))?;
    let tags = |entry: &Entry| entry.repo_tags.clone().unwrap_or_default();
    let all: Vec<String> = entries.iter().flat_map(tags).collect();
    let is_named = |entry: &Entry| match name {
        Some(name) => tags(entry).iter().any(|tag| familiar(tag) == familiar(name)),
        None => true,
    };
    let mut found = entries.into_iter().filter(is_named);
    match (found.next(), found.next(), name) {
        (Some(only), None, _) => Ok(only),
        (None, _, Some(name)) => Err(Error::NotFound {
            what: format!("the image {name}"),
            place: format!("the archive, which has {}", listed(&all)),
        }),
        (None, _, None) => Err(malformed("it holds no image".to_owned())),
        (Some(_), Some(_), _) => Err(malformed(format!(
            "it holds several images: name one of {}",
            listed(&all)
        ))),
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none with a name".to_owned(),
        names => names.join(", ").chars().take(400).collect(),
    }
}

/// The name as docker shows it: without Docker Hub, which it takes for granted.
fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// The digest that the name of a member claims: `blobs/sha256/HEX`, `HEX.tar` or `HEX.json`.
pub(super) fn claimed(name: &str) -> Option<Digest> {
    if let Some((algorithm, hex)) = name.strip_prefix("blobs/").and_then(|rest| rest.split_once('/')) {
        return format!("{algorithm}:{hex}").parse().ok();
    }
    let hex = name.strip_suffix(".tar").or_else(|| name.strip_suffix(".json"))?;
    format!("sha256:{hex}").parse().ok()
}

/// The media type of a layer that begins with these bytes.
pub(super) fn layer_type(beginning: &[u8]) -> &'static str {
    match beginning {
        [0x1f, 0x8b, ..] => media::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => media::OCI_LAYER_ZSTD,
        _ => media::OCI_LAYER,
    }
}

/// Reads the config of an image, which must speak of as many layers as the archive has for it.
pub(super) fn config(
    bytes: &[u8],
    layers: usize,
    malformed: &dyn Fn(String) -> Error,
) -> Result<ImageConfig> {
    let config: ImageConfig =
        serde_json::from_slice(bytes).map_err(|error| malformed(format!("the image config: {error}")))?;
    let said = config.rootfs.diff_ids.len();
    if said == layers {
        return Ok(config);
    }
    Err(malformed(format!(
        "the image config speaks of {said} layers, and {layers} are listed"
    )))
}

/// The manifest of an image whose config and layers came out of an archive, which keeps none.
///
/// The manifest that the image had is found again where the archive has a copy of it. That of a version that Modelkeep
/// made follows from the config, where everything that is said of it stands too. Any other image gets a new one.
pub(super) fn manifest(
    config: &Blob,
    parsed: &ImageConfig,
    layers: &[Descriptor],
    index: Option<&[u8]>,
    blob: &dyn Fn(&Descriptor) -> Option<Vec<u8>>,
) -> Blob {
    let kept = kept(config, layers, index, blob);
    if let Some((manifest, true)) = kept {
        return manifest;
    }
    if let Some(ours) = ours(config, parsed, layers) {
        return ours;
    }
    match kept {
        Some((manifest, _)) => manifest,
        None => Blob::new(media::OCI_MANIFEST, &plain(config, layers)),
    }
}

fn plain(config: &Blob, layers: &[Descriptor]) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: config.descriptor.clone(),
        layers: layers.to_vec(),
        subject: None,
        annotations: Default::default(),
    }
}

/// What the archive has as the manifest of this config and these layers, and whether Modelkeep made it.
fn kept(
    config: &Blob,
    layers: &[Descriptor],
    index: Option<&[u8]>,
    blob: &dyn Fn(&Descriptor) -> Option<Vec<u8>>,
) -> Option<(Blob, bool)> {
    let index: Index = serde_json::from_slice(index?).ok()?;
    let mut manifests = index.manifests;
    let mut found = None;
    let mut at = 0;
    while let Some(descriptor) = manifests.get(at).filter(|_| at < MANIFESTS).cloned() {
        at += 1;
        if descriptor.size > MOST_DOCUMENT_BYTES {
            continue;
        }
        let bytes = blob(&descriptor)
            .filter(|bytes| Digest::of_with(descriptor.digest.algorithm(), bytes) == descriptor.digest);
        let document = bytes.and_then(|bytes| {
            let document = Document::parse(&descriptor.media_type, &bytes).ok()?;
            Some((document, bytes))
        });
        match document {
            Some((Document::Image(image), bytes)) => {
                let same = |(a, b): (&Descriptor, &Descriptor)| a.digest == b.digest && a.size == b.size;
                let same_layers =
                    image.layers.len() == layers.len() && image.layers.iter().zip(layers).all(same);
                if !same_layers || !same((&image.config, &config.descriptor)) {
                    continue;
                }
                let plain = Descriptor::plain(&descriptor.media_type, descriptor.digest, bytes.len() as u64);
                let blob = Blob {
                    descriptor: plain,
                    bytes,
                };
                if image.annotations.contains_key(annotation::ROOT) {
                    return Some((blob, true));
                }
                found.get_or_insert((blob, false));
            }
            Some((Document::Index(index), _)) => {
                let room = MANIFESTS.saturating_sub(manifests.len());
                manifests.extend(index.manifests.into_iter().take(room));
            }
            None => {}
        }
    }
    found
}

/// The manifest that Modelkeep wrote for the version: its annotations are the labels but for the contents list and the
/// record, and its layers those of the files, with those of documents after them.
fn ours(config: &Blob, parsed: &ImageConfig, layers: &[Descriptor]) -> Option<Blob> {
    let mut annotations = parsed.config.labels.clone()?;
    let contents = Contents::parse(&annotations.remove(Contents::LABEL)?).ok()?;
    annotations.remove(annotation::RECORD);
    let digests: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let of_files = digests.get(..contents.layers().len())?;
    if !contents.layers().iter().eq(of_files.iter().copied()) {
        return None;
    }
    let mut manifest = plain(config, layers);
    manifest.annotations = annotations;
    for (number, layer) in manifest.layers.iter_mut().enumerate() {
        if let Some(title) = layer_title(&contents, number) {
            layer.annotations.insert(annotation::TITLE.to_owned(), title);
        }
    }
    Some(Blob::new(media::OCI_MANIFEST, &manifest))
}
