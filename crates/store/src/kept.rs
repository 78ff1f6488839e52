//! What was read from files and directories, kept as long as those do not change.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use modelkeep_core::{
    Descriptor, Tag,
    content::{Error, Result},
};

use crate::repository::Record;

/// File systems count time in steps of some milliseconds. What changed so lately may change again without showing it.
const SETTLED: Duration = Duration::from_secs(1);

/// What a process keeps of the repositories of a store.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) records: Kept<Arc<Record>>,
    pub(crate) tags: Kept<Arc<Descriptor>>,
    /// By directory, in byte order.
    pub(crate) tag_lists: Kept<Arc<[Tag]>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            records: Kept::new(2_000),
            tags: Kept::new(10_000),
            tag_lists: Kept::new(100_000),
        }
    }
}

/// Values by the path of what they were read from.
#[derive(Debug)]
pub(crate) struct Kept<V> {
    most: usize,
    shared: RwLock<Shared<V>>,
}

#[derive(Debug)]
struct Shared<V> {
    values: HashMap<OsString, (Stamp, V)>,
    weight: usize,
}

/// What changes with every file that takes the place of another, and with every name that comes to a directory or
/// goes from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl<V: Clone> Kept<V> {
    /// Keeps values that weigh `most` together.
    fn new(most: usize) -> Self {
        let shared = Shared {
            values: HashMap::new(),
            weight: 0,
        };
        Self {
            most,
            shared: RwLock::new(shared),
        }
    }

    /// What is at `path`, `None` if nothing: what is kept if it has not changed since, or what `read` makes of it,
    /// and how much that weighs.
    pub(crate) fn get(
        &self,
        path: &Path,
        read: impl FnOnce() -> Result<Option<(V, usize)>>,
    ) -> Result<Option<V>> {
        let Some(stamp) = Stamp::of(path)? else {
            return Ok(None);
        };
        if let Some(value) = self.look_up(path.as_os_str(), stamp) {
            return Ok(Some(value));
        }
        // Before it is read: whatever changes it from here on is seen next time.
        let begun = SystemTime::now();
        let Some((value, weight)) = read()? else {
            return Ok(None);
        };
        if stamp.is_settled(begun) && weight <= self.most {
            self.keep(path.as_os_str(), stamp, &value, weight);
        }
        Ok(Some(value))
    }

    fn look_up(&self, path: &OsStr, stamp: Stamp) -> Option<V> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let (kept, value) = shared.values.get(path)?;
        (*kept == stamp).then(|| value.clone())
    }

    fn keep(&self, path: &OsStr, stamp: Stamp, value: &V, weight: usize) {
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        // What is replaced counts twice: the sum is only ever too high.
        shared.weight += weight;
        if shared.weight > self.most {
            shared.values.clear();
            shared.weight = weight;
        }
        shared.values.insert(path.to_owned(), (stamp, value.clone()));
    }
}

impl Stamp {
    fn of(path: &Path) -> Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(Self {
                inode: found.ino(),
                size: found.len(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("read {}", path.display()))(error)),
        }
    }

    /// Whether the last change is long enough ago for the next one to have another time.
    fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed.max(self.modified);
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u64::try_from(nanoseconds)) else {
            return false;
        };
        let changed = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
        now.duration_since(changed).is_ok_and(|age| age > SETTLED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Result<Option<(String, usize)>> {
        Ok(Some((fs::read_to_string(path).unwrap(), 1)))
    }

    #[test]
    fn what_changed_long_ago_is_read_once_and_what_changed_now_each_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let kept = Kept::new(10);
        assert!(kept.get(&path, || panic!("there is nothing")).unwrap().is_none());
        for text in ["one", "two"] {
            fs::write(&path, text).unwrap();
            assert_eq!(kept.get(&path, || read(&path)).unwrap().as_deref(), Some(text));
        }
        assert!(kept.shared.read().unwrap().values.is_empty());
        let stamp = Stamp::of(&path).unwrap().unwrap();
        assert!(stamp.is_settled(SystemTime::now() + 2 * SETTLED));
        kept.keep(path.as_os_str(), stamp, &"kept".to_owned(), 1);
        let found = kept.get(&path, || panic!("it has not changed")).unwrap();
        assert_eq!(found.as_deref(), Some("kept"));
        fs::write(&path, "three").unwrap();
        assert_eq!(kept.get(&path, || read(&path)).unwrap().as_deref(), Some("three"));
    }

    #[test]
    fn no_more_is_kept_than_was_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let stamp = Stamp::of(home.path()).unwrap().unwrap();
        let kept = Kept::new(10);
        for n in 0..100 {
            kept.keep(OsStr::new(&n.to_string()), stamp, &n, 3);
            assert!(kept.shared.read().unwrap().values.len() <= 3);
            assert_eq!(kept.look_up(OsStr::new(&n.to_string()), stamp), Some(n));
        }
    }
}
