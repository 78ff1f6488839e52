//! An archive for `docker load` and `podman load`.

use std::{fs, io, path::Path};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Document, Hasher, MalformedManifest, Manifest,
    content::{self, Source},
};
use modelkeep_disk::{Staged, Writer, publish};

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
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Io {
        /// The file.
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
    let manifest = image_manifest(source, top)?;
    let plan = Plan::of(&manifest, names);
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
            plan.write(source, &staged, on_bytes, &failed)?;
            staged.replace(path).map_err(failed())
        });
    // It stays while another process writes the same archive.
    let _ = fs::remove_dir(&partial);
    written
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

/// The members of the archive, before any blob is read.
struct Plan<'a> {
    /// `manifest.json`: which of the members are the config and the layers.
    list: Vec<u8>,
    blobs: Vec<(String, &'a Descriptor)>,
    size: u64,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    config: String,
    repo_tags: &'a [String],
    layers: Vec<String>,
}

impl<'a> Plan<'a> {
    fn of(manifest: &'a Manifest, names: &[String]) -> Self {
        let layer = |layer: &Descriptor| format!("{}.tar", layer.digest.hex());
        let entry = Entry {
            config: format!("{}.json", manifest.config.digest.hex()),
            repo_tags: names,
            layers: manifest.layers.iter().map(layer).collect(),
        };
        let list = modelkeep_core::manifest::to_json(&[&entry]);
        let mut blobs = vec![(entry.config, &manifest.config)];
        for (name, descriptor) in entry.layers.into_iter().zip(&manifest.layers) {
            if !blobs.iter().any(|(other, _)| *other == name) {
                blobs.push((name, descriptor));
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

    fn write<F>(
        &self,
        source: &dyn Source,
        staged: &Staged,
        on_bytes: &mut dyn FnMut(u64),
        failed: &dyn Fn() -> F,
    ) -> Result<(), ArchiveError>
    where
        F: FnOnce(io::Error) -> ArchiveError,
    {
        let mut writer = Writer::new(staged.file(), self.size).map_err(failed())?;
        let mut write = |offset: u64, bytes: &[u8]| writer.write_at(offset, bytes).map_err(failed());
        let mut stream = Stream::new(self.size, &mut write);
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

const LIST: &str = "manifest.json";

/// Where the member after one of `size` bytes begins.
fn after(name: &str, size: u64, at: u64) -> u64 {
    let head = tar::file(name, FileMode::Plain, size, at).len() as u64;
    at.saturating_add(head)
        .saturating_add(size)
        .saturating_add(tar::tail(size).len() as u64)
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
