//! Reading everything again, and rebuilding what can be derived.

use std::{collections::HashSet, fs, path::PathBuf};

use modelkeep_core::{
    Digest, Outline, Part, RepoName,
    content::{Error, Result},
};
use modelkeep_disk::publish;

use crate::{Repository, Store, keys, records, repository::digests, transaction::Change};

/// Whether to repair what can be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Only report.
    No,
    /// Write derived records again, and move damaged blobs out of the way, so that the next push brings them.
    Yes,
}

/// What a scrub found.
#[derive(Debug, Default)]
pub struct Scrubbed {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// All that is not as it should be.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Debug)]
pub enum Problem {
    /// A blob whose bytes are not what its digest says. A repair moves it to `v1/damaged`.
    Damaged {
        /// The blob.
        digest: Digest,
        /// What was found.
        error: Error,
    },
    /// A record or a manifest that cannot be read.
    Unreadable {
        /// The repository, if it is in one.
        repository: Option<RepoName>,
        /// What was found.
        error: Error,
    },
    /// A manifest needs a blob or a manifest that is not here.
    Missing {
        /// The repository.
        repository: RepoName,
        /// The manifest.
        manifest: Digest,
        /// What it needs.
        part: Digest,
    },
    /// A record that follows from the manifests was not there, or does not follow from them. A repair sets it right.
    Derived {
        /// Its file.
        path: PathBuf,
    },
}

impl Store {
    /// Reads every blob, and compares every index with the manifests that it is derived from: the links of
    /// repositories to blobs, and the notes of what says something about a manifest.
    ///
    /// # Errors
    /// What keeps the store from being listed, or a repair from being written. What is merely broken is reported.
    pub fn scrub(&self, repair: Repair) -> Result<Scrubbed> {
        let mut scrub = Scrub {
            store: self,
            repair,
            derived: HashSet::new(),
            found: Scrubbed::default(),
        };
        scrub.blobs()?;
        for name in self.repositories()? {
            match self.repository(&name) {
                Ok(Some(repository)) => scrub.repository(&repository)?,
                Ok(None) => {}
                Err(error) => scrub.unreadable(Some(&name), error),
            }
        }
        Ok(scrub.found)
    }
}

struct Scrub<'a> {
    store: &'a Store,
    repair: Repair,
    /// Links of the repository that were found missing: many manifests may need one.
    derived: HashSet<PathBuf>,
    found: Scrubbed,
}

impl Scrub<'_> {
    fn unreadable(&mut self, repository: Option<&RepoName>, error: Error) {
        self.found.problems.push(Problem::Unreadable {
            repository: repository.cloned(),
            error,
        });
    }

    fn blobs(&mut self) -> Result<()> {
        for blob in self.store.blobs()? {
            let digest = match blob {
                Ok((digest, _)) => digest,
                Err(error) => {
                    self.unreadable(None, error);
                    continue;
                }
            };
            match self.store.check(&digest) {
                Ok(size) => {
                    self.found.blobs += 1;
                    self.found.bytes += size;
                }
                // Collected meanwhile.
                Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    if self.repair == Repair::Yes && matches!(error, Error::Damaged { .. }) {
                        self.put_aside(&digest)?;
                    }
                    self.found.problems.push(Problem::Damaged { digest, error });
                }
            }
        }
        Ok(())
    }

    fn put_aside(&self, digest: &Digest) -> Result<()> {
        let keys = &self.store.keys;
        let _shelf = self.store.blobs.lock(digest)?;
        publish::create_directories(&keys.damaged())
            .and_then(|()| fs::rename(keys.blob(digest), keys.damaged_blob(digest)))
            .and_then(|()| publish::sync_parent(&keys.blob(digest)))
            .map_err(Error::io(format!("move {}", keys.blob(digest).display())))
    }

    fn repository(&mut self, repository: &Repository) -> Result<()> {
        self.derived.clear();
        // Manifests come and go under the same lock.
        let _change = Change::begin(repository)?;
        for digest in repository.manifest_digests()? {
            let outline = repository
                .manifest(&digest)
                .and_then(|manifest| manifest.map(|manifest| repository.outline(&manifest)).transpose());
            // Its bytes may be here and its link gone, or the other way round.
            self.link(repository, &digest, &digest)?;
            match outline {
                Ok(Some(outline)) => self.manifest(repository, &digest, &outline)?,
                Ok(None) => {}
                Err(error) => self.unreadable(Some(repository.name()), error),
            }
        }
        self.stray_notes(repository)
    }

    fn manifest(&mut self, repository: &Repository, digest: &Digest, outline: &Outline) -> Result<()> {
        for part in &outline.parts {
            if !outline.is_index {
                if !part.is_elsewhere {
                    self.part(repository, digest, part)?;
                }
            } else if records::size(&repository.keys.manifest(&part.digest))?.is_none() {
                self.missing(repository, digest, &part.digest);
            }
        }
        let Some(subject) = &outline.subject else {
            return Ok(());
        };
        let path = repository.keys.referrer(subject, digest);
        if records::size(&path)?.is_none() {
            if self.repair == Repair::Yes {
                repository.note_referrer(subject, digest)?;
            }
            self.found.problems.push(Problem::Derived { path });
        }
        Ok(())
    }

    fn part(&mut self, repository: &Repository, manifest: &Digest, part: &Part) -> Result<()> {
        if self.store.blobs.size(&part.digest)? == Some(part.size) {
            self.link(repository, manifest, &part.digest)
        } else {
            self.missing(repository, manifest, &part.digest);
            Ok(())
        }
    }

    /// Makes the link to a blob that a manifest needs.
    fn link(&mut self, repository: &Repository, manifest: &Digest, blob: &Digest) -> Result<()> {
        let path = repository.keys.link(blob);
        let size = self.store.blobs.size(blob)?;
        match (records::size(&path)?, size) {
            (Some(_), Some(_)) => return Ok(()),
            (_, None) => {
                self.missing(repository, manifest, blob);
                return Ok(());
            }
            (None, Some(size)) => {
                if self.repair == Repair::Yes {
                    repository.adopt(blob, size)?;
                }
            }
        }
        if self.derived.insert(path.clone()) {
            self.found.problems.push(Problem::Derived { path });
        }
        Ok(())
    }

    fn missing(&mut self, repository: &Repository, manifest: &Digest, part: &Digest) {
        self.found.problems.push(Problem::Missing {
            repository: repository.name().clone(),
            manifest: manifest.clone(),
            part: part.clone(),
        });
    }

    /// Notes whose manifest is none any more: its process died between the two.
    fn stray_notes(&mut self, repository: &Repository) -> Result<()> {
        for name in records::list(&repository.keys.subjects())? {
            let Some(subject) = keys::parse_digest(&name) else {
                let path = repository.keys.subjects().join(&name);
                self.unreadable(Some(repository.name()), records::foreign(path));
                continue;
            };
            for referrer in digests(&repository.keys.subject(&subject))? {
                if records::size(&repository.keys.manifest(&referrer))?.is_some() {
                    continue;
                }
                if self.repair == Repair::Yes {
                    repository.forget_referrer(&subject, &referrer)?;
                }
                let path = repository.keys.referrer(&subject, &referrer);
                self.found.problems.push(Problem::Derived { path });
            }
        }
        Ok(())
    }
}
