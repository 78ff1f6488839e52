use std::collections::HashSet;

use modelkeep_core::{
    Buffer, ByteRange, Descriptor, Document, Hasher, Limits, MalformedManifest,
    content::{Error, Expect, Need, Source, Target},
    media,
};

use crate::in_parallel;

/// Bytes that one worker holds.
const PIECE_BYTES: usize = 1 << 20;

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs that were written, manifests among them.
    pub blobs: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Blobs that the target had.
    pub reused: u64,
}

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source could not give it.
    #[error("cannot read {0} from the source")]
    Source(String, #[source] Error),
    /// The target could not take it.
    #[error("cannot write {0} to the target")]
    Target(String, #[source] Error),
    /// A manifest that is none.
    #[error("cannot read the manifest {0}")]
    Manifest(String, #[source] MalformedManifest),
}

/// Copies `root`, an image or an index, and all that it needs. Children come before parents, so that an interrupted
/// copy never leaves a manifest that points at nothing.
///
/// # Errors
/// Which end failed, and at what. What has arrived stays, and the next copy finds it.
pub fn copy(
    source: &dyn Source,
    target: &dyn Target,
    root: &Descriptor,
    workers: usize,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Copied, CopyError> {
    let mut manifests = vec![root.clone()];
    let mut blobs: Vec<Descriptor> = Vec::new();
    // By digest: descriptors of one blob may differ in what they say about it, and an index may have thousands.
    let mut known = HashSet::from([root.digest.clone()]);
    let mut at = 0;
    while let Some(manifest) = manifests.get(at).cloned() {
        at += 1;
        let name = manifest.digest.to_string();
        let bytes = source
            .fetch(&manifest, Limits::default().manifest_bytes)
            .map_err(|error| CopyError::Source(name.clone(), error))?;
        match Document::parse(&manifest.media_type, &bytes)
            .map_err(|error| CopyError::Manifest(name, error))?
        {
            Document::Image(image) => {
                for blob in std::iter::once(image.config).chain(image.layers) {
                    // What has URLs need not be in a registry, and is fetched by nobody here.
                    if blob.urls.is_empty() && known.insert(blob.digest.clone()) {
                        blobs.push(blob);
                    }
                }
            }
            Document::Index(index) => {
                for child in index.manifests {
                    if media::is_manifest(&child.media_type) && known.insert(child.digest.clone()) {
                        manifests.push(child);
                    }
                }
            }
        }
    }
    let mut copied = Copied::default();
    let mut add = |descriptor: &Descriptor, written: Option<u64>| match written {
        Some(bytes) => {
            copied.blobs += 1;
            copied.bytes += bytes;
        }
        None => {
            on_bytes(descriptor.size);
            copied.reused += 1;
        }
    };
    let written = in_parallel(&blobs, workers, |blob| copy_blob(source, target, blob, on_bytes))?;
    for (blob, written) in blobs.iter().zip(written) {
        add(blob, written);
    }
    // Parents were found before their children, so backwards is children first.
    for manifest in manifests.iter().rev() {
        add(manifest, copy_blob(source, target, manifest, on_bytes)?);
    }
    Ok(copied)
}

/// Copies one blob, verified on the way, and gives the bytes written; `None` if the target has it.
fn copy_blob(
    source: &dyn Source,
    target: &dyn Target,
    blob: &Descriptor,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Option<u64>, CopyError> {
    let name = blob.digest.to_string();
    let at_source = |error| CopyError::Source(name.clone(), error);
    let at_target = |error| CopyError::Target(name.clone(), error);
    if target.need(blob).map_err(at_target)? == Need::Nothing {
        return Ok(None);
    }
    let whole = ByteRange {
        offset: 0,
        length: blob.size,
    };
    let mut reader = source.open(blob, whole).map_err(at_source)?;
    let mut sink = target.begin(Expect::Known(blob)).map_err(at_target)?;
    let mut hasher = Hasher::new(blob.digest.algorithm());
    let mut buffer = Buffer::new(PIECE_BYTES);
    let mut offset = 0;
    while offset < blob.size {
        let length = usize::try_from(blob.size - offset).map_or(PIECE_BYTES, |rest| rest.min(PIECE_BYTES));
        let piece = &mut buffer[..length];
        reader
            .read_exact(piece)
            .map_err(|error| at_source(Error::io(format!("read {name}"))(error)))?;
        hasher.update(piece);
        sink.write(offset, piece).map_err(at_target)?;
        offset += length as u64;
        on_bytes(length as u64);
    }
    sink.commit(&hasher.finish()).map_err(at_target)?;
    Ok(Some(blob.size))
}
