use modelkeep_core::{
    Buffer, ByteRange, Descriptor, Digest, Hasher, MalformedManifest,
    content::{Error, Expect, Need, Source, Target},
};

use crate::{Tree, in_parallel};

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

impl Copied {
    /// Counts a blob, of which so many bytes were written.
    pub(crate) fn add(&mut self, blob: &Descriptor, written: Option<u64>, on_bytes: &(dyn Fn(u64) + Sync)) {
        match written {
            Some(bytes) => {
                self.blobs += 1;
                self.bytes += bytes;
            }
            None => {
                on_bytes(blob.size);
                self.reused += 1;
            }
        }
    }
}

impl std::ops::AddAssign for Copied {
    fn add_assign(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.reused += other.reused;
    }
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
    /// An index with more below it than anybody copies.
    #[error("{0} lists too much: more than {1} manifests or blobs")]
    TooMany(String, usize),
    /// Something larger than the target takes.
    #[error("the {what} {digest} has {size} bytes, and the target takes {most} at most")]
    TooLarge {
        /// Layer, config or manifest.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The largest that the target takes, in bytes.
        most: u64,
    },
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
    let tree = Tree::read(source, root)?;
    let mut copied = tree.send(source, target, workers, on_bytes)?;
    copied.add(root, copy_blob(source, target, root, on_bytes)?, on_bytes);
    Ok(copied)
}

/// Copies blobs that are no manifests, or whose parts are there.
///
/// # Errors
/// As [`copy`].
pub fn copy_blobs(
    source: &dyn Source,
    target: &dyn Target,
    blobs: &[Descriptor],
    workers: usize,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Copied, CopyError> {
    let mut copied = Copied::default();
    let written = in_parallel(blobs, workers, |blob| copy_blob(source, target, blob, on_bytes))?;
    for (blob, written) in blobs.iter().zip(written) {
        copied.add(blob, written, on_bytes);
    }
    Ok(copied)
}

/// Copies one blob, verified on the way, and gives the bytes written; `None` if the target has it.
pub(crate) fn copy_blob(
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
