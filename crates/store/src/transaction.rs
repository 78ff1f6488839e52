use std::io::{self, ErrorKind};

use modelkeep_core::{
    Descriptor, Document, Mutability, Tag,
    content::{Error, Journal, Names, Result, Source, Target, Transaction},
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

    /// Finds what `document` needs, or says what is missing.
    fn check_needs(&self, document: &Document) -> Result<()> {
        match document {
            Document::Image(image) => {
                // What has URLs is to be had there, and need not be here.
                let needed = std::iter::once(&image.config).chain(&image.layers);
                for blob in needed.filter(|blob| blob.urls.is_empty()) {
                    if !self.repository.has(blob)? {
                        let Descriptor { digest, size, .. } = blob;
                        return Err(self.repository.not_found(format!("{digest} of {size} bytes")));
                    }
                }
            }
            Document::Index(index) => {
                for manifest in &index.manifests {
                    self.manifest(manifest)?;
                }
            }
        }
        Ok(())
    }

    fn manifest(&self, manifest: &Descriptor) -> Result<Descriptor> {
        match self.repository.manifest(&manifest.digest)? {
            Some(found) if found.size == manifest.size => Ok(found),
            _ => Err(self
                .repository
                .not_found(format!("the manifest {}", manifest.digest))),
        }
    }
}

impl Transaction for Change<'_> {
    fn mutability(&self) -> &Mutability {
        &self.record.mutability
    }

    fn admit(&mut self, manifest: &Descriptor) -> Result<()> {
        let repository = self.repository;
        let limit = repository.limits().manifest_bytes;
        let bytes = repository.fetch(manifest, limit)?;
        let document = Document::parse(&manifest.media_type, &bytes).map_err(|error| Error::Malformed {
            what: manifest.digest.to_string(),
            reason: with_causes(&error),
        })?;
        self.check_needs(&document)?;
        // A link that was found may be that of a process that died, or has not yet come, to sync it; a manifest
        // whose links a power cut takes away could not be read.
        let links = repository.keys.link(&manifest.digest);
        publish::sync_parent(&links).map_err(Error::io(format!("sync {}", links.display())))?;
        let record = records::json(&ManifestRecord {
            media_type: manifest.media_type.clone(),
            size: manifest.size,
        });
        let path = repository.keys.manifest(&manifest.digest);
        if records::write_new(&repository.store.staging(), &path, &record)? == Outcome::Created {
            return Ok(());
        }
        match repository.manifest(&manifest.digest)? {
            Some(found) if found.media_type != manifest.media_type => Err(Error::Malformed {
                what: manifest.digest.to_string(),
                reason: format!(
                    "it is here as {}, and came as {}",
                    found.media_type, manifest.media_type
                ),
            }),
            _ => Ok(()),
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
        let admitted = self.manifest(manifest)?;
        let path = self.repository.keys.tag(tag);
        records::replace(&self.repository.store.staging(), &path, &records::json(&admitted))
    }
}

impl Names for Change<'_> {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        self.repository.resolve(tag)
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        self.repository.tags()
    }
}

impl Journal for Change<'_> {
    fn entries(&self, from: u64) -> Result<Vec<Vec<u8>>> {
        self.repository.entries(from)
    }

    /// Refused: it would wait for itself.
    fn begin<'a>(&'a self) -> Result<Box<dyn Transaction + 'a>> {
        let nested = io::Error::from(ErrorKind::Deadlock);
        Err(Error::io("begin a change of a repository within another")(nested))
    }
}

/// An error and what caused it, for a place that has one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
