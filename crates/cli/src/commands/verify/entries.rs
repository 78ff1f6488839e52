//! Entries of a history that were seen on a registry, and are not where they were.

use modelkeep_core::{
    Digest, Tag,
    content::{Error, Journal, Manifests, Names},
    media,
    name::Target,
};
use modelkeep_ledger::{
    MalformedEntry, Written,
    claim::Place,
    claims::{from_manifest, to_manifest},
    fork,
};
use modelkeep_transfer::in_parallel;

use super::workers;
use crate::{error::Failure, wiring::Remote};

/// An entry that is not where it was.
pub(super) struct Missing {
    height: u64,
    bytes: Vec<u8>,
    /// The tag that should point at it, where one should.
    tag: Option<Tag>,
    /// What that points at instead.
    found: Option<Digest>,
}

impl Missing {
    pub(super) fn is_at(&self, tag: &Tag) -> bool {
        self.tag.as_ref() == Some(tag)
    }

    pub(super) fn text(&self, place: &str) -> String {
        let what = format!(
            "{place}: entry {} of the history, which has been seen",
            self.height
        );
        match (&self.tag, &self.found) {
            (Some(tag), Some(found)) => format!("{what}, is not what its tag says: {tag} is {found}"),
            (Some(tag), None) => format!("{what}, is gone: there is no tag {tag}"),
            (None, _) => format!("{what}, is gone"),
        }
    }
}

/// What was seen and is not there. Another history in its place is none of that.
pub(super) fn missing(remote: &Remote) -> Result<Vec<Missing>, Failure> {
    let entries = remote.known()?.entries();
    match remote.kept()? {
        Some(journal) => Ok(taken_away(entries, &journal.entries(1)?)),
        None => untagged(remote, entries),
    }
}

/// Those that the registry does not have which keeps the history itself.
fn taken_away(known: Vec<Vec<u8>>, found: &[Vec<u8>]) -> Vec<Missing> {
    if fork(&known, found).is_some() {
        return Vec::new();
    }
    let missing = (1..).zip(known).skip(found.len());
    let missing = missing.map(|(height, bytes)| Missing {
        height,
        bytes,
        tag: None,
        found: None,
    });
    missing.collect()
}

/// Those whose tags are not what they say.
fn untagged(remote: &Remote, known: Vec<Vec<u8>>) -> Result<Vec<Missing>, Failure> {
    let known: Vec<(u64, Vec<u8>)> = (1..).zip(known).collect();
    let found = in_parallel(&known, workers(), |(height, bytes)| {
        let entry = Written::id_of(bytes);
        let place = Place {
            height: *height,
            entry: entry.clone(),
        };
        let (tag, manifest) = (place.tag(), to_manifest(bytes).map_err(malformed)?);
        let found = remote.resolve(&tag)?;
        if let Some(found) = &found {
            if found.digest == Digest::of(&manifest) {
                return Ok(None);
            }
            // The same statement may have been signed twice.
            let name = Target::Digest(found.digest.clone());
            let read = Manifests::read(&**remote, &name, found.size.min(MOST_MANIFEST));
            if let Ok(Some((_, bytes))) = read
                && from_manifest(&bytes).is_ok_and(|(written, _)| written.id == entry)
            {
                return Ok(None);
            }
        }
        Ok::<_, Failure>(Some(Missing {
            height: *height,
            bytes: bytes.clone(),
            tag: Some(tag),
            found: found.map(|found| found.digest),
        }))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// The most bytes of a manifest that could carry an entry.
const MOST_MANIFEST: u64 = 1 << 20;

fn malformed(source: MalformedEntry) -> Error {
    Error::Malformed {
        what: "an entry that was remembered".to_owned(),
        reason: source.to_string(),
    }
}

/// Puts an entry back.
pub(super) fn put_back(remote: &Remote, missing: &Missing) -> Result<(), Error> {
    match (&missing.tag, remote.kept()?) {
        (Some(tag), _) => {
            let manifest = to_manifest(&missing.bytes).map_err(malformed)?;
            Manifests::write(&**remote, tag, media::OCI_INDEX, &manifest)
        }
        (None, Some(journal)) => journal.begin()?.append(missing.height, &missing.bytes),
        (None, None) => Ok(()),
    }
}
