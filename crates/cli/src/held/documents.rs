//! Manifests and configs, read and verified.

use modelkeep_core::{
    Descriptor, Document, ImageConfig, Limits, Manifest,
    content::{Error, Source},
};
use modelkeep_package::modelpack;

/// Reads a manifest or index, verified.
pub(crate) fn read_document(source: &dyn Source, descriptor: &Descriptor) -> Result<Document, Error> {
    let bytes = source.fetch(descriptor, Limits::default().manifest_bytes)?;
    Document::parse(&descriptor.media_type, &bytes).map_err(|error| malformed(descriptor, &error))
}

/// The image that `root` is, or the one for `linux/amd64` in it, and its config.
pub(crate) fn read_image(source: &dyn Source, root: &Descriptor) -> Result<(Manifest, ImageConfig), Error> {
    let manifest = read_manifest(source, root)?;
    let config = read_config(source, &manifest)?;
    Ok((manifest, config))
}

/// The image or artifact that `root` is, or the image for `linux/amd64` in it.
pub(crate) fn read_manifest(source: &dyn Source, root: &Descriptor) -> Result<Manifest, Error> {
    find_image(source, root).map(|(_, manifest)| manifest)
}

/// As [`read_manifest`], with its descriptor.
pub(super) fn find_image(source: &dyn Source, root: &Descriptor) -> Result<(Descriptor, Manifest), Error> {
    let index = match read_document(source, root)? {
        Document::Image(manifest) => return Ok((root.clone(), manifest)),
        Document::Index(index) => index,
    };
    let amd64 = |descriptor: &&Descriptor| {
        let platform = descriptor.platform.as_ref();
        platform.is_some_and(|platform| platform.os == "linux" && platform.architecture == "amd64")
    };
    let image = index.manifests.iter().find(amd64).or(index.manifests.first());
    let image = image.ok_or_else(|| malformed(root, &"the index names no image"))?;
    match read_document(source, image)? {
        Document::Image(manifest) => Ok((image.clone(), manifest)),
        Document::Index(_) => Err(malformed(root, &"the index names an index, not an image")),
    }
}

/// Reads the config of an image, verified. For an artifact that Modelkeep made, its manifest says the same.
pub(crate) fn read_config(source: &dyn Source, manifest: &Manifest) -> Result<ImageConfig, Error> {
    if modelpack::is_own(manifest) {
        return modelpack::image_config(manifest).map_err(|error| malformed(&manifest.config, &error));
    }
    let bytes = source.fetch(&manifest.config, Limits::default().config_bytes)?;
    parse_config(manifest, &bytes)
}

pub(super) fn parse_config(manifest: &Manifest, bytes: &[u8]) -> Result<ImageConfig, Error> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&manifest.config, &error))
}

fn malformed(descriptor: &Descriptor, reason: &dyn ToString) -> Error {
    Error::Malformed {
        what: descriptor.digest.to_string(),
        reason: reason.to_string(),
    }
}
