use std::collections::{HashMap, HashSet};

use modelkeep_core::{
    Descriptor, Digest, Document,
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
            match repository.document(&manifest) {
                Ok(document) => {
                    for part in document.parts() {
                        self.needed.insert(part.digest.clone(), digest.clone());
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

impl Repository {
    /// Reads a manifest of the repository.
    pub(crate) fn document(&self, manifest: &Descriptor) -> Result<Document> {
        let bytes = self.fetch(manifest, self.limits().manifest_bytes)?;
        Document::parse(&manifest.media_type, &bytes).map_err(|error| Error::Malformed {
            what: manifest.digest.to_string(),
            reason: with_causes(&error),
        })
    }
}
