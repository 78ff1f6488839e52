use std::{path::Path, sync::Arc};

use modelkeep_core::{
    Descriptor, Digest, Mutability, RepoName, Tag,
    content::{Error, Result},
    repositories::Description,
};
use modelkeep_disk::{Lock, Outcome, Staged, publish};
use serde::{Deserialize, Serialize};

use crate::{
    blobs::Blobs,
    catalog, description,
    kept::Memory,
    keys::{Keys, RepositoryKeys, VERSION},
    records,
    repository::{Record, Repository},
    tags,
    uploads::Buffers,
};

/// A directory of repositories and the blobs that they share.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) keys: Keys,
    pub(crate) blobs: Blobs,
    pub(crate) memory: Arc<Memory>,
    pub(crate) buffers: Arc<Buffers>,
}

/// What the file `format` says.
#[derive(Serialize, Deserialize)]
struct Format {
    format: String,
    version: u64,
}

const FORMAT: &str = "modelkeep-store";

impl Store {
    /// Opens the store at `root`. Nothing is written.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none; [`Error::Malformed`] when a newer Modelkeep made it.
    pub fn open(root: &Path) -> Result<Self> {
        let keys = Keys::new(root);
        if check_format(&keys)? {
            Ok(Self {
                blobs: Blobs::new(keys.clone()),
                memory: Arc::default(),
                buffers: Arc::default(),
                keys,
            })
        } else {
            Err(Error::NotFound {
                what: "a store".to_owned(),
                place: root.display().to_string(),
            })
        }
    }

    /// Opens the store at `root` for writing: it is made if it is not there, and what killed processes left is
    /// removed.
    ///
    /// # Errors
    /// As [`Store::open`]; [`Error::Malformed`] when the directory holds other things; [`Error::Io`].
    pub fn create(root: &Path) -> Result<Self> {
        let keys = Keys::new(root);
        let io = || Error::io(format!("make a store in {}", root.display()));
        if !check_format(&keys)? {
            publish::create_directories(root).map_err(io())?;
            refuse_other_things(&keys)?;
            let format = Format {
                format: FORMAT.to_owned(),
                version: VERSION,
            };
            // First of all, so that whoever finds anything else finds this too.
            publish::write_new(&keys.format(), &records::json(&format)).map_err(io())?;
        }
        for directory in [keys.staging(), keys.blobs(), keys.repositories()] {
            publish::create_directories(&directory).map_err(io())?;
        }
        Staged::sweep(&keys.staging())
            .map_err(Error::io(format!("clean up {}", keys.staging().display())))?;
        Self::open(root)
    }

    /// Where the store is.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.keys.root()
    }

    /// All repositories, in byte order.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when something else lies among them.
    pub fn repositories(&self) -> Result<Vec<RepoName>> {
        self.repositories_after(None, usize::MAX)
    }

    /// The first `most` repositories after `last`, in byte order; from the first one on without `last`. What comes
    /// before `last` is not looked at.
    ///
    /// # Errors
    /// As [`Store::repositories`].
    pub fn repositories_after(&self, last: Option<&RepoName>, most: usize) -> Result<Vec<RepoName>> {
        let mut found = Vec::new();
        if most > 0 {
            let last = last.map_or("", RepoName::as_str);
            catalog::walk(&self.keys.repositories(), last, most, &mut found)?;
        }
        Ok(found)
    }

    /// The repositories that may read a blob, in byte order, each looked for when it is asked for.
    ///
    /// # Errors
    /// As [`Store::repositories`], and as [`Store::repository`] of each item.
    pub fn holders(&self, digest: &Digest) -> Result<impl Iterator<Item = Result<Repository>>> {
        let names = self.repositories()?.into_iter();
        Ok(names.filter_map(move |name| match self.is_linked(&name, digest) {
            Ok(true) => self.repository(&name).transpose(),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }))
    }

    pub(crate) fn is_linked(&self, name: &RepoName, digest: &Digest) -> Result<bool> {
        Ok(records::size(&self.keys.repository(name).link(digest))?.is_some())
    }

    /// The repository `name`, if it is here.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when its record is.
    pub fn repository(&self, name: &RepoName) -> Result<Option<Repository>> {
        let keys = self.keys.repository(name);
        let read = || Ok(Record::read(&keys)?.map(|record| (Arc::new(record), 1)));
        let record = self.memory.records.get(&keys.record(), read)?;
        Ok(record.map(|record| Repository::new(self, name, record)))
    }

    /// What `tag` names in the repository `name`; `None` if there is no such tag, or no such repository. The record of the
    /// repository is not looked at: there is one where there is a tag, because it comes before the first and goes after
    /// the last.
    ///
    /// # Errors
    /// As [`Store::repository`].
    pub fn resolve(&self, name: &RepoName, tag: &Tag) -> Result<Option<Arc<Descriptor>>> {
        tags::resolve(&self.memory, &self.keys.repository(name), tag)
    }

    /// Makes the repository `name`, unless it is here: then it stays what it is. `created` is the time, RFC 3339.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when it is here and its record is malformed.
    pub fn create_repository(
        &self,
        name: &RepoName,
        mutability: &Mutability,
        created: &str,
    ) -> Result<(Repository, Outcome)> {
        self.create_described(name, &Description::new(mutability.clone()), created)
    }

    /// Makes the repository `name` with all that is said of it, unless it is here: then it stays what it is.
    pub(crate) fn create_described(
        &self,
        name: &RepoName,
        described: &Description,
        created: &str,
    ) -> Result<(Repository, Outcome)> {
        let keys = self.keys.repository(name);
        let outcome = if self.repository(name)?.is_some() {
            // Its maker may have died, or not yet come, to sync it.
            publish::sync_parent(&keys.record())
                .map_err(Error::io(format!("sync {}", keys.record().display())))?;
            Outcome::Exists
        } else {
            for directory in [keys.links(), keys.manifests(), keys.tags(), keys.history()] {
                let made = publish::create_directories(&directory);
                made.map_err(Error::io(format!("make {}", directory.display())))?;
            }
            self.create_record(&keys, described, created)?
        };
        let repository = self.repository(name)?.ok_or_else(|| Error::NotFound {
            what: format!("the repository {name}"),
            place: self.root().display().to_string(),
        })?;
        Ok((repository, outcome))
    }

    /// Under the lock, so that one of many makers writes both the description and the record.
    fn create_record(
        &self,
        keys: &RepositoryKeys,
        described: &Description,
        created: &str,
    ) -> Result<Outcome> {
        let lock = Lock::exclusive(&keys.lock());
        let _lock = lock.map_err(Error::io(format!("lock {}", keys.lock().display())))?;
        if Record::read(keys)?.is_some() {
            return Ok(Outcome::Exists);
        }
        // Also where nothing is said: a deleted repository of the name may have left its own.
        description::write(&self.keys, keys, described)?;
        // Last: a directory without it is no repository, whatever else is there.
        let record = records::json(&Record::new(&described.mutability, created));
        records::write_new(&self.keys.staging(), &keys.record(), &record)
    }

    /// All blobs and their sizes in bytes, in the order of their digests.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`], also of each item, when something else lies among them.
    pub fn blobs(&self) -> Result<impl Iterator<Item = Result<(Digest, u64)>> + use<>> {
        self.blobs.list()
    }

    /// Reads a blob, hashes it again, and returns its size in bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] when its bytes are not what its digest says; [`Error::NotFound`]; [`Error::Io`].
    pub fn check(&self, digest: &Digest) -> Result<u64> {
        self.blobs.check(digest)
    }
}

/// Whether a store is there that this code can use.
fn check_format(keys: &Keys) -> Result<bool> {
    let path = keys.format();
    match records::read::<Format>(&path)? {
        None => Ok(false),
        Some(found) if found.format != FORMAT => Err(records::malformed(
            &path,
            format!("it says {:?}, and not {FORMAT:?}", found.format),
        )),
        Some(found) if found.version > VERSION => Err(records::malformed(
            &path,
            format!(
                "the store has version {}, and this modelkeep knows {VERSION}: use a newer modelkeep",
                found.version
            ),
        )),
        Some(_) => Ok(true),
    }
}

/// A store is not made among other files: it would be hard to tell them apart again.
fn refuse_other_things(keys: &Keys) -> Result<()> {
    // The root of a file system has `lost+found` from the beginning; what was found out about model directories may
    // be kept here before anything else is.
    let others = records::list(keys.root())?;
    let Some(other) = others
        .iter()
        .find(|name| !["lost+found", "cache", "known"].contains(&name.as_str()))
    else {
        return Ok(());
    };
    // Another process may have made the store since this one looked for it.
    if check_format(keys)? {
        return Ok(());
    }
    Err(Error::Malformed {
        what: keys.root().display().to_string(),
        reason: format!("it is no store, and holds {other:?}: choose a new or empty directory"),
    })
}
