//! Lists of tags, kept as long as their directories do not change.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use modelkeep_core::{
    RepoName, Tag,
    content::{Error, Result},
};

use crate::{
    keys::{self, RepositoryKeys},
    records,
};

/// File systems count time in steps of some milliseconds. A directory that changed so lately may change again without
/// showing it.
const SETTLED: Duration = Duration::from_secs(1);

/// Most tags that are kept, of all repositories together.
const MOST: usize = 100_000;

/// The tags of repositories, in byte order, as processes last read them from the disk.
#[derive(Debug, Default)]
pub(crate) struct TagLists {
    kept: Mutex<HashMap<RepoName, Kept>>,
}

#[derive(Debug)]
struct Kept {
    stamp: Stamp,
    tags: Arc<[Tag]>,
}

/// What changes with every name that comes to a directory, and every one that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: SystemTime,
    changed: (i64, i64),
}

impl TagLists {
    /// All tags of a repository: what is kept, if the directory has not changed since it was read.
    pub(crate) fn get(&self, name: &RepoName, keys: &RepositoryKeys) -> Result<Arc<[Tag]>> {
        let stamp = stamp(keys)?;
        if let (Some(stamp), Some(kept)) = (stamp, self.lock().get(name))
            && kept.stamp == stamp
        {
            return Ok(Arc::clone(&kept.tags));
        }
        // Before the directory is read: whatever changes it from here on is seen next time.
        let begun = SystemTime::now();
        let tags: Arc<[Tag]> = read(keys)?.into();
        if let Some(stamp) = stamp
            && begun
                .duration_since(stamp.modified)
                .is_ok_and(|age| age > SETTLED)
        {
            self.keep(name, stamp, &tags);
        }
        Ok(tags)
    }

    fn keep(&self, name: &RepoName, stamp: Stamp, tags: &Arc<[Tag]>) {
        let mut kept = self.lock();
        let tags = Arc::clone(tags);
        let others: usize = kept.values().map(|kept| kept.tags.len() + 1).sum();
        if others + tags.len() > MOST {
            kept.clear();
        }
        if tags.len() <= MOST {
            kept.insert(name.clone(), Kept { stamp, tags });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RepoName, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(keys: &RepositoryKeys) -> Result<Option<Stamp>> {
    let directory = keys.tags();
    let stamp = fs::metadata(&directory).and_then(|metadata| {
        Ok(Stamp {
            inode: metadata.ino(),
            modified: metadata.modified()?,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    });
    match stamp {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        stamp => stamp
            .map(Some)
            .map_err(Error::io(format!("read {}", directory.display()))),
    }
}

/// Reads all tags of a repository from the disk.
pub(crate) fn read(keys: &RepositoryKeys) -> Result<Vec<Tag>> {
    let mut tags = records::list(&keys.tags())?
        .iter()
        .map(|name| keys::parse_tag(name).ok_or_else(|| records::foreign(keys.tags().join(name))))
        .collect::<Result<Vec<_>>>()?;
    tags.sort_unstable();
    Ok(tags)
}
