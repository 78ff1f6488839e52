use std::{io::Read, path::Path};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Hashed, Limits, annotation,
    content::{Arrival, Error, Expect, Need, Result, Sink, Source, Target},
    manifest::to_json,
};
use modelkeep_disk::{Dir, Staged, Writer, publish};

use super::{INDEX_FILE, OciLayout, VERSION, VERSION_FILE, empty_index, read_index, ref_name, refused};

/// Where blobs are written before they are whole.
const PARTIAL: &str = ".modelkeep-partial";

/// A layout that is being written. No other process of Modelkeep writes to it meanwhile.
#[derive(Debug)]
pub struct OciLayoutWriter {
    layout: OciLayout,
}

impl OciLayoutWriter {
    /// Opens the layout in `directory`, or begins one if that is empty or not there.
    ///
    /// # Errors
    /// [`Error::Malformed`] when something else is in the directory, or another process writes to it; [`Error::Io`].
    pub fn create(directory: &Path) -> Result<Self> {
        let failed = || Error::io(format!("make the OCI layout {}", directory.display()));
        publish::create_directories(directory).map_err(failed())?;
        let locked = Dir::open(directory).map_err(failed())?;
        if !locked.try_lock().map_err(failed())? {
            return Err(refused(directory, "another process is writing to it"));
        }
        let index = match read_index(&locked, directory)? {
            Some(index) => index,
            None => {
                let names = locked.names().map_err(failed())?;
                if names.iter().any(|name| name != "blobs" && name != PARTIAL) {
                    return Err(refused(directory, "it is not empty and not an OCI layout"));
                }
                empty_index()
            }
        };
        let partial = directory.join(PARTIAL);
        for directory in [&partial, &directory.join("blobs/sha256")] {
            publish::create_directories(directory).map_err(failed())?;
        }
        Staged::sweep(&partial).map_err(failed())?;
        Ok(Self {
            layout: OciLayout {
                path: directory.to_owned(),
                directory: locked,
                index,
            },
        })
    }

    /// What is in the layout.
    #[must_use]
    pub fn layout(&self) -> &OciLayout {
        &self.layout
    }

    /// Lists `manifest`, whose blobs have all been written, under `name`, which what had it loses; and `referrers`,
    /// which say something about it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self, manifest: &Descriptor, name: &str, referrers: &[Descriptor]) -> Result<()> {
        let OciLayout { path, index, .. } = &mut self.layout;
        let entries = &mut index.manifests;
        entries.retain(|entry| match ref_name(entry) {
            Some(other) => other != name,
            None => entry.digest != manifest.digest,
        });
        let mut entry = Descriptor::plain(&manifest.media_type, manifest.digest.clone(), manifest.size);
        entry
            .annotations
            .insert(annotation::REF_NAME.to_owned(), name.to_owned());
        entries.push(entry);
        for referrer in referrers {
            if !entries.iter().any(|entry| entry.digest == referrer.digest) {
                entries.push(referrer.clone());
            }
        }
        let version = format!("{{\"imageLayoutVersion\":\"{VERSION}\"}}");
        for (file, bytes) in [(VERSION_FILE, version.into_bytes()), (INDEX_FILE, to_json(index))] {
            let path = path.join(file);
            publish::replace(&path, &bytes).map_err(Error::io(format!("write {}", path.display())))?;
        }
        let partial = path.join(PARTIAL);
        std::fs::remove_dir(&partial).map_err(Error::io(format!("remove {}", partial.display())))
    }

    fn path(&self, digest: &Digest) -> std::path::PathBuf {
        let directory = self.layout.path.join("blobs").join(digest.algorithm().as_str());
        directory.join(digest.hex())
    }
}

impl Source for OciLayoutWriter {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        self.layout.open(blob, range)
    }
}

impl Target for OciLayoutWriter {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn need(&self, blob: &Descriptor) -> Result<Need> {
        Ok(match self.layout.blob(&blob.digest)? {
            Some((_, size)) if size == blob.size => Need::Nothing,
            _ => Need::From(0),
        })
    }

    fn begin<'a>(&'a self, expect: Expect<'_>) -> Result<Box<dyn Sink + 'a>> {
        let failed = || Error::io(format!("write to {}", self.layout.path.display()));
        let staged = Staged::create(&self.layout.path.join(PARTIAL)).map_err(failed())?;
        let writer = Writer::new(staged.file(), expect.size()).map_err(failed())?;
        Ok(Box::new(Blob {
            layout: self,
            arrival: Arrival::new(&expect),
            staged,
            writer,
        }))
    }
}

/// A blob on its way into the layout.
struct Blob<'a> {
    layout: &'a OciLayoutWriter,
    arrival: Arrival,
    staged: Staged,
    writer: Writer,
}

impl Sink for Blob<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.arrival.add(ByteRange {
            offset,
            length: bytes.len() as u64,
        })?;
        let path = &self.layout.layout.path;
        self.writer
            .write_at(offset, bytes)
            .map_err(Error::io(format!("write to {}", path.display())))
    }

    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()> {
        self.arrival.finish(hashed)?;
        let path = self.layout.path(hashed.digest());
        let failed = || Error::io(format!("write {}", path.display()));
        if let Some(parent) = path.parent() {
            publish::create_directories(parent).map_err(failed())?;
        }
        // Replaced rather than kept: what is there may be of the wrong size.
        self.staged.replace(&path).map_err(failed())
    }
}
