use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read},
    sync::{Mutex, MutexGuard, PoisonError},
};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Document, Hashed, Limits, Mutability, Tag,
    content::{Arrival, Error, Expect, Journal, Names, Need, Result, Sink, Source, Target, Transaction},
};

/// An end that keeps one repository in memory.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    mutability: Mutability,
    kept: Mutex<Kept>,
    /// Held by the change that is going on.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    blobs: BTreeMap<Digest, Vec<u8>>,
    manifests: BTreeMap<Digest, Descriptor>,
    tags: BTreeMap<Tag, Descriptor>,
    entries: Vec<Vec<u8>>,
}

impl Memory {
    /// An end that holds nothing yet.
    #[must_use]
    pub fn new(mutability: Mutability) -> Self {
        Self::with_limits(mutability, Limits::default())
    }

    /// An end that says it can hold no more than `limits`.
    #[must_use]
    pub fn with_limits(mutability: Mutability, limits: Limits) -> Self {
        Self {
            limits,
            mutability,
            kept: Mutex::default(),
            turn: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

impl Default for Memory {
    /// An end whose tags never move.
    fn default() -> Self {
        Self::new(Mutability::Immutable)
    }
}

/// A test that failed elsewhere does not change what is kept.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_found(what: impl ToString) -> Error {
    Error::NotFound {
        what: what.to_string(),
        place: "memory".to_owned(),
    }
}

fn refused(doing: &str, kind: ErrorKind) -> Error {
    Error::io(doing)(io::Error::from(kind))
}

impl Kept {
    fn has(&self, blob: &Descriptor) -> bool {
        let found = self.blobs.get(&blob.digest);
        found.is_some_and(|bytes| bytes.len() as u64 == blob.size)
    }

    fn manifest(&self, manifest: &Descriptor) -> Result<&Descriptor> {
        let found = self.manifests.get(&manifest.digest);
        found
            .filter(|found| found.size == manifest.size)
            .ok_or_else(|| not_found(format!("the manifest {}", manifest.digest)))
    }
}

impl Source for Memory {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let kept = self.kept();
        let bytes = kept
            .blobs
            .get(&blob.digest)
            .ok_or_else(|| not_found(&blob.digest))?;
        let part = usize::try_from(range.offset)
            .ok()
            .zip(range.end().and_then(|end| usize::try_from(end).ok()))
            .and_then(|(start, end)| bytes.get(start..end))
            .ok_or_else(|| refused("read past the end", ErrorKind::InvalidInput))?;
        Ok(Box::new(io::Cursor::new(part.to_vec())))
    }
}

impl Target for Memory {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn need(&self, blob: &Descriptor) -> Result<Need> {
        Ok(if self.kept().has(blob) {
            Need::Nothing
        } else {
            Need::From(0)
        })
    }

    fn begin<'a>(&'a self, expect: Expect<'_>) -> Result<Box<dyn Sink + 'a>> {
        let size = usize::try_from(expect.size());
        let size = size.map_err(|_| refused("take so large a blob", ErrorKind::StorageFull))?;
        Ok(Box::new(Arriving {
            memory: self,
            arrival: Arrival::new(&expect),
            bytes: vec![0; size],
        }))
    }
}

struct Arriving<'a> {
    memory: &'a Memory,
    arrival: Arrival,
    bytes: Vec<u8>,
}

impl Sink for Arriving<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.arrival.add(ByteRange {
            offset,
            length: bytes.len() as u64,
        })?;
        let start = usize::try_from(offset).expect("what was added lies in the buffer");
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()> {
        self.arrival.finish(hashed)?;
        self.memory
            .kept()
            .blobs
            .insert(hashed.digest().clone(), self.bytes);
        Ok(())
    }
}

impl Names for Memory {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        Ok(self.kept().tags.get(tag).cloned())
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        Ok(self.kept().tags.keys().cloned().collect())
    }
}

impl Journal for Memory {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(self.kept().entries.iter().skip(skipped).cloned().collect())
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        Ok(Box::new(Change {
            memory: self,
            _turn: lock(&self.turn),
        }))
    }
}

struct Change<'a> {
    memory: &'a Memory,
    _turn: MutexGuard<'a, ()>,
}

impl Transaction for Change<'_> {
    fn mutability(&self) -> &Mutability {
        &self.memory.mutability
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        Ok(self.memory.kept().manifests.get(digest).cloned())
    }

    fn admit(&mut self, manifest: &Descriptor) -> Result<()> {
        let bytes = self.memory.fetch(manifest, self.memory.limits.manifest_bytes)?;
        let document = Document::parse(&manifest.media_type, &bytes).map_err(|error| Error::Malformed {
            what: manifest.digest.to_string(),
            reason: error.to_string(),
        })?;
        let mut kept = self.memory.kept();
        match &document {
            Document::Image(image) => {
                let mut needed = std::iter::once(&image.config).chain(&image.layers);
                if let Some(missing) = needed.find(|blob| blob.urls.is_empty() && !kept.has(blob)) {
                    return Err(not_found(&missing.digest));
                }
            }
            Document::Index(index) => {
                for manifest in &index.manifests {
                    kept.manifest(manifest)?;
                }
            }
        }
        let plain = Descriptor::plain(&manifest.media_type, manifest.digest.clone(), manifest.size);
        let stands = kept
            .manifests
            .entry(plain.digest.clone())
            .or_insert_with(|| plain.clone());
        if *stands == plain {
            return Ok(());
        }
        Err(Error::Malformed {
            what: plain.digest.to_string(),
            reason: format!(
                "it is here as {}, and came as {}",
                stands.media_type, plain.media_type
            ),
        })
    }

    fn append(&mut self, height: u64, entry: &[u8]) -> Result<()> {
        let mut kept = self.memory.kept();
        let next = kept.entries.len() as u64 + 1;
        if height == next {
            kept.entries.push(entry.to_vec());
            return Ok(());
        }
        let taken = (1..next).contains(&height);
        let kind = if taken {
            ErrorKind::AlreadyExists
        } else {
            ErrorKind::InvalidInput
        };
        Err(refused("add an entry", kind))
    }

    fn set_tag(&mut self, tag: &Tag, manifest: &Descriptor) -> Result<()> {
        let mut kept = self.memory.kept();
        let admitted = kept.manifest(manifest)?.clone();
        kept.tags.insert(tag.clone(), admitted);
        Ok(())
    }

    fn remove_tag(&mut self, tag: &Tag) -> Result<()> {
        self.memory.kept().tags.remove(tag);
        Ok(())
    }

    fn manifests(&self) -> Result<Vec<Descriptor>> {
        Ok(self.memory.kept().manifests.values().cloned().collect())
    }

    fn listed_by(&self, manifest: &Digest) -> Result<Option<Digest>> {
        let manifests: Vec<Descriptor> = self.memory.kept().manifests.values().cloned().collect();
        for found in manifests {
            let bytes = self.memory.fetch(&found, self.memory.limits.manifest_bytes)?;
            let lists = match Document::parse(&found.media_type, &bytes) {
                Ok(Document::Index(index)) => index.manifests.iter().any(|part| part.digest == *manifest),
                _ => false,
            };
            if lists {
                return Ok(Some(found.digest));
            }
        }
        Ok(None)
    }

    fn withdraw(&mut self, manifest: &Digest) -> Result<()> {
        self.memory.kept().manifests.remove(manifest);
        Ok(())
    }
}

impl Names for Change<'_> {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        self.memory.resolve(tag)
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        self.memory.tags()
    }
}

impl Journal for Change<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.memory.entries(from)
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        Err(refused(
            "begin a change of a repository within another",
            ErrorKind::Deadlock,
        ))
    }
}
