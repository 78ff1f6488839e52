//! An image that a model is laid on: its layers below those of the model, its config underneath the settings.
//!
//! Nothing of it is unpacked. Its layers are named by digest, as they are, and travel byte for byte.

use std::collections::HashSet;

use modelkeep_core::{
    Descriptor, Digest, Document, ImageConfig, Limits, MalformedManifest, Manifest, Platform,
    content::{self, Source},
    media,
};
use serde_json::{Map, Value, json};

use crate::image::RunSettings;

/// Most platforms of a base.
const PLATFORMS: usize = 64;
/// What an engine wrote into configs about the container that it built them with, and what is for builders: a build
/// on top drops them too.
const OF_THE_BUILD: [&str; 4] = ["container", "container_config", "id", "parent"];

/// An image, or an index of images, that a model is laid on.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    name: Option<String>,
    digest: Digest,
    is_index: bool,
    pub(crate) images: Vec<BaseImage>,
}

/// The image of a base for one platform.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BaseImage {
    pub(crate) digest: Digest,
    pub(crate) platform: Platform,
    pub(crate) layers: Vec<Descriptor>,
    config: Map<String, Value>,
}

/// Why an image is no base.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It cannot be read.
    #[error("cannot read the base image")]
    Source(#[from] content::Error),
    /// A manifest that is none.
    #[error("cannot read the manifest {0} of the base image")]
    Manifest(Digest, #[source] MalformedManifest),
    /// A config that is none.
    #[error("the config of the base image {digest} is malformed: {reason}")]
    Config {
        /// Digest of its manifest.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing in it runs on Linux: an artifact, or an image for something else.
    #[error("the base {0} has no image for linux")]
    NoImage(Digest),
    /// None of its images is for a platform that is wanted.
    #[error("the base {digest} has no image for {wanted}; it has {}", listed(has))]
    NoPlatform {
        /// Digest of the base.
        digest: Digest,
        /// The platform.
        wanted: Box<Platform>,
        /// Those that it has.
        has: Vec<Platform>,
    },
    /// More platforms than anybody builds.
    #[error("the base {0} has more than {PLATFORMS} images")]
    TooMany(Digest),
}

impl Base {
    /// Reads manifests and configs of the image or index `root`. `name` is what it is called where that means
    /// something to others.
    ///
    /// # Errors
    /// [`BaseError`].
    pub fn read(source: &dyn Source, root: &Descriptor, name: Option<String>) -> Result<Self, BaseError> {
        Self::read_for(source, root, name, &[])
    }

    /// Reads what of the image or index `root` is for the platforms `wanted`, or all if none are named. One that names no
    /// variant stands for all variants. If that leaves one image of an index, it is as if that image had been named.
    ///
    /// # Errors
    /// [`BaseError`].
    pub fn read_for(
        source: &dyn Source,
        root: &Descriptor,
        name: Option<String>,
        wanted: &[Platform],
    ) -> Result<Self, BaseError> {
        let is_wanted =
            |platform: &Platform| wanted.is_empty() || wanted.iter().any(|one| platform.is_one_of(one));
        let mut has = Vec::new();
        let mut base = Self {
            name,
            digest: root.digest.clone(),
            is_index: false,
            images: Vec::new(),
        };
        match document(source, root)? {
            Document::Image(manifest) => base.images.extend(BaseImage::read(source, root, manifest)?),
            Document::Index(index) => {
                base.is_index = true;
                for entry in index.manifests.iter().filter(|entry| may_run(entry)) {
                    has.extend(entry.platform.clone());
                    if entry
                        .platform
                        .as_ref()
                        .is_some_and(|platform| !is_wanted(platform))
                    {
                        continue;
                    }
                    if base.images.len() == PLATFORMS {
                        return Err(BaseError::TooMany(base.digest));
                    }
                    if let Document::Image(manifest) = document(source, entry)? {
                        base.images.extend(BaseImage::read(source, entry, manifest)?);
                    }
                }
            }
        }
        if base.images.is_empty() && has.is_empty() {
            return Err(BaseError::NoImage(base.digest));
        }
        has.extend(base.images.iter().map(|image| image.platform.clone()));
        base.images.retain(|image| is_wanted(&image.platform));
        let lacks = |one: &&Platform| !base.images.iter().any(|image| image.platform.is_one_of(one));
        if let Some(lacking) = wanted.iter().find(lacks) {
            return Err(BaseError::NoPlatform {
                digest: base.digest,
                wanted: Box::new(lacking.clone()),
                has,
            });
        }
        match base.images.as_slice() {
            [] => return Err(BaseError::NoImage(base.digest)),
            [one] if !wanted.is_empty() => {
                base.digest = one.digest.clone();
                base.is_index = false;
            }
            _ => {}
        }
        Ok(base)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Digest of the image or index.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether it is an index, and what is laid on it is one.
    #[must_use]
    pub fn is_index(&self) -> bool {
        self.is_index
    }

    /// The layers of all its images that are to be copied, each once. What is to be had elsewhere is not among them.
    #[must_use]
    pub fn layers(&self) -> Vec<Descriptor> {
        let mut known = HashSet::new();
        let layers = self.images.iter().flat_map(|image| &image.layers);
        let new = layers.filter(|layer| layer.urls.is_empty() && known.insert(&layer.digest));
        new.cloned().collect()
    }

    /// The layers of the image that has most.
    #[must_use]
    pub fn most_layers(&self) -> usize {
        self.images
            .iter()
            .map(|image| image.layers.len())
            .max()
            .unwrap_or(0)
    }
}

/// Each once, in their order.
fn listed(platforms: &[Platform]) -> String {
    let mut texts: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.join(", ")
}

/// Whether an entry of an index is an image for Linux, as far as the index says: builders list what attests to an
/// image beside it, for a platform that does not exist.
fn may_run(entry: &Descriptor) -> bool {
    let for_linux = |platform: &Platform| platform.os == "linux";
    media::is_manifest(&entry.media_type) && entry.platform.as_ref().is_none_or(for_linux)
}

fn document(source: &dyn Source, descriptor: &Descriptor) -> Result<Document, BaseError> {
    let bytes = source.fetch(descriptor, Limits::default().manifest_bytes)?;
    Document::parse(&descriptor.media_type, &bytes)
        .map_err(|error| BaseError::Manifest(descriptor.digest.clone(), error))
}

impl BaseImage {
    /// `None` when it is no image for Linux.
    fn read(source: &dyn Source, entry: &Descriptor, manifest: Manifest) -> Result<Option<Self>, BaseError> {
        if !media::is_image_config(&manifest.config.media_type) {
            return Ok(None);
        }
        let malformed = |reason: String| BaseError::Config {
            digest: entry.digest.clone(),
            reason,
        };
        let bytes = source.fetch(&manifest.config, Limits::default().config_bytes)?;
        let known: ImageConfig =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let config: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if known.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(malformed(format!(
                "it speaks of {} layers, and the manifest has {}",
                known.rootfs.diff_ids.len(),
                manifest.layers.len()
            )));
        }
        if known.os != "linux" {
            return Ok(None);
        }
        let said = || Platform {
            architecture: known.architecture.clone(),
            os: known.os.clone(),
            variant: config.get("variant").and_then(Value::as_str).map(str::to_owned),
        };
        let platform = entry.platform.clone().unwrap_or_else(said);
        let layers = manifest.layers.into_iter().map(|layer| Descriptor {
            media_type: media::oci_layer(&layer.media_type).to_owned(),
            ..layer
        });
        Ok(Some(Self {
            digest: entry.digest.clone(),
            platform,
            layers: layers.collect(),
            config,
        }))
    }

    /// The config of the image with `layers` on top, as a builder would make it: what the base says holds where the
    /// settings say nothing.
    pub(crate) fn config(
        &self,
        layers: &[Descriptor],
        labels: impl Iterator<Item = (String, String)>,
        run: &RunSettings,
        created: Option<&str>,
        created_by: &str,
    ) -> Map<String, Value> {
        let mut config = self.config.clone();
        for key in OF_THE_BUILD {
            config.remove(key);
        }
        if let Some(created) = created {
            config.insert("created".to_owned(), created.into());
        }
        let diff_ids: Vec<Value> = layers
            .iter()
            .map(|layer| layer.digest.to_string().into())
            .collect();
        let below = config
            .get_mut("rootfs")
            .and_then(|rootfs| rootfs.get_mut("diff_ids"));
        let below = below
            .and_then(Value::as_array_mut)
            .expect("it was read with its layers");
        let had = below.len();
        below.extend(diff_ids);
        let history = history(config.remove("history"), had, layers.len(), created, created_by);
        config.extend(history.map(|history| ("history".to_owned(), history)));
        let container = object(&mut config, "config");
        container.remove("OnBuild");
        container.remove("Image");
        merge_run(container, run);
        // What is said of the base is not said of what lies on it; what is for everybody is.
        let below = object(container, "Labels");
        below.retain(|name, _| !crate::image::is_own_label(name));
        below.extend(labels.map(|(name, value)| (name, value.into())));
        config
    }
}

/// The object under `key`, which is made where there is none: docker writes `null` for it.
fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was just made one")
}

/// As `docker build` merges what a Dockerfile says: an entrypoint takes the command of the base away, and variables
/// replace those of the same name.
fn merge_run(container: &mut Map<String, Value>, run: &RunSettings) {
    if !run.entrypoint.is_empty() {
        container.insert("Entrypoint".to_owned(), json!(run.entrypoint));
        container.remove("Cmd");
    }
    if !run.cmd.is_empty() {
        container.insert("Cmd".to_owned(), json!(run.cmd));
    }
    if let Some(user) = &run.user {
        container.insert("User".to_owned(), json!(user));
    }
    if run.env.is_empty() {
        return;
    }
    let below = container.get("Env").and_then(Value::as_array).cloned();
    let mut merged: Vec<String> = below
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    for (name, value) in &run.env {
        let variable = format!("{name}={value}");
        let is_it = |other: &&mut String| other.split('=').next() == Some(name.as_str());
        match merged.iter_mut().find(is_it) {
            Some(other) => *other = variable,
            None => merged.push(variable),
        }
    }
    container.insert("Env".to_owned(), json!(merged));
}

/// The history with an entry for each new layer. One that does not tell of all layers cannot go on, and is left out.
fn history(
    below: Option<Value>,
    had: usize,
    layers: usize,
    created: Option<&str>,
    created_by: &str,
) -> Option<Value> {
    let Some(Value::Array(mut history)) = below else {
        return None;
    };
    let is_empty = |entry: &&Value| entry.get("empty_layer").and_then(Value::as_bool) == Some(true);
    if history.len() - history.iter().filter(is_empty).count() != had {
        return None;
    }
    let mut entry = Map::new();
    if let Some(created) = created {
        entry.insert("created".to_owned(), created.into());
    }
    entry.insert("created_by".to_owned(), created_by.into());
    history.extend(std::iter::repeat_n(Value::Object(entry), layers));
    Some(Value::Array(history))
}

#[cfg(test)]
mod tests;
