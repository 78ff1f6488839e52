//! Archives that `docker load` and `podman load` take, and that `docker save` and `podman save` make.

mod compose;
mod read;
mod receive;

use std::{fs, io, path::Path};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Document, Hasher, MalformedManifest, Manifest,
    content::{self, Source},
    media,
};
use modelkeep_disk::{Staged, Writer, publish};

use compose::{Entry, LIST};
pub use read::DockerArchive;
pub use receive::{Received, receive};

use crate::{scan::FileMode, stream::Stream, tar};

/// The platform whose image is taken from an index.
const PLATFORM: (&str, &str) = ("linux", "amd64");
const MOST_DOCUMENT_BYTES: u64 = 4 << 20;

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The end that holds the version does not give it, or not as it should be.
    #[error("cannot read the version")]
    Source(#[from] content::Error),
    /// The manifest is none.
    #[error("the version {digest} is no image")]
    Manifest {
        /// Its digest.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: MalformedManifest,
    },
    /// An index without an image that docker could run here.
    #[error("the index {0} has no image for linux/amd64")]
    NoPlatform(Digest),
    /// An artifact, which is no image.
    #[error("its config is {0}, not that of an image")]
    NoImage(String),
    /// The archive cannot be written.
    #[error("cannot write {path}")]
    Io {
        /// The file, or whoever takes it.
        path: std::path::PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Writes the image at `top` to the archive `path`, in the place of what is there; docker will know it by `names`, such
/// as `digits:1.0`. Every blob is verified while it is copied, and the same image gives the same archive. `on_bytes` is
/// told of bytes of blobs as they come.
///
/// # Errors
/// [`ArchiveError`]; `path` is then what it was.
pub fn write(
    source: &dyn Source,
    top: &Descriptor,
    names: &[String],
    path: &Path,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), ArchiveError> {
    Plan::of(source, top, names)?.write_file(source, path, on_bytes)
}

fn image_manifest(source: &dyn Source, top: &Descriptor) -> Result<Manifest, ArchiveError> {
    match document(source, top)? {
        Document::Image(manifest) => Ok(manifest),
        Document::Index(index) => {
            let fits = |entry: &&Descriptor| {
                let platform = entry.platform.as_ref();
                platform.is_some_and(|at| (at.os.as_str(), at.architecture.as_str()) == PLATFORM)
            };
            let none = || ArchiveError::NoPlatform(top.digest.clone());
            let entry = index.manifests.iter().find(fits).ok_or_else(none)?;
            match document(source, entry)? {
                Document::Image(manifest) => Ok(manifest),
                Document::Index(_) => Err(none()),
            }
        }
    }
}

fn document(source: &dyn Source, descriptor: &Descriptor) -> Result<Document, ArchiveError> {
    let bytes = source.fetch(descriptor, MOST_DOCUMENT_BYTES)?;
    Document::parse(&descriptor.media_type, &bytes).map_err(|source| ArchiveError::Manifest {
        digest: descriptor.digest.clone(),
        source,
    })
}

/// Takes the bytes of an archive: where they belong, and what they are.
pub type WriteAt<'a> = dyn FnMut(u64, &[u8]) -> Result<(), ArchiveError> + 'a;

/// The members of an archive, before any blob is read.
#[derive(Debug)]
pub struct Plan {
    /// `manifest.json`: which of the members are the config and the layers.
    list: Vec<u8>,
    blobs: Vec<(String, Descriptor)>,
    size: u64,
}

impl Plan {
    /// The archive of the image at `top`, which docker will know by `names`. In an index it is that for
    /// `linux/amd64`.
    ///
    /// # Errors
    /// [`ArchiveError`] when there is no such image.
    pub fn of(source: &dyn Source, top: &Descriptor, names: &[String]) -> Result<Self, ArchiveError> {
        let manifest = image_manifest(source, top)?;
        if !media::is_image_config(&manifest.config.media_type) {
            return Err(ArchiveError::NoImage(manifest.config.media_type));
        }
        Ok(Self::of_manifest(&manifest, names))
    }

    fn of_manifest(manifest: &Manifest, names: &[String]) -> Self {
        let layer = |layer: &Descriptor| format!("{}.tar", layer.digest.hex());
        let entry = Entry {
            config: format!("{}.json", manifest.config.digest.hex()),
            repo_tags: Some(names.to_vec()),
            layers: manifest.layers.iter().map(layer).collect(),
        };
        let list = modelkeep_core::manifest::to_json(&[&entry]);
        let mut blobs = vec![(entry.config, manifest.config.clone())];
        for (name, descriptor) in entry.layers.into_iter().zip(&manifest.layers) {
            if !blobs.iter().any(|(other, _)| *other == name) {
                blobs.push((name, descriptor.clone()));
            }
        }
        let mut plan = Self { list, blobs, size: 0 };
        let sizes = plan.blobs.iter().map(|(name, blob)| (name.as_str(), blob.size));
        let list_size = plan.list.len() as u64;
        let mut at = 0;
        for (name, size) in sizes.chain([(LIST, list_size)]) {
            at = after(name, size, at);
        }
        plan.size = at.saturating_add(tar::END.len() as u64);
        plan
    }

    /// Size of the archive in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The config and the layers, each once.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.blobs.iter().map(|(_, blob)| blob)
    }

    /// Writes the archive to the file `path`, in the place of what is there.
    ///
    /// # Errors
    /// [`ArchiveError`]; `path` is then what it was.
    pub fn write_file(
        &self,
        source: &dyn Source,
        path: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), ArchiveError> {
        let failed = || {
            let path = path.to_owned();
            move |source| ArchiveError::Io { path, source }
        };
        // In a directory of its own, so that what a killed process left is known and swept.
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".modelkeep-partial");
        let partial = path.with_file_name(name);
        publish::create_directories(&partial).map_err(failed())?;
        let written = Staged::sweep(&partial)
            .and_then(|_| Staged::create(&partial))
            .map_err(failed())
            .and_then(|staged| {
                let mut writer = Writer::new(staged.file(), self.size).map_err(failed())?;
                let mut write = |offset: u64, bytes: &[u8]| writer.write_at(offset, bytes).map_err(failed());
                self.write(source, &mut write, on_bytes)?;
                staged.replace(path).map_err(failed())
            });
        // It stays while another process writes the same archive.
        let _ = fs::remove_dir(&partial);
        written
    }

    /// Writes the archive from its beginning to its end: `write` takes offsets and bytes. Every blob is verified while
    /// it is copied, which is when its last bytes have been written.
    ///
    /// # Errors
    /// [`ArchiveError`], and what `write` says.
    pub fn write(
        &self,
        source: &dyn Source,
        write: &mut WriteAt<'_>,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), ArchiveError> {
        let mut stream = Stream::new(self.size, write);
        let mut at = 0;
        for (name, blob) in &self.blobs {
            stream.put(&tar::file(name, FileMode::Plain, blob.size, at))?;
            copy(source, blob, &mut stream, on_bytes)?;
            stream.put(tar::tail(blob.size))?;
            at = after(name, blob.size, at);
        }
        let size = self.list.len() as u64;
        stream.put(&tar::file(LIST, FileMode::Plain, size, at))?;
        stream.put(&self.list)?;
        stream.put(tar::tail(size))?;
        stream.put(&tar::END)?;
        stream.finish()
    }
}

/// Where the member after one of `size` bytes begins.
fn after(name: &str, size: u64, at: u64) -> u64 {
    let head = tar::file(name, FileMode::Plain, size, at).len() as u64;
    at.saturating_add(head)
        .saturating_add(size)
        .saturating_add(tar::tail(size).len() as u64)
}

/// An error of reading an archive: what is wrong with it, or what the system said.
fn broken(what: String, error: io::Error) -> content::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => content::Error::Malformed {
            what,
            reason: "it ends too early".to_owned(),
        },
        io::ErrorKind::InvalidData => content::Error::Malformed {
            what,
            reason: error.to_string(),
        },
        _ => content::Error::io(format!("read {what}"))(error),
    }
}

fn copy(
    source: &dyn Source,
    blob: &Descriptor,
    stream: &mut Stream<'_, ArchiveError>,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), ArchiveError> {
    let what = blob.digest.to_string();
    let range = ByteRange {
        offset: 0,
        length: blob.size,
    };
    let mut reader = source.open(blob, range)?;
    let mut hasher = Hasher::new(blob.digest.algorithm());
    let mut left = blob.size;
    while left > 0 {
        let room = stream.room(left);
        let came = match reader.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(content::Error::io(format!("read {what}")))?,
        };
        if came == 0 {
            let found = format!("the end {left} bytes early");
            return Err(content::Error::damaged(what, &blob.digest, found).into());
        }
        hasher.update(&room[..came]);
        stream.advance(came)?;
        left -= came as u64;
        on_bytes(came as u64);
    }
    let found = hasher.finish();
    if *found.digest() != blob.digest {
        return Err(content::Error::damaged(what, &blob.digest, found.digest()).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
