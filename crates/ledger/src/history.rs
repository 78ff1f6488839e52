use modelkeep_core::{Bump, Descriptor, Digest, SemVer, Tag};

use crate::{
    MalformedEntry, Operation, Publish,
    entry::{Entry, EntryId, Place},
};

/// The history of a repository, its chain verified.
#[derive(Clone, Debug, Default)]
pub struct History {
    publications: Vec<Publication>,
    first: Option<EntryId>,
    head: Option<EntryId>,
}

/// A version as the history has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// Number of the entry, from 1.
    pub height: u64,
    /// Identity of the entry.
    pub id: EntryId,
    /// The version.
    pub version: Tag,
    /// The version that was published before it.
    pub parent: Option<Tag>,
    /// When, RFC 3339.
    pub time: String,
    /// By whom.
    pub author: String,
    /// What it is.
    pub publish: Publish,
}

impl Publication {
    /// The manifest of the version.
    #[must_use]
    pub fn manifest(&self) -> &Descriptor {
        &self.publish.manifest
    }
}

/// A history that is broken.
#[derive(Debug, thiserror::Error)]
pub enum MalformedHistory {
    /// An entry that is none.
    #[error("entry {height} of the history cannot be read")]
    Entry {
        /// Its number.
        height: u64,
        /// What is wrong.
        #[source]
        source: MalformedEntry,
    },
    /// An entry that does not follow the one before it.
    #[error(
        "entry {height} of the history does not follow the entry before it: the history has been changed"
    )]
    Chain {
        /// Its number.
        height: u64,
    },
}

impl History {
    /// Reads entries, oldest first from height 1, and verifies that each follows the one before it.
    ///
    /// # Errors
    /// The first entry that does not.
    pub fn verify(entries: &[Vec<u8>]) -> Result<Self, MalformedHistory> {
        let mut history = Self::default();
        for bytes in entries {
            history.add(bytes)?;
        }
        Ok(history)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), MalformedHistory> {
        let height = self.height() + 1;
        let entry = Entry::parse(bytes).map_err(|source| MalformedHistory::Entry { height, source })?;
        let follows = entry.height() == height
            && entry.history() == self.first.as_ref()
            && entry.parents().iter().eq(self.head.as_ref());
        if !follows {
            return Err(MalformedHistory::Chain { height });
        }
        let id = Digest::of(bytes);
        let Operation::Publish(publish) = entry.operation();
        self.publications.push(Publication {
            height,
            id: id.clone(),
            version: entry.version().clone(),
            parent: self.publications.last().map(|last| last.version.clone()),
            time: entry.time().to_owned(),
            author: entry.author().to_owned(),
            publish: publish.clone(),
        });
        self.first.get_or_insert_with(|| id.clone());
        self.head = Some(id);
        Ok(())
    }

    /// Adds a version at the end, and gives the bytes of its entry.
    pub(crate) fn publish(
        &mut self,
        version: &Tag,
        time: String,
        author: String,
        publish: Publish,
    ) -> Vec<u8> {
        let place = Place {
            height: self.height() + 1,
            history: self.first.as_ref(),
            parent: self.head.as_ref(),
        };
        let bytes = Entry::new(version, &place, time, author, publish).to_bytes();
        self.add(&bytes).expect("an entry made for this place follows");
        bytes
    }

    /// Number of entries.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.publications.len() as u64
    }

    /// The newest entry.
    #[must_use]
    pub fn last(&self) -> Option<&Publication> {
        self.publications.last()
    }

    /// What `version` is now.
    #[must_use]
    pub fn version(&self, version: &Tag) -> Option<&Publication> {
        self.publications.iter().rev().find(|p| p.version == *version)
    }

    /// The versions, newest first. A version that moved is listed once, as it is now.
    #[must_use]
    pub fn newest_first(&self) -> Vec<&Publication> {
        let mut seen = std::collections::HashSet::new();
        self.publications
            .iter()
            .rev()
            .filter(|p| seen.insert(&p.version))
            .collect()
    }

    /// All that was ever published, oldest first.
    #[must_use]
    pub fn publications(&self) -> &[Publication] {
        &self.publications
    }

    /// The highest semantic version, releases before pre-releases.
    #[must_use]
    pub fn highest(&self) -> Option<SemVer> {
        let versions = self.publications.iter().filter_map(|p| SemVer::parse(&p.version));
        versions.max_by(|a, b| a.cmp(b))
    }

    /// The version after the highest one, raised by `bump`, and not taken.
    #[must_use]
    pub fn next(&self, bump: Bump) -> Option<Tag> {
        next(self.publications.iter().map(|p| &p.version), bump)
    }

    /// A version to propose to somebody whose `version` is taken: the last number that it is written with, raised
    /// until it is free.
    #[must_use]
    pub fn next_free(&self, version: &Tag) -> Option<Tag> {
        next_free(|tag| self.version(tag).is_some(), version)
    }
}

/// The version after the highest of those that are `taken`, as [`History::next`].
#[must_use]
pub fn next<'a>(taken: impl Iterator<Item = &'a Tag> + Clone, bump: Bump) -> Option<Tag> {
    let highest = taken.clone().filter_map(SemVer::parse).max_by(|a, b| a.cmp(b));
    let mut next = match highest {
        Some(highest) => highest.next(bump)?,
        None => SemVer::first(bump),
    };
    while taken.clone().any(|tag| *tag == next.to_tag()) {
        next = next.next(bump)?;
    }
    Some(next.to_tag())
}

/// A version to propose instead of one that is taken, as [`History::next_free`].
#[must_use]
pub fn next_free(is_taken: impl Fn(&Tag) -> bool, version: &Tag) -> Option<Tag> {
    let taken = SemVer::parse(version)?;
    let bump = taken.last_number();
    let mut next = taken.next(bump)?;
    while is_taken(&next.to_tag()) {
        next = next.next(bump)?;
    }
    Some(next.to_tag())
}

#[cfg(test)]
mod tests {
    use modelkeep_core::media;

    use super::*;

    fn history(versions: &[&str]) -> (History, Vec<Vec<u8>>) {
        let mut history = History::default();
        let entries = versions
            .iter()
            .map(|version| {
                let publish = Publish {
                    manifest: Descriptor::of(media::OCI_MANIFEST, version.as_bytes()),
                    root: None,
                    message: None,
                    metrics: Default::default(),
                    params: Default::default(),
                };
                let time = "2026-11-01T00:00:00Z".to_owned();
                history.publish(&version.parse().unwrap(), time, "a".to_owned(), publish)
            })
            .collect();
        (history, entries)
    }

    #[test]
    fn a_history_verifies_and_names_parents() {
        let (_, entries) = history(&["1.0", "1.1", "latest"]);
        let read = History::verify(&entries).unwrap();
        let parents: Vec<_> = read
            .newest_first()
            .iter()
            .map(|p| p.parent.as_ref().map(Tag::to_string))
            .collect();
        assert_eq!(parents, [Some("1.1".to_owned()), Some("1.0".to_owned()), None]);
    }

    #[test]
    fn any_change_of_the_chain_is_noticed() {
        let (_, entries) = history(&["1.0", "1.1", "1.2"]);
        let broken = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut entries = entries.clone();
            change(&mut entries);
            History::verify(&entries).is_err()
        };
        assert!(broken(&|entries| {
            entries.remove(0);
        }));
        assert!(broken(&|entries| {
            entries.remove(1);
        }));
        assert!(broken(&|entries| entries.swap(1, 2)));
        assert!(broken(&|entries| {
            let text = String::from_utf8(entries[1].clone()).unwrap();
            entries[1] = text.replace("2026", "2025").into_bytes();
        }));
        assert!(broken(&|entries| entries[1] = entries[0].clone()));
    }

    #[test]
    fn the_next_version_is_after_the_highest_and_free() {
        let next = |versions: &[&str], bump| history(versions).0.next(bump).unwrap().to_string();
        assert_eq!(next(&[], Bump::Minor), "0.1.0");
        assert_eq!(next(&["1.0", "1.1", "latest"], Bump::Minor), "1.2");
        assert_eq!(next(&["2.0", "1.1"], Bump::Patch), "2.0.1");
        assert_eq!(next(&["1.0-rc.1"], Bump::Minor), "1.0");
    }

    #[test]
    fn a_free_version_is_proposed() {
        let (history, _) = history(&["1.0", "1.1", "v2"]);
        let free = |version: &str| {
            history
                .next_free(&version.parse().unwrap())
                .map(|v| v.to_string())
        };
        assert_eq!(free("1.0").as_deref(), Some("1.2"));
        assert_eq!(free("v2").as_deref(), Some("v3"));
        assert_eq!(free("latest"), None);
    }
}
