use std::{io::Read, path::Path, sync::Arc, time::SystemTime};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Hashed, Limits, Mutability, RepoName, Tag,
    content::{Error, Expect, Journal, Names, Need, Result, Sink, Source, Target, Transaction},
};
use modelkeep_disk::publish;
use serde::{Deserialize, Serialize};

use crate::{
    Store,
    blobs::{Blobs, Incoming},
    kept::Memory,
    keys::{self, Keys, RepositoryKeys, VERSION},
    records, tags,
    transaction::Change,
    uploads::Buffers,
};

/// One repository of a store: an end that offers and takes blobs, and keeps names and history.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) store: Keys,
    pub(crate) keys: RepositoryKeys,
    pub(crate) blobs: Blobs,
    memory: Arc<Memory>,
    pub(crate) buffers: Arc<Buffers>,
    name: RepoName,
    record: Arc<Record>,
}

/// What `_repository` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u64,
    #[serde(flatten)]
    pub(crate) mutability: Mutability,
    created: String,
}

/// What a file in `_manifests` says; its name is the digest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManifestRecord {
    pub(crate) media_type: String,
    pub(crate) size: u64,
}

impl Record {
    pub(crate) fn new(mutability: &Mutability, created: &str) -> Self {
        Self {
            version: VERSION,
            mutability: mutability.clone(),
            created: created.to_owned(),
        }
    }

    /// The same repository, in which other tags may move.
    pub(crate) fn with_mutability(&self, mutability: &Mutability) -> Self {
        Self {
            mutability: mutability.clone(),
            ..self.clone()
        }
    }

    pub(crate) fn read(keys: &RepositoryKeys) -> Result<Option<Self>> {
        match records::read::<Self>(&keys.record())? {
            Some(record) if record.version > VERSION => Err(records::malformed(
                &keys.record(),
                format!(
                    "the repository has version {}, and this modelkeep knows {VERSION}: use a newer modelkeep",
                    record.version
                ),
            )),
            record => Ok(record),
        }
    }
}

impl Repository {
    pub(crate) fn new(store: &Store, name: &RepoName, record: Arc<Record>) -> Self {
        Self {
            store: store.keys.clone(),
            keys: store.keys.repository(name),
            blobs: store.blobs.clone(),
            memory: Arc::clone(&store.memory),
            buffers: Arc::clone(&store.buffers),
            name: name.clone(),
            record,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RepoName {
        &self.name
    }

    /// Which of its tags may move, when it was opened; a [`Transaction`] knows what holds now.
    #[must_use]
    pub fn mutability(&self) -> &Mutability {
        &self.record.mutability
    }

    /// When it was made, RFC 3339, as its maker said.
    #[must_use]
    pub fn created(&self) -> &str {
        &self.record.created
    }

    /// The descriptor of a manifest of the repository, if it is one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when its record is.
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        let record = records::read::<ManifestRecord>(&self.keys.manifest(digest))?;
        Ok(record.map(|record| Descriptor::plain(&record.media_type, digest.clone(), record.size)))
    }

    /// When a manifest of the repository became one, by the clock of the disk; `None` when it is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn admitted(&self, digest: &Digest) -> Result<Option<SystemTime>> {
        records::modified(&self.keys.manifest(digest))
    }

    /// All manifests of the repository, in the order of their digests.
    ///
    /// # Errors
    /// As [`Repository::manifest`].
    pub fn manifests(&self) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for digest in self.manifest_digests()? {
            found.extend(self.manifest(&digest)?);
        }
        Ok(found)
    }

    pub(crate) fn manifest_digests(&self) -> Result<Vec<Digest>> {
        digests(&self.keys.manifests())
    }

    /// All tags, in byte order. The list is kept in memory, for this store and its clones, until its directory changes:
    /// then it is another one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when something else lies among them.
    pub fn tag_list(&self) -> Result<Arc<[Tag]>> {
        let read = || {
            let tags: Arc<[Tag]> = tags::read(&self.keys)?.into();
            let weight = tags.len() + 1;
            Ok(Some((tags, weight)))
        };
        let found = self.memory.tag_lists.get(&self.keys.tags(), read)?;
        Ok(found.unwrap_or_default())
    }

    /// Makes sure that the entries that were read are on the disk, so that what rests on them can be reported:
    /// whoever added the last one may have died, or not yet come, to sync it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync_history(&self) -> Result<()> {
        publish::sync_parent(&self.keys.entry(1))
            .map_err(Error::io(format!("sync {}", self.keys.history().display())))
    }

    /// Entries of the history from height `from` on, as many as have `most_bytes` together but at least one, and the
    /// height of the newest.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] when an entry is missing before others.
    pub fn entries_within(&self, from: u64, most_bytes: usize) -> Result<(Vec<Vec<u8>>, u64)> {
        let newest = self.highest_entry()?.unwrap_or_default();
        let mut entries = Vec::new();
        let mut length = 0;
        for height in from.max(1)..=newest {
            let entry = records::bytes(&self.keys.entry(height))?.ok_or_else(|| self.gap(height))?;
            length += entry.len();
            if length > most_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok((entries, newest))
    }

    fn gap(&self, height: u64) -> Error {
        Error::Damaged {
            what: self.keys.history().display().to_string(),
            expected: format!("entry {height}"),
            found: "later ones only".to_owned(),
        }
    }

    pub(crate) fn not_found(&self, what: impl ToString) -> Error {
        Error::NotFound {
            what: what.to_string(),
            place: format!("the repository {}", self.name),
        }
    }

    /// Whether the blob is here, and the repository may read it.
    pub(crate) fn has(&self, digest: &Digest, size: u64) -> Result<bool> {
        Ok(records::size(&self.keys.link(digest))?.is_some() && self.blobs.size(digest)? == Some(size))
    }

    /// The height of the newest entry that has a file, whatever is missing before it.
    fn highest_entry(&self) -> Result<Option<u64>> {
        let directory = self.keys.history();
        let mut highest = None;
        records::each(&directory, |name| {
            let height = keys::parse_height(name).ok_or_else(|| records::foreign(directory.join(name)))?;
            highest = highest.max(Some(height));
            Ok(())
        })?;
        Ok(highest)
    }
}

impl Source for Repository {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let linked = records::size(&self.keys.link(&blob.digest))?.is_some();
        if linked || records::size(&self.keys.manifest(&blob.digest))?.is_some() {
            Ok(Box::new(self.blobs.open(blob, range)?))
        } else {
            Err(self.not_found(&blob.digest))
        }
    }
}

impl Target for Repository {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn need(&self, blob: &Descriptor) -> Result<Need> {
        if !self.blobs.has(blob)? {
            return Ok(Need::From(0));
        }
        // Where there is a link, the name of the blob was synced before it was made.
        Ok(
            if self.relies_on(&blob.digest)? || self.adopt(&blob.digest, blob.size)? {
                Need::Nothing
            } else {
                Need::From(0)
            },
        )
    }

    fn begin<'a>(&'a self, expect: Expect<'_>) -> Result<Box<dyn Sink + 'a>> {
        Ok(Box::new(Arriving {
            incoming: self.blobs.begin(&expect)?,
            repository: self,
        }))
    }
}

/// The digests whose files lie in `directory`, in their order.
pub(crate) fn digests(directory: &Path) -> Result<Vec<Digest>> {
    records::list(directory)?
        .iter()
        .map(|name| keys::parse_digest(name).ok_or_else(|| records::foreign(directory.join(name))))
        .collect()
}

struct Arriving<'a> {
    incoming: Incoming,
    repository: &'a Repository,
}

impl Sink for Arriving<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.incoming.write(offset, bytes)
    }

    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()> {
        self.incoming
            .commit(hashed, || self.repository.link(hashed.digest()))
    }
}

impl Names for Repository {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        let found = tags::resolve(&self.memory, &self.keys, tag)?;
        Ok(found.map(Arc::unwrap_or_clone))
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        tags::read(&self.keys)
    }
}

impl Journal for Repository {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        let mut entries = Vec::new();
        let mut height = from.max(1);
        loop {
            while let Some(entry) = records::bytes(&self.keys.entry(height))? {
                entries.push(entry);
                height += 1;
            }
            // A lost entry must not make a shorter history that looks whole, and could be continued.
            match self.highest_entry()? {
                Some(highest) if highest >= height => {}
                _ => return Ok(entries),
            }
            // It may have been added since; entries are added in order, so that this one is there then.
            if records::size(&self.keys.entry(height))?.is_none() {
                return Err(self.gap(height));
            }
        }
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        Ok(Box::new(Change::begin(self)?))
    }
}
