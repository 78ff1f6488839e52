//! An archive in a file, as an end that blobs are read from.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use modelkeep_core::{
    Algorithm, ByteRange, Descriptor, Digest, Hasher,
    content::{Error, Result, Source},
    media,
};

use super::{
    MOST_DOCUMENT_BYTES,
    compose::{self, INDEX, LIST},
};
use crate::{
    image::Blob,
    tar::read::{Input, Kind, Members, target},
};

/// An image in an archive that `docker save`, `podman save`, skopeo or Modelkeep wrote. Nothing is unpacked: blobs are
/// read out of the archive where they lie, and are to be verified by whoever reads them.
#[derive(Debug)]
pub struct DockerArchive {
    path: PathBuf,
    file: File,
    /// The layers, by digest: where they begin and how long they are.
    layers: HashMap<Digest, (u64, u64)>,
    config: Blob,
    manifest: Blob,
}

impl DockerArchive {
    /// Opens the image `name` in the archive `path`; without a name the only one.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no image of that name; [`Error::Malformed`] when the file is no archive of
    /// images, or has several and `name` is absent; [`Error::Io`].
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        let failed = || Error::io(format!("read {}", path.display()));
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag of open");
        // Opening a pipe would wait for a writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open(path)
            .map_err(failed())?;
        let malformed = |reason: String| Error::Malformed {
            what: path.display().to_string(),
            reason,
        };
        if !file.metadata().map_err(failed())?.is_file() {
            return Err(malformed("it is not a file".to_owned()));
        }
        let mut beginning = [0; 4];
        let came = file.read_at(&mut beginning, 0).map_err(failed())?;
        if compose::layer_type(&beginning[..came]) != media::OCI_LAYER {
            return Err(malformed("the archive is compressed: unpack it first".to_owned()));
        }
        let table = Table::read(&file).map_err(|error| super::broken(path.display().to_string(), error))?;
        let list = table
            .document(&file, LIST)?
            .ok_or_else(|| malformed(format!("it is no archive of images: it has no {LIST}")))?;
        let entry = compose::entry(&list, name, &malformed)?;
        let bytes = table
            .document(&file, &entry.config)?
            .ok_or_else(|| malformed(format!("it has no {}", entry.config)))?;
        let parsed = compose::config(&bytes, entry.layers.len(), &malformed)?;
        let config = Blob {
            descriptor: Descriptor::of(media::OCI_CONFIG, &bytes),
            bytes,
        };
        let mut layers = HashMap::new();
        let mut descriptors = Vec::new();
        for (member, diff_id) in entry.layers.iter().zip(&parsed.rootfs.diff_ids) {
            let (offset, size) = table
                .find(member)
                .ok_or_else(|| malformed(format!("it has no {member}")))?;
            let part = || Part::new(&file, offset, size);
            let mut beginning = Vec::new();
            part().take(4).read_to_end(&mut beginning).map_err(failed())?;
            let media_type = compose::layer_type(&beginning);
            let digest = match compose::claimed(member) {
                _ if media_type == media::OCI_LAYER => diff_id.clone(),
                Some(claimed) => claimed,
                None => hash(part()).map_err(failed())?,
            };
            layers.insert(digest.clone(), (offset, size));
            descriptors.push(Descriptor::plain(media_type, digest, size));
        }
        let index = table.document(&file, INDEX)?;
        let blob = |blob: &Descriptor| {
            let name = format!("blobs/{}/{}", blob.digest.algorithm().as_str(), blob.digest.hex());
            table.document(&file, &name).ok().flatten()
        };
        let manifest = compose::manifest(&config, &parsed, &descriptors, index.as_deref(), &blob);
        Ok(Self {
            path: path.to_owned(),
            file,
            layers,
            config,
            manifest,
        })
    }

    /// The manifest of the image.
    #[must_use]
    pub fn root(&self) -> &Descriptor {
        &self.manifest.descriptor
    }
}

impl Source for DockerArchive {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let document = [&self.config, &self.manifest]
            .into_iter()
            .find(|document| document.descriptor.digest == blob.digest);
        let layer = self.layers.get(&blob.digest).copied();
        let size = match (document, layer) {
            (Some(document), _) => document.bytes.len() as u64,
            (None, Some((_, size))) => size,
            (None, None) => {
                return Err(Error::NotFound {
                    what: blob.digest.to_string(),
                    place: self.path.display().to_string(),
                });
            }
        };
        if range.end().is_none_or(|end| end > size) {
            let past = io::Error::new(ErrorKind::InvalidInput, "the range ends after the blob");
            return Err(Error::io(format!("read {}", blob.digest))(past));
        }
        if let Some(document) = document {
            let start = usize::try_from(range.offset).expect("it lies within bytes in memory");
            let end = start + usize::try_from(range.length).expect("it lies within bytes in memory");
            return Ok(Box::new(&document.bytes[start..end]));
        }
        let (offset, _) = layer.expect("it is a document or a layer");
        Ok(Box::new(Part::new(
            &self.file,
            offset + range.offset,
            range.length,
        )))
    }
}

fn hash(mut part: Part<'_>) -> io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match part.read(&mut buffer)? {
            0 => return Ok(hasher.finish().digest().clone()),
            came => hasher.update(&buffer[..came]),
        }
    }
}

/// A run of bytes of a file. It ends early with an error.
struct Part<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl<'a> Part<'a> {
    fn new(file: &'a File, at: u64, left: u64) -> Self {
        Self { file, at, left }
    }
}

impl Read for Part<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let came = self.file.read_at(&mut into[..most], self.at)?;
        if came == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += came as u64;
        self.left -= came as u64;
        Ok(came)
    }
}

impl Input for Part<'_> {
    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.left {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += bytes;
        self.left -= bytes;
        Ok(())
    }
}

/// The members of an archive, by name.
pub(super) struct Table {
    files: HashMap<String, (u64, u64)>,
    links: HashMap<String, String>,
}

impl Table {
    fn read(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let mut members = Members::new(Part::new(file, 0, length));
        let mut table = Self {
            files: HashMap::new(),
            links: HashMap::new(),
        };
        while let Some(member) = members.next()? {
            match member.kind {
                // Of two members of one name the last one counts, as it would when they are unpacked.
                Kind::File(size) if member.offset.checked_add(size).is_some_and(|end| end <= length) => {
                    table.files.insert(member.name, (member.offset, size));
                }
                Kind::File(_) => return Err(ErrorKind::UnexpectedEof.into()),
                Kind::Link { to, symbolic } => {
                    if let Some(to) = target(&member.name, &to, symbolic) {
                        table.links.insert(member.name, to);
                    }
                }
                Kind::Directory | Kind::Other(_) => {}
            }
        }
        Ok(table)
    }

    /// Where the file lies that a name leads to, through one link at most.
    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let direct = self.files.get(name);
        let linked = || self.files.get(self.links.get(name)?);
        direct.or_else(linked).copied()
    }

    /// A small file.
    fn document(&self, file: &File, name: &str) -> Result<Option<Vec<u8>>> {
        let Some((offset, size)) = self.find(name) else {
            return Ok(None);
        };
        if size > MOST_DOCUMENT_BYTES {
            return Err(Error::Malformed {
                what: name.chars().take(200).collect(),
                reason: format!("it has {size} bytes, and {MOST_DOCUMENT_BYTES} are the most that is read"),
            });
        }
        let mut bytes = Vec::new();
        Part::new(file, offset, size)
            .read_to_end(&mut bytes)
            .map_err(Error::io(format!("read {name}")))?;
        Ok(Some(bytes))
    }
}
