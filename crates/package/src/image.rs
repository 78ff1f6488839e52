//! The image config, the manifest and the index of a version.

mod parts;

use std::{collections::BTreeMap, fmt, str::FromStr};

use modelkeep_core::{
    ContainerConfig, Contents, Descriptor, Digest, FileEntry, InvalidPath, Limits, MalformedContents,
    Manifest, ModelPath, annotation, manifest::to_json, media,
};

pub(crate) use parts::layer_title;

use crate::{
    base::Base,
    layout::LayerPlan,
    modelpack::{self, About},
    scan::{FileMode, ModelFile},
    tar,
};

/// Where in the image the model lies, such as `/models`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePath(ModelPath);

/// A place for the model that is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidImagePath {
    /// Not absolute.
    #[error("the path {0:?} in the image does not begin with '/'")]
    Relative(String),
    /// Not a path that every consumer can hold.
    #[error("the path in the image is refused")]
    Path(#[from] InvalidPath),
}

impl ImagePath {
    /// The directories to it, outermost first, without a slash at either end.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &str> {
        self.0.parents().chain([self.0.as_str()])
    }

    /// It without the slash, as members of layers are named.
    pub(crate) fn inside(&self) -> &str {
        self.0.as_str()
    }

    /// Where in an image `name` lies, which has no slash at either end.
    pub(crate) fn place<'n>(&self, name: &'n str) -> Within<'n> {
        let own = self.0.as_str();
        let below = |above: &str, name: &'n str| name.strip_prefix(above)?.strip_prefix('/');
        match below(own, name) {
            Some(path) => Within::Inside(path),
            None if self.directories().any(|directory| directory == name) => Within::Above,
            None => Within::Outside,
        }
    }

    /// The name in the layers of what lies at `path` in the model.
    pub(crate) fn member(&self, path: &str) -> String {
        format!("{}/{path}", self.0)
    }
}

/// Where something in an image lies, seen from the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within<'n> {
    /// In the directory of the model, under this path.
    Inside(&'n str),
    /// It is that directory, or one above it.
    Above,
    /// Elsewhere.
    Outside,
}

impl Default for ImagePath {
    /// `/models`, where KServe and others look.
    fn default() -> Self {
        Self("models".parse().expect("a plain name is a path"))
    }
}

impl FromStr for ImagePath {
    type Err = InvalidImagePath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text
            .strip_prefix('/')
            .ok_or_else(|| InvalidImagePath::Relative(text.chars().take(200).collect()))?;
        Ok(Self(path.parse()?))
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// What the settings of a project say about its images.
#[derive(Clone, Debug, Default)]
pub struct ImageSettings {
    /// Where the model lies.
    pub path: ImagePath,
    /// Labels of the user's own.
    pub labels: BTreeMap<String, String>,
    /// What a container of the image does.
    pub run: RunSettings,
}

/// How an image is run. A model is not: all of it is empty then, and the config has none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// What is run.
    pub entrypoint: Vec<String>,
    /// Its arguments, which whoever runs the image may replace.
    pub cmd: Vec<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// As whom: a user, or `user:group`, by name or number.
    pub user: Option<String>,
}

impl RunSettings {
    fn config(&self, labels: BTreeMap<String, String>) -> ContainerConfig {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        ContainerConfig {
            user: self.user.clone(),
            env: some(
                self.env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            entrypoint: some(self.entrypoint.clone()),
            cmd: some(self.cmd.clone()),
            labels: Some(labels),
        }
    }
}

/// What is said about one version.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The version.
    pub version: String,
    /// When it was made, RFC 3339. Left out of the image when absent, so that it does not depend on the day.
    pub created: Option<String>,
    /// The revision of its source.
    pub revision: Option<String>,
    /// Where its source is.
    pub source: Option<String>,
    /// The model that it is, where that was taken from elsewhere.
    pub origin: Option<String>,
    /// Its title for people.
    pub title: Option<String>,
    /// Its licenses.
    pub licenses: Option<String>,
    /// What the publisher says about it.
    pub message: Option<String>,
    /// How good it is.
    pub metrics: BTreeMap<String, f64>,
    /// How it was made.
    pub params: BTreeMap<String, String>,
    /// What its files say that it is, in JSON.
    pub record: Option<String>,
}

/// A small document of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    pub(crate) fn new<T: serde::Serialize>(media_type: &str, document: &T) -> Self {
        let bytes = to_json(document);
        Self {
            descriptor: Descriptor::of(media_type, &bytes),
            bytes,
        }
    }
}

/// Everything of a version but its layers, in the order in which it has to arrive: what is pointed at comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The image configs, one for each platform.
    pub configs: Vec<Blob>,
    /// The manifests, one for each platform.
    pub manifests: Vec<Blob>,
    /// The index, if there is more than one platform.
    pub index: Option<Blob>,
    /// What the config says that the files are.
    pub contents: Contents,
}

impl Image {
    /// What a tag of the version points at.
    #[must_use]
    pub fn top(&self) -> &Descriptor {
        let last = self.index.as_ref().or(self.manifests.last());
        &last.expect("an image has a manifest").descriptor
    }
}

/// For which machines the image says that it is. The files are the same for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Platforms<'a> {
    /// `linux/amd64`, without an index: what every tool takes.
    Single,
    /// An index of `linux/amd64` and `linux/arm64`.
    Index,
    /// The same, and a [ModelPack artifact](modelpack) over the same layers.
    IndexAnd {
        /// What is said of the model in its config.
        about: &'a About,
        /// The layers, as its manifest [describes](modelpack::layer_descriptor) them.
        layers: &'a [Descriptor],
    },
    /// Those of an image on which the model is laid: an index if that is one.
    Of(&'a Base),
}

/// Why there is no image of a model.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A label that Modelkeep writes itself.
    #[error("the label {0:?} is Modelkeep's own and cannot be set")]
    ReservedLabel(String),
    /// A metric that JSON has no number for.
    #[error("the metric {name:?} is {value}, which is no finite number")]
    Metric {
        /// Its name.
        name: String,
        /// Its value.
        value: f64,
    },
    /// A config that would not be read everywhere.
    #[error(
        "the image config of {files} files would have {size} bytes, and {most} are the most that is read everywhere"
    )]
    ConfigTooLarge {
        /// Number of files in it.
        files: usize,
        /// Its size in bytes.
        size: u64,
        /// The largest that the target takes, in bytes.
        most: u64,
    },
    /// A manifest that registries need not take.
    #[error("the manifest would have {size} bytes, and {most} are the most that registries take")]
    ManifestTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest that the target takes, in bytes.
        most: u64,
    },
    /// Digests that do not fit the layout.
    #[error("the files make no contents list")]
    Contents(#[from] MalformedContents),
}

/// The contents list of files that lie as `plans` say; `digests` are those of `files`, and `layers` those of `plans`.
///
/// # Errors
/// As [`Contents::new`].
pub fn contents(
    files: &[ModelFile],
    digests: &[Digest],
    plans: &[LayerPlan],
    layers: &[Digest],
) -> Result<Contents, MalformedContents> {
    let entries = plans.iter().enumerate().flat_map(|(layer, plan)| {
        plan.members().iter().map(move |member| FileEntry {
            path: files[member.file].path.clone(),
            size: files[member.file].stamp.size,
            digest: digests[member.file].clone(),
            layer,
            offset: member.data_offset,
        })
    });
    Contents::new(layers.to_vec(), entries.collect())
}

/// The descriptor of a layer in the manifest. A layer of one file has its path as a title.
#[must_use]
pub fn layer_descriptor(files: &[ModelFile], plan: &LayerPlan, digest: &Digest) -> Descriptor {
    let mut descriptor = Descriptor::plain(media::OCI_LAYER, digest.clone(), plan.size());
    if let [only] = plan.members() {
        let title = files[only.file].path.to_string();
        descriptor.annotations.insert(annotation::TITLE.to_owned(), title);
    }
    descriptor
}

/// A layer with one document of Modelkeep's own, and where in it the bytes of the document begin. The document lies in
/// [`OWN_DIRECTORY`](crate::scan::OWN_DIRECTORY) beside the model, and is no file of it.
#[must_use]
pub fn document_layer(image_path: &ImagePath, name: &str, mut document: Vec<u8>) -> (Vec<u8>, u64) {
    let own = crate::scan::OWN_DIRECTORY;
    let mut head: Vec<u8> = image_path
        .directories()
        .map(str::to_owned)
        .chain([image_path.member(own)])
        .flat_map(|name| tar::directory(&name))
        .collect();
    let size = document.len() as u64;
    let name = image_path.member(&format!("{own}/{name}"));
    head.extend(tar::file(&name, FileMode::Plain, size, head.len() as u64));
    let offset = head.len() as u64;
    // A document of tens of megabytes is there once.
    document.reserve_exact(head.len() + tar::tail(size).len() + tar::END.len());
    document.splice(0..0, head);
    document.extend_from_slice(tar::tail(size));
    document.extend_from_slice(&tar::END);
    (document, offset)
}

/// Makes the image of a model: `layers` are the descriptors of the layers of `contents`, in their order, and then those
/// of [documents](document_layer).
///
/// The same arguments give the same bytes. What is said about the version stands in the labels of the config and in
/// the annotations of the manifest; the contents list is a label only.
///
/// # Errors
/// [`ImageError`].
pub fn build(
    contents: Contents,
    layers: &[Descriptor],
    settings: &ImageSettings,
    provenance: &Provenance,
    platforms: Platforms<'_>,
    limits: &Limits,
) -> Result<Image, ImageError> {
    let annotations = annotations(&contents, settings, provenance)?;
    let mut own = BTreeMap::from([(Contents::LABEL.to_owned(), contents.to_json())]);
    if let Some(record) = &provenance.record {
        own.insert(annotation::RECORD.to_owned(), record.clone());
    }
    let plain = |architectures: &[&str]| {
        parts::plain(architectures, &annotations, &own, layers, settings, provenance)
    };
    let parts = match platforms {
        Platforms::Single => plain(&["amd64"]),
        Platforms::Index | Platforms::IndexAnd { .. } => plain(&["amd64", "arm64"]),
        Platforms::Of(base) => parts::on_base(base, &annotations, &own, layers, settings, provenance),
    };
    let mut image = Image {
        configs: Vec::new(),
        manifests: Vec::new(),
        index: None,
        contents,
    };
    let mut entries = Vec::new();
    for part in parts {
        let config = part.config;
        if config.descriptor.size > limits.config_bytes {
            return Err(ImageError::ConfigTooLarge {
                files: image.contents.files().len(),
                size: config.descriptor.size,
                most: limits.config_bytes,
            });
        }
        let manifest = Blob::new(
            media::OCI_MANIFEST,
            &Manifest {
                schema_version: 2,
                media_type: Some(media::OCI_MANIFEST.to_owned()),
                artifact_type: None,
                config: config.descriptor.clone(),
                layers: part.layers,
                subject: None,
                annotations: part.annotations,
            },
        );
        image.configs.push(config);
        let manifest = within(manifest, limits)?;
        entries.push(Descriptor {
            platform: Some(part.platform),
            ..manifest.descriptor.clone()
        });
        image.manifests.push(manifest);
    }
    if let Platforms::IndexAnd { about, layers } = platforms {
        let artifact = modelpack::Artifact {
            layers,
            about,
            provenance,
            annotations: annotations.clone(),
        };
        let (config, manifest) = artifact.build(limits)?;
        entries.push(parts::artifact(&manifest.descriptor));
        image.configs.push(config);
        image.manifests.push(manifest);
    }
    let annotations = match platforms {
        Platforms::Single => None,
        Platforms::Index | Platforms::IndexAnd { .. } => Some(annotations),
        Platforms::Of(base) => base
            .is_index()
            .then(|| parts::with_base(annotations, base.name(), base.digest())),
    };
    if let Some(annotations) = annotations {
        image.index = Some(within(parts::index(entries, annotations), limits)?);
    }
    Ok(image)
}

pub(crate) fn within(manifest: Blob, limits: &Limits) -> Result<Blob, ImageError> {
    if manifest.descriptor.size > limits.manifest_bytes {
        return Err(ImageError::ManifestTooLarge {
            size: manifest.descriptor.size,
            most: limits.manifest_bytes,
        });
    }
    Ok(manifest)
}

/// Names under which only Modelkeep speaks, besides all that begin with [`OWN_PREFIX`].
const OWN_NAMES: [&str; 6] = [
    annotation::VERSION,
    annotation::CREATED,
    annotation::REVISION,
    annotation::REF_NAME,
    annotation::BASE_NAME,
    annotation::BASE_DIGEST,
];
const OWN_PREFIX: &str = "dev.modelkeep.";

/// Whether a label says something of one image alone, so that what is laid on that image does not inherit it.
pub(crate) fn is_own_label(label: &str) -> bool {
    label.starts_with(OWN_PREFIX)
        || OWN_NAMES.contains(&label)
        || matches!(
            label,
            annotation::SOURCE | annotation::TITLE | annotation::LICENSES
        )
}

/// What is said about a version, in annotations.
pub(crate) fn annotations(
    contents: &Contents,
    settings: &ImageSettings,
    provenance: &Provenance,
) -> Result<BTreeMap<String, String>, ImageError> {
    let own = |label: &&String| label.starts_with(OWN_PREFIX) || OWN_NAMES.contains(&label.as_str());
    if let Some(label) = settings.labels.keys().find(own) {
        return Err(ImageError::ReservedLabel(label.clone()));
    }
    if let Some((name, &value)) = provenance.metrics.iter().find(|(_, value)| !value.is_finite()) {
        let name = name.clone();
        return Err(ImageError::Metric { name, value });
    }
    let json = |document: Vec<u8>| String::from_utf8(document).expect("JSON is UTF-8");
    let metrics = (!provenance.metrics.is_empty()).then(|| json(to_json(&provenance.metrics)));
    let params = (!provenance.params.is_empty()).then(|| json(to_json(&provenance.params)));
    let said = [
        (annotation::VERSION, Some(provenance.version.clone())),
        (annotation::CREATED, provenance.created.clone()),
        (annotation::REVISION, provenance.revision.clone()),
        (annotation::SOURCE, provenance.source.clone()),
        (annotation::ORIGIN, provenance.origin.clone()),
        (annotation::TITLE, provenance.title.clone()),
        (annotation::LICENSES, provenance.licenses.clone()),
        (annotation::MESSAGE, provenance.message.clone()),
        (annotation::METRICS, metrics),
        (annotation::PARAMS, params),
        (annotation::ROOT, Some(contents.root().to_string())),
    ];
    let mut annotations: BTreeMap<String, String> = said
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    // What the user declares is meant; what the model card or git says is found.
    annotations.extend(settings.labels.clone());
    Ok(annotations)
}

#[cfg(test)]
mod tests;
