use modelkeep_core::{
    ContainerConfig, Contents, Digest, FileEntry, ImageConfig, MalformedContents, Manifest, RootFs,
    annotation,
};

use super::{CONFIG, FILE_PATH};
use crate::scan::OWN_DIRECTORY;

/// Whether `manifest` is that of an artifact that [`build`](super::build) made, as far as it says.
#[must_use]
pub fn is_own(manifest: &Manifest) -> bool {
    manifest.config.media_type == CONFIG && manifest.annotations.contains_key(annotation::ROOT)
}

/// What the manifest of an artifact that [`build`](super::build) made says, as the config of an image says it: its
/// annotations and the list of its files are labels.
///
/// # Errors
/// [`MalformedContents`] when the layers make no list of files, or that of another model.
pub fn image_config(manifest: &Manifest) -> Result<ImageConfig, MalformedContents> {
    let mut labels = manifest.annotations.clone();
    if let Some(contents) = contents(manifest)? {
        let stated = labels.get(annotation::ROOT).and_then(|root| root.parse().ok());
        let computed = contents.root();
        if let Some(stated) = stated.filter(|stated| *stated != computed) {
            return Err(MalformedContents::Root { stated, computed });
        }
        labels.insert(Contents::LABEL.to_owned(), contents.to_json());
    }
    let digests = manifest.layers.iter().map(|layer| layer.digest.clone());
    Ok(ImageConfig {
        created: None,
        architecture: "unknown".to_owned(),
        os: "unknown".to_owned(),
        config: ContainerConfig {
            labels: Some(labels),
            ..ContainerConfig::default()
        },
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: digests.collect(),
        },
    })
}

/// The files of an artifact, each of which is a layer; `None` where a layer is something else.
fn contents(manifest: &Manifest) -> Result<Option<Contents>, MalformedContents> {
    let own = format!("{OWN_DIRECTORY}/");
    let mut layers: Vec<Digest> = Vec::new();
    let mut files = Vec::new();
    for layer in &manifest.layers {
        let path = layer.annotations.get(FILE_PATH);
        let Some(path) = path.filter(|_| layer.media_type.ends_with(".raw")) else {
            return Ok(None);
        };
        if path.starts_with(&own) {
            continue;
        }
        files.push(FileEntry {
            path: path.parse()?,
            size: layer.size,
            digest: layer.digest.clone(),
            layer: layers.len(),
            offset: 0,
        });
        layers.push(layer.digest.clone());
    }
    Contents::new(layers, files).map(Some)
}
