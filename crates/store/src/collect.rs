//! Removing what nothing needs, while others push.
//!
//! First the links that no manifest of their repository needs and that nobody has relied on for the period of grace,
//! under the lock of the repository; then the blobs that no repository links, under the lock of their shelf. Whoever
//! admits a manifest looks under the same lock whether all of it is there: it finds a blob, or is told to bring it.

use std::{
    collections::HashSet,
    fs,
    io::ErrorKind,
    time::{Duration, SystemTime},
};

use modelkeep_core::{
    Digest, RepoName,
    content::{Error, Result},
};
use modelkeep_disk::Staged;

use crate::{Repository, Store, needs::Needs, records, transaction::Change};

/// How many links are removed before pushes to their repository get a turn.
const TURN: usize = 256;

/// Whether to remove what nothing needs, or only to say what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Remove it.
    Remove,
    /// Say what would be removed now.
    Report,
}

/// What a collection may take.
#[derive(Clone, Copy, Debug)]
pub struct CollectOptions {
    /// What was brought or relied on so long ago, or later, stays. Pushes that take longer than this between asking
    /// for a blob and naming it have to bring it again; less than a minute is for stores that nobody pushes to.
    pub grace: Duration,
    /// The time.
    pub now: SystemTime,
    /// Whether to remove anything.
    pub act: Act,
}

/// What a collection removed, or would remove.
#[derive(Debug, Default)]
pub struct Collected {
    /// Links of repositories to blobs that none of their manifests needs.
    pub links: u64,
    /// Blobs that no repository links.
    pub blobs: u64,
    /// Uploads that nobody went on with.
    pub uploads: u64,
    /// Bytes of those blobs and uploads, and of what killed processes left.
    pub bytes: u64,
    /// Repositories of which everything was kept, because not all of their manifests could be read.
    pub kept: Vec<(RepoName, Error)>,
}

impl Store {
    /// Removes blobs that no manifest needs, and uploads that nobody goes on with. Manifests stay, tagged or not.
    ///
    /// Any number of processes may push, pull and collect meanwhile: a manifest is admitted with all that it needs or
    /// not at all, and whoever has a blob open reads it to its end.
    ///
    /// # Errors
    /// What keeps the store from being listed: nothing is taken for unneeded that could not be looked up.
    pub fn collect(&self, options: &CollectOptions) -> Result<Collected> {
        let cutoff = options.now.checked_sub(options.grace);
        let mut collection = Collection {
            store: self,
            cutoff: cutoff.unwrap_or(SystemTime::UNIX_EPOCH),
            act: options.act,
            live: HashSet::new(),
            collected: Collected::default(),
        };
        for name in self.repositories()? {
            collection.repository(&name)?;
        }
        collection.blobs()?;
        collection.unfinished()?;
        Ok(collection.collected)
    }
}

struct Collection<'a> {
    store: &'a Store,
    cutoff: SystemTime,
    act: Act,
    /// What some repository links, or some manifest needs.
    live: HashSet<Digest>,
    collected: Collected,
}

impl Collection<'_> {
    fn repository(&mut self, name: &RepoName) -> Result<()> {
        let keys = self.store.keys.repository(name);
        let mut old = Vec::new();
        // A name that is no digest links nothing.
        let links = records::list(&keys.links())?;
        for digest in links.iter().filter_map(|name| crate::keys::parse_digest(name)) {
            match records::modified(&keys.link(&digest))? {
                Some(time) if time <= self.cutoff => old.push(digest),
                _ => {
                    self.live.insert(digest);
                }
            }
        }
        let mut dropped = HashSet::new();
        let read = match self.store.repository(name) {
            Ok(Some(repository)) => self.links(&repository, &old, &mut dropped),
            // Removed meanwhile, or never finished: what it links is nobody's to take.
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            self.collected.kept.push((name.clone(), error));
        }
        self.live
            .extend(old.into_iter().filter(|digest| !dropped.contains(digest)));
        Ok(())
    }

    /// Removes those of the old links of a repository that its manifests do not need.
    fn links(
        &mut self,
        repository: &Repository,
        old: &[Digest],
        dropped: &mut HashSet<Digest>,
    ) -> Result<()> {
        let mut needs = Needs::of(repository)?;
        let unneeded: Vec<&Digest> = old.iter().filter(|digest| needs.by(digest).is_none()).collect();
        for turn in unneeded.chunks(TURN) {
            if self.act == Act::Report {
                self.collected.links += turn.len() as u64;
                dropped.extend(turn.iter().copied().cloned());
                continue;
            }
            let _change = Change::begin(repository)?;
            needs.update(repository)?;
            for digest in turn.iter().filter(|digest| needs.by(digest).is_none()) {
                if repository.drop_link(digest, Some(self.cutoff))? {
                    self.collected.links += 1;
                    dropped.insert((*digest).clone());
                }
            }
        }
        // Damage may have taken links; what manifests need stays all the same.
        self.live.extend(needs.into_digests());
        Ok(())
    }

    /// Removes the old blobs that nothing names.
    fn blobs(&mut self) -> Result<()> {
        let mut dead: Vec<Digest> = Vec::new();
        for blob in self.store.blobs()? {
            match blob {
                Ok((digest, _)) if self.live.contains(&digest) => {}
                Ok((digest, _)) => dead.push(digest),
                // Not the store's: it stays.
                Err(Error::Malformed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for shelf in dead.chunk_by(|a, b| self.store.keys.shelf(a) == self.store.keys.shelf(b)) {
            let _shelf = match self.act {
                Act::Remove => self.store.blobs.lock(&shelf[0])?,
                Act::Report => None,
            };
            // Repositories may have come since, with links.
            let names = self.store.repositories()?;
            for digest in shelf {
                self.blob(digest, &names)?;
            }
        }
        Ok(())
    }

    fn blob(&mut self, digest: &Digest, repositories: &[RepoName]) -> Result<()> {
        let path = self.store.keys.blob(digest);
        let io = || Error::io(format!("remove {}", path.display()));
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            metadata => metadata.map_err(io())?,
        };
        if metadata.modified().map_err(io())? > self.cutoff {
            return Ok(());
        }
        if self.act == Act::Remove {
            for name in repositories {
                if self.store.is_linked(name, digest)? {
                    return Ok(());
                }
            }
            fs::remove_file(&path).map_err(io())?;
        }
        self.collected.blobs += 1;
        self.collected.bytes += metadata.len();
        Ok(())
    }

    /// Removes uploads that nobody goes on with, and what killed processes left.
    fn unfinished(&mut self) -> Result<()> {
        let swept = match self.act {
            Act::Remove => {
                let staging = self.store.keys.staging();
                let sweep = Staged::sweep(&staging);
                self.collected.bytes +=
                    sweep.map_err(Error::io(format!("clean up {}", staging.display())))?;
                self.store.sweep_uploads(self.cutoff)?
            }
            Act::Report => self.store.stale_uploads(self.cutoff)?,
        };
        self.collected.uploads += swept.uploads;
        self.collected.bytes += swept.bytes;
        Ok(())
    }
}
