use std::{
    collections::{HashMap, HashSet},
    io::{self, BufReader, Read},
};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Document, Hasher, MalformedManifest, Outline,
    content::{Error, Result, Source, Target},
};

use crate::{Repository, transaction::with_causes};

/// What the manifests of a repository need.
#[derive(Default)]
pub(crate) struct Needs {
    read: HashSet<Digest>,
    /// Each digest, and a manifest that needs it.
    needed: HashMap<Digest, Digest>,
}

impl Needs {
    /// Reads all manifests of a repository.
    pub(crate) fn of(repository: &Repository) -> Result<Self> {
        let mut needs = Self::default();
        needs.update(repository)?;
        Ok(needs)
    }

    /// Reads the manifests that have come since.
    ///
    /// # Errors
    /// Whatever keeps a manifest from being read: what it needs is not known then.
    pub(crate) fn update(&mut self, repository: &Repository) -> Result<()> {
        for digest in repository.manifest_digests()? {
            if self.read.contains(&digest) {
                continue;
            }
            let Some(manifest) = repository.manifest(&digest)? else {
                continue;
            };
            match repository.outline(&manifest) {
                Ok(outline) => {
                    for part in outline.parts {
                        self.needed.insert(part.digest, digest.clone());
                    }
                }
                // Withdrawn meanwhile.
                Err(_) if repository.manifest(&digest)?.is_none() => continue,
                Err(error) => return Err(error),
            }
            self.needed.insert(digest.clone(), digest.clone());
            self.read.insert(digest);
        }
        Ok(())
    }

    /// The manifest that needs `digest`, itself included.
    pub(crate) fn by(&self, digest: &Digest) -> Option<&Digest> {
        self.needed.get(digest)
    }

    /// All that is needed.
    pub(crate) fn into_digests(self) -> impl Iterator<Item = Digest> {
        self.needed.into_keys()
    }
}

/// A larger manifest is parsed while it is read.
const SMALL: u64 = 128 << 10;

impl Repository {
    /// Reads a manifest of the repository.
    pub(crate) fn document(&self, manifest: &Descriptor) -> Result<Document> {
        let bytes = self.fetch(manifest, self.limits().manifest_bytes)?;
        Document::parse(&manifest.media_type, &bytes).map_err(|error| malformed(manifest, &error))
    }

    /// Reads what a manifest of the repository consists of. That takes hardly more memory than the outline has.
    pub(crate) fn outline(&self, manifest: &Descriptor) -> Result<Outline> {
        let media_type = &manifest.media_type;
        let limit = self.limits().manifest_bytes;
        if manifest.size <= SMALL || manifest.size > limit {
            let bytes = self.fetch(manifest, limit)?;
            return Outline::parse(media_type, &bytes).map_err(|error| malformed(manifest, &error));
        }
        let range = ByteRange {
            offset: 0,
            length: manifest.size,
        };
        let io = || Error::io(format!("read {}", manifest.digest));
        let mut reader = Hashing {
            inner: self.open(manifest, range)?,
            hasher: Hasher::new(manifest.digest.algorithm()),
        };
        let outline = Outline::read(media_type, BufReader::new(&mut reader));
        // What is malformed was not read to its end; it may be so because it is damaged.
        io::copy(&mut reader, &mut io::sink()).map_err(io())?;
        let found = reader.hasher.finish();
        if *found.digest() != manifest.digest {
            let what = manifest.digest.to_string();
            return Err(Error::damaged(what, &manifest.digest, found.digest()));
        }
        outline.map_err(|error| malformed(manifest, &error))
    }
}

fn malformed(manifest: &Descriptor, error: &MalformedManifest) -> Error {
    Error::Malformed {
        what: manifest.digest.to_string(),
        reason: with_causes(error),
    }
}

/// Hashes what is read.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.hasher.update(&out[..read]);
        Ok(read)
    }
}
