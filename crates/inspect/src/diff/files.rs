use std::collections::{BTreeMap, HashMap, HashSet};

use modelkeep_core::Digest;
use serde::Serialize;

use super::Subject;

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileChanges {
    /// Those that only the second model has.
    pub added: Vec<Sized>,
    /// Those that only the first model has.
    pub removed: Vec<Sized>,
    /// Those with other bytes.
    pub modified: Vec<Modified>,
    /// Those with the same bytes under another path.
    pub renamed: Vec<Renamed>,
    /// How many are the same.
    pub unchanged: u64,
    /// Bytes of the files of the second model that the first does not have: what a pull has to fetch.
    pub bytes_to_fetch: u64,
}

/// A file and its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sized {
    /// Its path.
    pub path: String,
    /// Its size.
    pub size: u64,
}

/// A file with other bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Modified {
    /// Its path.
    pub path: String,
    /// Its size in the first model.
    pub from: u64,
    /// Its size in the second.
    pub to: u64,
}

/// A file with another path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// Its path in the first model.
    pub from: String,
    /// Its path in the second.
    pub to: String,
    /// Its size.
    pub size: u64,
}

impl FileChanges {
    pub(super) fn new(from: &Subject<'_>, to: &Subject<'_>) -> Self {
        let all = |subject: &Subject<'_>| -> BTreeMap<String, (u64, Digest)> {
            let listed = subject.files.list().into_iter().zip(&subject.digests);
            listed
                .map(|((path, size), digest)| (path, (size, digest.clone())))
                .collect()
        };
        let (old, new) = (all(from), all(to));
        let held: HashSet<&Digest> = old.values().map(|(_, digest)| digest).collect();
        let mut changes = Self::default();
        let mut fetched = HashSet::new();
        for (size, digest) in new.values() {
            if !held.contains(digest) && fetched.insert(digest) {
                changes.bytes_to_fetch = changes.bytes_to_fetch.saturating_add(*size);
            }
        }
        // Where the bytes of what is gone were, the last of the paths first.
        let mut gone: HashMap<&Digest, Vec<&str>> = HashMap::new();
        for (path, (_, digest)) in old.iter().rev().filter(|(path, _)| !new.contains_key(*path)) {
            gone.entry(digest).or_default().push(path);
        }
        let mut moved = HashSet::new();
        for (path, (size, digest)) in &new {
            match old.get(path) {
                Some((_, before)) if before == digest => changes.unchanged += 1,
                Some((before, _)) => changes.modified.push(Modified {
                    path: path.clone(),
                    from: *before,
                    to: *size,
                }),
                None => match gone.get_mut(digest).and_then(Vec::pop) {
                    Some(before) => {
                        moved.insert(before);
                        changes.renamed.push(Renamed {
                            from: before.to_owned(),
                            to: path.clone(),
                            size: *size,
                        });
                    }
                    None => changes.added.push(Sized {
                        path: path.clone(),
                        size: *size,
                    }),
                },
            }
        }
        for (path, (size, _)) in &old {
            if !new.contains_key(path) && !moved.contains(path.as_str()) {
                changes.removed.push(Sized {
                    path: path.clone(),
                    size: *size,
                });
            }
        }
        changes
    }

    /// Whether all files are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.modified.is_empty()
            && self.renamed.is_empty()
    }
}
