//! Which repositories of a registry are known to hold a blob: those that it was sent to from here. A registry takes a
//! blob over from another of its repositories, if it likes, without a byte being sent.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use modelkeep_core::{Digest, Host, RepoName};

use crate::settings::Settings;

/// Past this, the file is begun anew: what is lost is found out again.
const MOST_BYTES: u64 = 4 << 20;

/// What is known of one registry: a file of lines `DIGEST NAME`, each written in one go.
pub(super) struct Holders {
    path: PathBuf,
    /// The last repository that each blob is known to be in.
    known: Mutex<HashMap<Digest, RepoName>>,
}

impl Holders {
    pub(super) fn open(settings: &Settings, host: &Host) -> Self {
        let name = Digest::of(host.as_str().as_bytes());
        let directory = settings.store.value.join("cache").join("blobs");
        Self::at(directory.join(name.hex()))
    }

    fn at(path: PathBuf) -> Self {
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MOST_BYTES) {
            let _ = fs::remove_file(&path);
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        let line = |line: &str| {
            let (digest, name) = line.split_once(' ')?;
            Some((digest.parse().ok()?, name.parse().ok()?))
        };
        Self {
            known: Mutex::new(text.lines().filter_map(line).collect()),
            path,
        }
    }

    /// Another repository that holds the blob.
    pub(super) fn find(&self, blob: &Digest, but: &RepoName) -> Option<RepoName> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(blob).filter(|name| *name != but).cloned()
    }

    /// `name` holds the blob. What cannot be written is not remembered.
    pub(super) fn add(&self, blob: &Digest, name: &RepoName) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(blob.clone(), name.clone()).as_ref() == Some(name) {
            return;
        }
        if let Some(parent) = self.path.parent() {
            let _ = fs::create_dir_all(parent);
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let _ = file.and_then(|mut file| file.write_all(format!("{blob} {name}\n").as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_in_the_last_other_repository_that_it_was_sent_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blobs").join("host");
        let (blob, a, b) = (Digest::of(b"x"), "a".parse().unwrap(), "b".parse().unwrap());
        let holders = Holders::at(path.clone());
        assert_eq!(holders.find(&blob, &a), None);
        holders.add(&blob, &a);
        holders.add(&blob, &a);
        fs::write(&path, fs::read_to_string(&path).unwrap() + "torn").unwrap();
        let holders = Holders::at(path.clone());
        assert_eq!(holders.find(&blob, &a), None);
        assert_eq!(holders.find(&blob, &b), Some(a));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
