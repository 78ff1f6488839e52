//! A model as a ModelPack artifact: each file is a layer, as it is, and the manifest says what they are.
//!
//! The names are those of the ModelPack specification (`docs/spec.md`, `docs/config.md`, `docs/annotations.md`), the
//! config is what its `config-schema.json` allows. `docs/reference/modelpack.md` describes what comes out.

mod kind;
mod read;

use std::collections::BTreeMap;

use modelkeep_core::{Contents, Descriptor, Digest, Limits, Manifest, annotation, manifest::to_json, media};
use serde::Serialize;

pub use read::{image_config, is_own};

use crate::{
    image::{self, Blob, Image, ImageError, ImagePath, ImageSettings, Provenance},
    layout::LayerPlan,
    scan::{FileMode, ModelFile, OWN_DIRECTORY},
};
use kind::Kind;

/// Type of the artifact.
pub const ARTIFACT_TYPE: &str = "application/vnd.cncf.model.manifest.v1+json";
/// Media type of the config.
pub const CONFIG: &str = "application/vnd.cncf.model.config.v1+json";
/// Annotation of a layer: the path of its file, relative.
pub const FILE_PATH: &str = "org.cncf.model.filepath";
/// Annotation of a layer: what a disk keeps of its file besides the bytes, in JSON.
pub const FILE_METADATA: &str = "org.cncf.model.file.metadata+json";
/// Annotation of a layer: whether its media type is no more than a guess.
pub const UNTESTED: &str = "org.cncf.model.file.mediatype.untested";

/// What is said of a model in the config, besides its [`Provenance`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its family or class.
    pub architecture: Option<String>,
    /// The format of its weights.
    pub format: Option<String>,
    /// How many parameters it has.
    pub parameters: Option<u64>,
    /// The types of its numbers, as safetensors names them, the commonest first.
    pub dtypes: Vec<String>,
    /// How its numbers were made smaller.
    pub quantization: Option<String>,
    /// Addresses of the data that it was made from.
    pub datasets: Vec<String>,
}

/// The config (ModelPack, `config.md`). Nothing else may stand in it: its schema takes no other properties.
#[derive(Serialize)]
struct Config<'a> {
    descriptor: ModelDescriptor<'a>,
    config: ModelConfig<'a>,
    modelfs: ModelFs<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelDescriptor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(rename = "sourceURL", skip_serializing_if = "Option::is_none")]
    source_url: Option<&'a str>,
    #[serde(rename = "datasetsURL", skip_serializing_if = "<[String]>::is_empty")]
    datasets_url: &'a [String],
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    licenses: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    param_size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantization: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelFs<'a> {
    r#type: &'static str,
    diff_ids: Vec<&'a Digest>,
}

/// ModelPack, `annotations.md`, "File Metadata Annotation Value".
#[derive(Serialize)]
struct FileMetadata<'a> {
    name: &'a str,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: &'static str,
    typeflag: u8,
}

/// The descriptor of a layer in the manifest. A raw layer has the path of its file; an archive, which image manifests may
/// name too, the path of its file or of the model where it is unpacked.
#[must_use]
pub fn layer_descriptor(files: &[ModelFile], plan: &LayerPlan, digest: &Digest) -> Descriptor {
    let member = |path: &str| match plan.image_path() {
        Some(image_path) => image_path.member(path),
        None => path.to_owned(),
    };
    let mut members = plan.members().iter().map(|member| &files[member.file]);
    if let [only] = plan.members() {
        let file = &files[only.file];
        let kind = Kind::of(file.path.as_str(), file.stamp.size);
        let form = if plan.is_raw() { "raw" } else { "tar" };
        let path = member(file.path.as_str());
        return file_layer(kind, form, &path, file.stamp.size, file.mode, digest, plan.size());
    }
    // A guess where the files are of several kinds.
    let kind_of = |file: &ModelFile| Kind::of(file.path.as_str(), file.stamp.size).0;
    let first = members.next().map_or(Kind::WeightConfig, kind_of);
    let is_one = members.all(|file| kind_of(file) == first);
    let kind = if is_one { first } else { Kind::WeightConfig };
    let mut descriptor = Descriptor::plain(&kind.media_type("tar"), digest.clone(), plan.size());
    let path = plan.image_path().map(ImagePath::inside).unwrap_or_default();
    descriptor.annotations = BTreeMap::from([
        (FILE_PATH.to_owned(), path.to_owned()),
        (UNTESTED.to_owned(), (!is_one).to_string()),
    ]);
    descriptor
}

/// The layer of a document of Modelkeep's own, which lies beside the model and is no file of it. The bytes of the layer
/// are those of the document.
#[must_use]
pub fn document_layer(name: &str, document: &[u8]) -> Descriptor {
    let path = format!("{OWN_DIRECTORY}/{name}");
    let size = document.len() as u64;
    let kind = (Kind::Doc, true);
    file_layer(
        kind,
        "raw",
        &path,
        size,
        FileMode::Plain,
        &Digest::of(document),
        size,
    )
}

/// A layer of an image with such a document, as the manifest of an artifact over the same layers names it.
#[must_use]
pub fn archived_document(layer: &Descriptor) -> Descriptor {
    let mut descriptor = Descriptor::plain(&Kind::Doc.media_type("tar"), layer.digest.clone(), layer.size);
    descriptor
        .annotations
        .insert(FILE_PATH.to_owned(), OWN_DIRECTORY.to_owned());
    descriptor
}

fn file_layer(
    (kind, is_known): (Kind, bool),
    form: &str,
    path: &str,
    size: u64,
    mode: FileMode,
    digest: &Digest,
    layer_size: u64,
) -> Descriptor {
    let mut descriptor = Descriptor::plain(&kind.media_type(form), digest.clone(), layer_size);
    // As the tar layers of an image have them: owner, time and mode say nothing of the model.
    let metadata = FileMetadata {
        name: path.rsplit('/').next().unwrap_or(path),
        mode: match mode {
            FileMode::Plain => 0o644,
            FileMode::Executable => 0o755,
        },
        uid: 0,
        gid: 0,
        size,
        mtime: "1970-01-01T00:00:00Z",
        typeflag: 0,
    };
    descriptor.annotations = BTreeMap::from([
        (FILE_PATH.to_owned(), path.to_owned()),
        (FILE_METADATA.to_owned(), text(to_json(&metadata))),
        (UNTESTED.to_owned(), (!is_known).to_string()),
        // The name under which podman and CRI-O mount it.
        (annotation::TITLE.to_owned(), path.to_owned()),
    ]);
    descriptor
}

/// Makes the artifact of a model: `layers` are the descriptors of its layers, in the order of `contents`, and then those
/// of [documents](document_layer).
///
/// The same arguments give the same bytes. What is said about the version stands in the annotations of the manifest, the
/// record among them; the contents list is what the layers are.
///
/// # Errors
/// [`ImageError`].
pub fn build(
    contents: Contents,
    layers: &[Descriptor],
    settings: &ImageSettings,
    provenance: &Provenance,
    about: &About,
    limits: &Limits,
) -> Result<Image, ImageError> {
    let mut annotations = image::annotations(&contents, settings, provenance)?;
    let record = provenance.record.clone();
    annotations.extend(record.map(|record| (annotation::RECORD.to_owned(), record)));
    let artifact = Artifact {
        layers,
        about,
        provenance,
        annotations,
    };
    let (config, manifest) = artifact.build(limits)?;
    Ok(Image {
        configs: vec![config],
        manifests: vec![manifest],
        index: None,
        contents,
    })
}

/// What an artifact is made of.
pub(crate) struct Artifact<'a> {
    pub(crate) layers: &'a [Descriptor],
    pub(crate) about: &'a About,
    pub(crate) provenance: &'a Provenance,
    /// Of the manifest.
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Artifact<'_> {
    /// Its config and its manifest.
    pub(crate) fn build(self, limits: &Limits) -> Result<(Blob, Blob), ImageError> {
        let config = Blob::new(CONFIG, &self.config());
        // A digest for each layer, of which the manifest says more: there is always room for the config where there is
        // for the manifest.
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: Some(ARTIFACT_TYPE.to_owned()),
            config: config.descriptor.clone(),
            layers: self.layers.to_vec(),
            subject: None,
            annotations: self.annotations,
        };
        let manifest = image::within(Blob::new(media::OCI_MANIFEST, &manifest), limits)?;
        Ok((config, manifest))
    }

    fn config(&self) -> Config<'_> {
        let stated = |name: &str| self.annotations.get(name).map(String::as_str);
        let about = self.about;
        Config {
            descriptor: ModelDescriptor {
                created_at: self.provenance.created.as_deref(),
                name: &about.name,
                source_url: stated(annotation::SOURCE),
                datasets_url: &about.datasets,
                version: &self.provenance.version,
                revision: self.provenance.revision.as_deref(),
                licenses: stated(annotation::LICENSES).map(|license| [license]),
                title: stated(annotation::TITLE),
                description: stated(annotation::DESCRIPTION),
            },
            config: ModelConfig {
                architecture: about.architecture.as_deref(),
                format: about.format.as_deref(),
                param_size: about.parameters.and_then(param_size),
                precision: precision(&about.dtypes),
                quantization: about.quantization.as_deref(),
            },
            modelfs: ModelFs {
                r#type: "layers",
                diff_ids: self.layers.iter().map(|layer| &layer.digest).collect(),
            },
        }
    }
}

/// A number of parameters as the specification wants it, such as `22.7M`; `None` for the few that it has no word for.
fn param_size(count: u64) -> Option<String> {
    // What rounds to the next unit is said in it.
    let units = [(1e15, "Q"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| count as f64 >= unit * 0.999_95)
        .unwrap_or((1e3, "K"));
    let number = format!("{:.1}", count as f64 / unit);
    let number = number.strip_suffix(".0").unwrap_or(&number);
    (number != "0").then(|| format!("{number}{name}"))
}

/// Types of numbers by the specification's names. Whole numbers are left out where there are others: they count
/// positions, and compute nothing.
fn precision(dtypes: &[String]) -> Option<String> {
    let names: Vec<String> = dtypes.iter().filter_map(|dtype| precision_name(dtype)).collect();
    let is_whole = |name: &&String| name.contains("int") || *name == "bool";
    let mut named: Vec<&str> = match names.iter().all(|name| is_whole(&name)) {
        true => names.iter().map(String::as_str).collect(),
        false => names
            .iter()
            .filter(|name| !is_whole(name))
            .map(String::as_str)
            .collect(),
    };
    named.dedup();
    (!named.is_empty()).then(|| named.join(","))
}

fn precision_name(dtype: &str) -> Option<String> {
    let (kind, bits) = match dtype {
        "BF16" => return Some("bfloat16".to_owned()),
        "BOOL" => return Some("bool".to_owned()),
        "F8_E4M3" => return Some("float8_e4m3".to_owned()),
        "F8_E5M2" => return Some("float8_e5m2".to_owned()),
        _ => dtype.split_at_checked(1)?,
    };
    let kind = match kind {
        "F" => "float",
        "I" => "int",
        "U" => "uint",
        "C" => "complex",
        _ => return None,
    };
    matches!(bits, "8" | "16" | "32" | "64" | "128").then(|| format!("{kind}{bits}"))
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests;
