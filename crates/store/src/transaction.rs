use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use modelkeep_core::{
    Descriptor, Digest, Mutability, Outline, Part, Tag,
    content::{Error, Journal, Names, Result, Transaction},
    media,
};
use modelkeep_disk::{Lock, Outcome, publish};

use crate::{
    records,
    repository::{ManifestRecord, Record, Repository},
};

/// A change of names and history, which holds the repository's lock.
pub(crate) struct Change<'a> {
    repository: &'a Repository,
    record: Record,
    _lock: Lock,
}

impl<'a> Change<'a> {
    pub(crate) fn begin(repository: &'a Repository) -> Result<Self> {
        let gone = || repository.not_found("its record");
        let path = repository.keys.lock();
        let lock = match Lock::exclusive(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(gone()),
            lock => lock.map_err(Error::io(format!("lock {}", path.display())))?,
        };
        // What was read before the lock may have been changed by who held it.
        let record = Record::read(&repository.keys)?.ok_or_else(gone)?;
        repository.sync_history()?;
        Ok(Self {
            repository,
            record,
            _lock: lock,
        })
    }

    /// The record of the repository, read under the lock.
    pub(crate) fn standing(&self) -> &Record {
        &self.record
    }

    /// Finds what a manifest needs, or says what is missing.
    fn check_needs(&self, outline: &Outline) -> Result<()> {
        for part in &outline.parts {
            let Part { digest, size, .. } = part;
            if outline.is_index {
                self.admitted(digest, *size)?;
            } else if !part.is_elsewhere && !self.repository.has(digest, *size)? {
                return Err(self.repository.not_found(format!("{digest} of {size} bytes")));
            }
        }
        Ok(())
    }

    /// Makes the record of a manifest, which nobody else does: the lock is held.
    fn record(&self, manifest: &Descriptor) -> Result<()> {
        let Repository { store, keys, .. } = self.repository;
        // A link that was found may be that of a process that died, or has not yet come, to sync it; a manifest
        // whose links a power cut takes away could not be read.
        let links = keys.link(&manifest.digest);
        publish::sync_parent(&links).map_err(Error::io(format!("sync {}", links.display())))?;
        let record = records::json(&ManifestRecord {
            media_type: manifest.media_type.clone(),
            size: manifest.size,
        });
        records::write_new(&store.staging(), &keys.manifest(&manifest.digest), &record)?;
        Ok(())
    }

    fn admitted(&self, digest: &Digest, size: u64) -> Result<Descriptor> {
        match self.repository.manifest(digest)? {
            Some(found) if found.size == size => Ok(found),
            _ => Err(self.repository.not_found(format!("the manifest {digest}"))),
        }
    }
}

impl Transaction for Change<'_> {
    fn mutability(&self) -> &Mutability {
        &self.record.mutability
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        self.repository.manifest(digest)
    }

    fn admit(&mut self, manifest: &Descriptor) -> Result<()> {
        let repository = self.repository;
        let outline = repository.outline(manifest)?;
        self.check_needs(&outline)?;
        match repository.manifest(&manifest.digest)? {
            Some(found) if found.media_type != manifest.media_type => {
                return Err(Error::Malformed {
                    what: manifest.digest.to_string(),
                    reason: format!(
                        "it is here as {}, and came as {}",
                        found.media_type, manifest.media_type
                    ),
                });
            }
            Some(_) => {}
            None => self.record(manifest)?,
        }
        match outline.subject {
            Some(subject) => repository.note_referrer(&subject, &manifest.digest),
            None => Ok(()),
        }
    }

    fn append(&mut self, height: u64, entry: &[u8]) -> Result<()> {
        let keys = &self.repository.keys;
        let path = keys.entry(height);
        let refuse = |kind: ErrorKind| Error::io(format!("write {}", path.display()))(io::Error::from(kind));
        let follows = match height {
            0 => false,
            1 => true,
            _ => records::size(&keys.entry(height - 1))?.is_some(),
        };
        if !follows {
            return Err(refuse(ErrorKind::InvalidInput));
        }
        if entry.len() as u64 > records::LIMIT {
            return Err(refuse(ErrorKind::FileTooLarge));
        }
        match records::write_new(&self.repository.store.staging(), &path, entry)? {
            Outcome::Created => Ok(()),
            Outcome::Exists => Err(refuse(ErrorKind::AlreadyExists)),
        }
    }

    fn set_tag(&mut self, tag: &Tag, manifest: &Descriptor) -> Result<()> {
        let admitted = self.admitted(&manifest.digest, manifest.size)?;
        let path = self.repository.keys.tag(tag);
        records::replace(&self.repository.store.staging(), &path, &records::json(&admitted))
    }

    fn remove_tag(&mut self, tag: &Tag) -> Result<()> {
        remove(&self.repository.keys.tag(tag))
    }

    fn manifests(&self) -> Result<Vec<Descriptor>> {
        self.repository.manifests()
    }

    fn listed_by(&self, manifest: &Digest) -> Result<Option<Digest>> {
        for found in self.repository.manifests()? {
            if media::is_index(&found.media_type) {
                let index = self.repository.outline(&found)?;
                if index.parts.iter().any(|part| part.digest == *manifest) {
                    return Ok(Some(found.digest));
                }
            }
        }
        Ok(None)
    }

    fn withdraw(&mut self, manifest: &Digest) -> Result<()> {
        let repository = self.repository;
        let Some(found) = repository.manifest(manifest)? else {
            return Ok(());
        };
        // What cannot be read leaves a note behind that says nothing without the record, and that a scrub removes.
        let outline = repository.outline(&found).ok();
        remove(&repository.keys.manifest(manifest))?;
        match outline.and_then(|outline| outline.subject) {
            Some(subject) => repository.forget_referrer(&subject, manifest),
            None => Ok(()),
        }
    }
}

impl Names for Change<'_> {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        records::read(&self.repository.keys.tag(tag))
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        self.repository.tags()
    }
}

impl Journal for Change<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.repository.entries(from)
    }

    fn verified(&self) -> u64 {
        u64::MAX
    }

    /// Refused: it would wait for itself.
    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        let nested = io::Error::from(ErrorKind::Deadlock);
        Err(Error::io("begin a change of a repository within another")(nested))
    }
}

/// Removes a file, durably, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    removed
        .and_then(|()| publish::sync_parent(path))
        .map_err(Error::io(format!("remove {}", path.display())))
}

/// An error and what caused it, for a place that has one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
