use std::collections::BTreeMap;

use modelkeep_core::{Contents, Descriptor, Digest, ImageConfig, Index, Platform, RootFs, annotation, media};

use super::{Blob, ImageSettings, Provenance};
use crate::{
    base::{Base, BaseImage},
    modelpack::ARTIFACT_TYPE,
};

/// The title that the descriptor of layer `number` of a version has: the path of its file, if there is one only.
pub(crate) fn layer_title(contents: &Contents, number: usize) -> Option<String> {
    let mut files = contents.files().iter().filter(|file| file.layer == number);
    match (files.next(), files.next()) {
        (Some(only), None) => Some(only.path.to_string()),
        _ => None,
    }
}

/// The image for one platform.
pub(super) struct Part {
    pub(super) platform: Platform,
    pub(super) config: Blob,
    pub(super) layers: Vec<Descriptor>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// The model alone. `own` are the labels that are no annotations.
pub(super) fn plain(
    architectures: &[&str],
    annotations: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
    layers: &[Descriptor],
    settings: &ImageSettings,
    provenance: &Provenance,
) -> Vec<Part> {
    let part = |&architecture: &&str| {
        let mut labels = annotations.clone();
        labels.extend(own.clone());
        let config = ImageConfig {
            created: provenance.created.clone(),
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            config: settings.run.config(labels),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: layers.iter().map(|layer| layer.digest.clone()).collect(),
            },
        };
        Part {
            platform: Platform {
                architecture: architecture.to_owned(),
                os: "linux".to_owned(),
                variant: None,
            },
            config: Blob::new(media::OCI_CONFIG, &config),
            layers: layers.to_vec(),
            annotations: annotations.clone(),
        }
    };
    architectures.iter().map(part).collect()
}

/// The model on top of each image of a base, as [`plain`].
pub(super) fn on_base(
    base: &Base,
    annotations: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
    layers: &[Descriptor],
    settings: &ImageSettings,
    provenance: &Provenance,
) -> Vec<Part> {
    let part = |image: &BaseImage| {
        let annotations = with_base(annotations.clone(), base.name(), &image.digest);
        let config = image.config(
            layers,
            annotations.clone().into_iter().chain(own.clone()),
            &settings.run,
            provenance.created.as_deref(),
            &format!("modelkeep push {}", provenance.version),
        );
        Part {
            platform: image.platform.clone(),
            config: Blob::new(media::OCI_CONFIG, &config),
            layers: image.layers.iter().chain(layers).cloned().collect(),
            annotations,
        }
    };
    base.images.iter().map(part).collect()
}

pub(super) fn with_base(
    mut annotations: BTreeMap<String, String>,
    name: Option<&str>,
    digest: &Digest,
) -> BTreeMap<String, String> {
    annotations.extend(name.map(|name| (annotation::BASE_NAME.to_owned(), name.to_owned())));
    annotations.insert(annotation::BASE_DIGEST.to_owned(), digest.to_string());
    annotations
}

pub(super) fn index(manifests: Vec<Descriptor>, annotations: BTreeMap<String, String>) -> Blob {
    Blob::new(
        media::OCI_INDEX,
        &Index {
            schema_version: 2,
            media_type: Some(media::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations,
        },
    )
}

/// The entry of an artifact in an index, which no machine takes for an image.
pub(super) fn artifact(manifest: &Descriptor) -> Descriptor {
    let unknown = || "unknown".to_owned();
    Descriptor {
        platform: Some(Platform {
            architecture: unknown(),
            os: unknown(),
            variant: None,
        }),
        artifact_type: Some(ARTIFACT_TYPE.to_owned()),
        ..manifest.clone()
    }
}
