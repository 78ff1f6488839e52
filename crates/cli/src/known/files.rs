use std::{
    fs, io,
    path::{Path, PathBuf},
};

use modelkeep_core::{Digest, Host, RepoName, content};
use modelkeep_disk::{Lock, publish};
use modelkeep_ledger::{EntryId, Seen};
use serde::{Deserialize, Serialize};

use super::Error;

const VERSION: u64 = 1;

/// The files that say what was seen of a repository, in the directory `known` of a store.
pub(super) struct Files {
    root: PathBuf,
    host: Host,
    name: RepoName,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    version: u64,
    identity: EntryId,
    height: u64,
    head: EntryId,
    /// Of a file with entries: how many bytes each of them has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sizes: Vec<usize>,
}

impl Files {
    pub(super) fn new(store: &Path, host: &Host, name: &RepoName) -> Self {
        Self {
            root: store.join("known"),
            host: host.clone(),
            name: name.clone(),
        }
    }

    /// What the repository is called.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }

    fn seen_path(&self) -> PathBuf {
        // No part of a name begins so.
        let place = self.root.join("places").join(self.host.to_string());
        place.join(self.name.as_str()).join("_seen")
    }

    fn entries_path(&self, identity: &EntryId) -> PathBuf {
        self.root.join("histories").join(identity.hex())
    }

    /// All that is to be removed to begin anew.
    pub(super) fn all(&self, identity: &EntryId) -> Vec<PathBuf> {
        vec![self.seen_path(), self.entries_path(identity)]
    }

    /// What was seen here.
    pub(super) fn seen(&self) -> Result<Option<Seen>, Error> {
        let path = self.seen_path();
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        // Whoever took it for nothing would believe the next registry that shows an old history.
        match open(&bytes) {
            Some((
                Record {
                    identity,
                    height,
                    head,
                    ..
                },
                _,
            )) => Ok(Some(Seen {
                identity,
                height,
                head,
            })),
            None => Err(Error::Damaged {
                place: self.place(),
                path,
            }),
        }
    }

    /// As [`Files::entries_of`]. Where they are not there any more, `seen` still is.
    pub(super) fn entries(&self, seen: &Seen) -> Result<Vec<Vec<u8>>, Error> {
        self.entries_of(&seen.identity)
    }

    /// The entries of a history, wherever they were seen; none where the file is damaged.
    pub(super) fn entries_of(&self, identity: &EntryId) -> Result<Vec<Vec<u8>>, Error> {
        let Some(bytes) = read(&self.entries_path(identity))? else {
            return Ok(Vec::new());
        };
        let entries = open(&bytes).and_then(|(record, mut rest)| {
            let entries = record.sizes.iter().map(|&size| {
                let (entry, after) = rest.split_at_checked(size)?;
                rest = after;
                Some(entry.to_vec())
            });
            let entries: Vec<_> = entries.collect::<Option<_>>()?;
            (record.identity == *identity).then_some(entries)
        });
        Ok(entries.unwrap_or_default())
    }

    /// Does `change` while no other process does.
    pub(super) fn change<T>(&self, change: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        let doing = || format!("lock {}", self.root.display());
        publish::create_directories(&self.root).map_err(content::Error::io(doing()))?;
        let _lock = Lock::exclusive(&self.root.join("lock")).map_err(content::Error::io(doing()))?;
        change(self)
    }

    pub(super) fn write_entries(&self, seen: &Seen, entries: &[Vec<u8>]) -> Result<(), Error> {
        let sizes = entries.iter().map(Vec::len).collect();
        let bytes = close(&record(seen, sizes), &entries.concat());
        write(&self.entries_path(&seen.identity), &bytes)
    }

    pub(super) fn write_seen(&self, seen: &Seen) -> Result<(), Error> {
        write(&self.seen_path(), &close(&record(seen, Vec::new()), b""))
    }

    /// Keeps entries that contradict each other, and gives the directory.
    pub(super) fn keep_evidence<'a>(
        &self,
        identity: &EntryId,
        sides: impl IntoIterator<Item = (&'a str, u64, Option<&'a [u8]>)>,
    ) -> Result<PathBuf, content::Error> {
        let directory = self.root.join("evidence").join(identity.hex());
        let kept = |path: &Path| content::Error::io(format!("write {}", path.display()));
        publish::create_directories(&directory).map_err(kept(&directory))?;
        for (side, height, entry) in sides {
            let Some(bytes) = entry else { continue };
            let path = directory.join(format!("{height:08}.{side}.{}.json", Digest::of(bytes).hex()));
            publish::write_new(&path, bytes).map_err(kept(&path))?;
        }
        Ok(directory)
    }
}

fn record(seen: &Seen, sizes: Vec<usize>) -> Record {
    Record {
        version: VERSION,
        identity: seen.identity.clone(),
        height: seen.height,
        head: seen.head.clone(),
        sizes,
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, content::Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(content::Error::io(format!("read {}", path.display()))(error)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let doing = || content::Error::io(format!("write {}", path.display()));
    if let Some(directory) = path.parent() {
        publish::create_directories(directory).map_err(doing())?;
    }
    Ok(publish::replace(path, bytes).map_err(doing())?)
}

/// A file: the SHA-256 of all that follows it, a record, what else there is.
fn close(record: &Record, rest: &[u8]) -> Vec<u8> {
    let mut body = serde_json::to_vec(record).expect("numbers and digests are JSON");
    body.push(b'\n');
    body.extend_from_slice(rest);
    let mut bytes = format!("{}\n", Digest::of(&body).hex()).into_bytes();
    bytes.append(&mut body);
    bytes
}

/// What [`close`] made; `None` for what it did not, and what was changed since.
fn open(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (digest, body) = split_line(bytes)?;
    if Digest::of(body).hex().as_bytes() != digest {
        return None;
    }
    let (line, rest) = split_line(body)?;
    let record: Record = serde_json::from_slice(line).ok()?;
    (record.version == VERSION).then_some((record, rest))
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
pub(super) fn opens(bytes: &[u8]) -> Option<()> {
    open(bytes).map(|_| ())
}
