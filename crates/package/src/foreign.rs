//! What a manifest says of the files of a version, whoever made it: which layers hold them, and how.
//!
//! ModelPack, KitOps ModelKits, models of Docker Model Runner and of Ollama, and images with a model in a directory are
//! known. `docs/reference/foreign.md` says which file gets which name.

mod docker_model;
mod modelkit;
mod modelpack;
mod ollama;

use std::collections::HashMap;

use modelkeep_core::{
    Algorithm, Contents, Descriptor, Digest, FileEntry, ImageConfig, InvalidPath, MalformedContents,
    Manifest, ModelPath, annotation, media,
};
use serde_json::Value;

pub use crate::archive::{Coding, LayerError, Placed, copy_out, list};
use crate::{archive::Rule, image::ImagePath};

/// Who makes such versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An OCI or docker image, in which the model lies in a directory.
    Image,
    /// ModelPack (`modctl`, AIKit, RamaLama).
    ModelPack,
    /// A KitOps ModelKit.
    ModelKit,
    /// A model of Docker Model Runner.
    DockerModel,
    /// A model of Ollama.
    Ollama,
}

impl Kind {
    /// As JSON output has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::ModelPack => "modelpack",
            Self::ModelKit => "modelkit",
            Self::DockerModel => "docker-model",
            Self::Ollama => "ollama",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Image => "an image",
            Self::ModelPack => "a ModelPack",
            Self::ModelKit => "a KitOps ModelKit",
            Self::DockerModel => "a model of Docker Model Runner",
            Self::Ollama => "a model of Ollama",
        })
    }
}

/// A version by its manifest and config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Who makes such versions.
    pub kind: Kind,
    /// The layers that hold files, lowest first.
    pub parts: Vec<Part>,
    /// What the config says of the model, by names for people.
    pub about: Vec<(&'static str, String)>,
    /// Where in an image the model lies; `None` where all of the archives is the model.
    below: Option<ImagePath>,
}

/// A layer that holds files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The layer.
    pub layer: Descriptor,
    /// The digest of what it expands to, where the config states it.
    pub diff_id: Option<Digest>,
    /// What it holds.
    pub holds: Holds,
}

/// What a layer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// One file, and nothing else.
    File(ModelPath),
    /// A tar archive.
    Archive(Coding),
}

impl Part {
    /// How the layer is compressed.
    #[must_use]
    pub fn coding(&self) -> Coding {
        match self.holds {
            Holds::File(_) => Coding::Plain,
            Holds::Archive(coding) => coding,
        }
    }

    /// Whether the digest of the layer is that of the file it is, as contents lists have them.
    pub(crate) fn is_verified_file(&self) -> bool {
        matches!(self.holds, Holds::File(_)) && self.layer.digest.algorithm() == Algorithm::Sha256
    }
}

impl Described {
    /// Which part is each layer of a contents list, by its digest or by that of what it expands to.
    pub(crate) fn places(&self, contents: &Contents) -> Vec<Option<usize>> {
        let mut by_digest = HashMap::new();
        let parts = self.parts.iter().enumerate();
        for (place, part) in parts.clone() {
            by_digest.entry(&part.layer.digest).or_insert(place);
        }
        for (place, part) in parts {
            if let Some(diff_id) = &part.diff_id {
                by_digest.entry(diff_id).or_insert(place);
            }
        }
        let layers = contents.layers().iter();
        layers.map(|layer| by_digest.get(layer).copied()).collect()
    }

    /// The contents list, where each layer is one file: then the manifest says all of it. `None` for archives.
    ///
    /// # Errors
    /// When two layers are to be the same file, or one a file where another has a directory.
    pub fn contents(&self) -> Result<Option<Contents>, MalformedContents> {
        let mut layers = Vec::new();
        let mut files = Vec::new();
        for part in &self.parts {
            let (Holds::File(path), true) = (&part.holds, part.is_verified_file()) else {
                return Ok(None);
            };
            files.push(FileEntry {
                path: path.clone(),
                size: part.layer.size,
                digest: part.layer.digest.clone(),
                layer: layers.len(),
                offset: 0,
            });
            layers.push(part.layer.digest.clone());
        }
        Contents::new(layers, files).map(Some)
    }

    /// Which members of its archives are files of the model.
    pub(crate) fn rule(&self) -> Rule<'_> {
        match &self.below {
            Some(directory) => Rule::Below(directory),
            None => Rule::All,
        }
    }

    /// Where in the image the model is looked for.
    #[must_use]
    pub fn directory(&self) -> Option<&ImagePath> {
        self.below.as_ref()
    }
}

/// Why a version that others made cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// A config that is not JSON of its shape.
    #[error("the config is not what its media type says")]
    Config(#[from] serde_json::Error),
    /// A layer of a type that the format does not have.
    #[error("the layer {layer} is of the type {media_type:?}, which is not known here")]
    Layer {
        /// The layer.
        layer: Digest,
        /// Its media type.
        media_type: String,
    },
    /// A layer that is a file, and does not say which.
    #[error("the layer {0} does not say which file it is")]
    Unnamed(Digest),
    /// A path that must not touch a disk.
    #[error("the layer {layer} is to be a file that is refused")]
    Path {
        /// The layer.
        layer: Digest,
        /// What is wrong with the path.
        #[source]
        source: InvalidPath,
    },
    /// A layer that is a file, and to expand to something else.
    #[error("the layer {0} is a file as it is, and the config says that it expands to {1}")]
    DiffId(Digest, Digest),
    /// An image whose config is about other layers.
    #[error("the config has {diff_ids} layers, and the manifest {layers}")]
    DiffIds {
        /// Layers of the config.
        diff_ids: usize,
        /// Layers of the manifest.
        layers: usize,
    },
}

/// What a manifest is that an image's config is not needed for; `None` for artifacts that hold no model.
#[must_use]
pub fn kind(manifest: &Manifest) -> Option<Kind> {
    let config = manifest.config.media_type.as_str();
    let artifact = manifest.artifact_type.as_deref();
    if modelpack::is(config) || artifact.is_some_and(modelpack::is) {
        return Some(Kind::ModelPack);
    }
    if config.starts_with(modelkit::CONFIG) {
        return Some(Kind::ModelKit);
    }
    if config.starts_with(docker_model::CONFIG) {
        return Some(Kind::DockerModel);
    }
    if manifest
        .layers
        .iter()
        .any(|layer| layer.media_type.starts_with(ollama::LAYER))
    {
        return Some(Kind::Ollama);
    }
    media::is_image_config(config).then_some(Kind::Image)
}

/// Reads what `manifest` and the bytes of its config say. `names` are those that the manifest gives layers beside their
/// descriptors, as Ollama's do; `directory` is where in an image the model lies. `None` for artifacts that hold no model.
///
/// # Errors
/// [`DescribeError`].
pub fn describe(
    manifest: &Manifest,
    config: &[u8],
    names: &[Option<String>],
    directory: &ImagePath,
) -> Result<Option<Described>, DescribeError> {
    let Some(kind) = kind(manifest) else {
        return Ok(None);
    };
    let (parts, about) = match kind {
        Kind::Image => (image(manifest, config)?, Vec::new()),
        Kind::ModelPack => modelpack::describe(manifest, config)?,
        Kind::ModelKit => modelkit::describe(manifest, config)?,
        Kind::DockerModel => docker_model::describe(manifest, config)?,
        Kind::Ollama => ollama::describe(manifest, config, names)?,
    };
    Ok(Some(Described {
        kind,
        parts,
        about,
        below: (kind == Kind::Image).then(|| directory.clone()),
    }))
}

/// What holds the files of a contents list of ours: layers of the image, or those that another tool has compressed when
/// it pushed the image, by the digests of what they expand to. `None` when the list is about another image, such as one
/// that this one was made from.
#[must_use]
pub fn listed(manifest: &Manifest, diff_ids: &[Digest], contents: &Contents) -> Option<Described> {
    let layers = manifest.layers.as_slice();
    let is_artifact = kind(manifest) == Some(Kind::ModelPack);
    let plain: HashMap<&Digest, &Descriptor> = layers.iter().map(|layer| (&layer.digest, layer)).collect();
    let expanded: HashMap<&Digest, &Descriptor> = match diff_ids.len() == layers.len() {
        true => diff_ids.iter().zip(layers).collect(),
        false => HashMap::new(),
    };
    let part = |digest: &Digest| {
        let (layer, coding) = match plain.get(digest) {
            Some(&layer) => (layer, Coding::Plain),
            None => {
                let layer = *expanded.get(digest)?;
                (layer, Coding::of_layer(&layer.media_type)?)
            }
        };
        // In an artifact each layer is a file.
        let path = annotated(layer).filter(|_| is_artifact);
        Some(Part {
            layer: layer.clone(),
            diff_id: Some(digest.clone()),
            holds: match path.and_then(|path| path.parse().ok()) {
                Some(path) => Holds::File(path),
                None => Holds::Archive(coding),
            },
        })
    };
    Some(Described {
        kind: Kind::Image,
        parts: contents.layers().iter().map(part).collect::<Option<_>>()?,
        about: Vec::new(),
        below: None,
    })
}

fn image(manifest: &Manifest, config: &[u8]) -> Result<Vec<Part>, DescribeError> {
    let config: ImageConfig = serde_json::from_slice(config)?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err(DescribeError::DiffIds {
            diff_ids: diff_ids.len(),
            layers: manifest.layers.len(),
        });
    }
    let layers = manifest.layers.iter().zip(diff_ids);
    layers
        .map(|(layer, diff_id)| {
            let coding = Coding::of_layer(&layer.media_type).ok_or_else(|| unknown(layer))?;
            Ok(Part {
                layer: layer.clone(),
                diff_id: Some(diff_id),
                holds: Holds::Archive(coding),
            })
        })
        .collect()
}

fn unknown(layer: &Descriptor) -> DescribeError {
    DescribeError::Layer {
        layer: layer.digest.clone(),
        media_type: layer.media_type.chars().take(200).collect(),
    }
}

/// Annotations that name the file that a layer is, the first that is there.
const FILE_PATHS: [&str; 3] = [
    "org.cncf.model.filepath",
    "org.cnai.model.filepath",
    annotation::TITLE,
];

fn annotated(layer: &Descriptor) -> Option<&str> {
    let mut names = FILE_PATHS.iter();
    names
        .find_map(|name| layer.annotations.get(*name))
        .map(String::as_str)
}

/// The layer as the file `path`.
fn file(layer: &Descriptor, path: &str) -> Result<Part, DescribeError> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = path.parse().map_err(|source| DescribeError::Path {
        layer: layer.digest.clone(),
        source,
    })?;
    Ok(Part {
        layer: layer.clone(),
        diff_id: None,
        holds: Holds::File(path),
    })
}

fn archive(layer: &Descriptor, coding: Coding) -> Part {
    Part {
        layer: layer.clone(),
        diff_id: None,
        holds: Holds::Archive(coding),
    }
}

/// What a config says, by the names that people know it by: texts, numbers, and lists of texts.
fn about(config: &Value, fields: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(list) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            texts.join(", ")
        }
        _ => String::new(),
    };
    let fields = fields.iter();
    fields
        .filter_map(|(name, pointer)| Some((*name, text(config.pointer(pointer)?))))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
