mod authority;

use std::collections::{HashMap, HashSet};

pub(crate) use authority::Authority;
use modelkeep_core::{Bump, Descriptor, SemVer, Tag};

use crate::{
    Alias, Delete, InvalidKeys, Keys, MalformedEntry, NameAfter, Operation, Publish, Unauthorized, Who,
    Written,
    entry::{Entry, EntryId, Place},
    keys::history_name,
    signing::{Bundle, KeyId, PublicKey},
};

/// The history of a repository, its chain verified.
#[derive(Clone, Debug, Default)]
pub struct History {
    publications: Vec<Publication>,
    moves: Vec<Move>,
    yanked: HashMap<Tag, Yanked>,
    names: HashMap<Tag, Named>,
    keys: Keys,
    /// All keys that ever were listed.
    known: HashMap<KeyId, PublicKey>,
    signer: Option<KeyId>,
    height: u64,
    first: Option<EntryId>,
    head: Option<EntryId>,
    time: Option<String>,
    newest: Option<Tag>,
}

/// What is checked of entries besides that each follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Every signature is verified.
    Verify,
    /// Signatures were verified when the entries came here, and whoever could change them here could change anything.
    Trust,
}

/// What the newest entry about a name says.
#[derive(Clone, Debug)]
enum Named {
    /// It is this publication.
    Published(usize),
    /// It points at a version, by this move.
    Alias(usize),
    /// It is no more.
    Deleted(Box<Delete>),
}

/// An alias that was pointed at a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    /// Number of the entry, from 1.
    pub height: u64,
    /// The alias.
    pub name: Tag,
    /// When, RFC 3339.
    pub time: String,
    /// By whom.
    pub author: String,
    /// Where to, and why.
    pub alias: Alias,
}

/// Why a version should not be taken into use.
#[derive(Clone, Debug, PartialEq)]
pub struct Yanked {
    /// What is wrong with it.
    pub reason: String,
    /// When it was said, RFC 3339.
    pub time: String,
    /// By whom.
    pub author: String,
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
    /// The key that signed it; `None` where it is not signed.
    pub signer: Option<KeyId>,
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
    /// An entry that somebody made who may not.
    #[error("entry {height} of the history was made by somebody who may not add to it")]
    Unauthorized {
        /// Its number.
        height: u64,
        /// Why not.
        #[source]
        source: Unauthorized,
    },
    /// An entry that its key did not sign.
    #[error("entry {height} of the history is not what key {key} signed")]
    Forged {
        /// Its number.
        height: u64,
        /// The key.
        key: KeyId,
    },
    /// An entry that names keys which cannot be those of a history.
    #[error("entry {height} of the history has a list of keys that is none")]
    Keys {
        /// Its number.
        height: u64,
        /// Why not.
        #[source]
        source: InvalidKeys,
    },
    /// An entry that changes keys without being one that does, or the other way round.
    #[error("entry {height} of the history changes its keys, and is no entry that does")]
    Smuggled {
        /// Its number.
        height: u64,
    },
    /// An entry about a version that is not there.
    #[error("entry {height} of the history speaks of {version}, which is no version by then")]
    Unknown {
        /// Its number.
        height: u64,
        /// The version.
        version: Tag,
    },
}

impl History {
    /// Reads entries, oldest first from height 1, and verifies that each follows the one before it and that whoever
    /// made it may.
    ///
    /// # Errors
    /// The first entry that does not.
    pub fn verify(entries: &[Vec<u8>]) -> Result<Self, MalformedHistory> {
        Self::read(entries, Signatures::Verify)
    }

    /// As [`History::verify`], with or without the signatures.
    ///
    /// # Errors
    /// The first entry that does not follow.
    pub fn read(entries: &[Vec<u8>], signatures: Signatures) -> Result<Self, MalformedHistory> {
        let mut history = Self::default();
        history.extend(entries, signatures)?;
        Ok(history)
    }

    /// Adds entries that were read, as [`History::read`] does. After an error the history is what it was before the
    /// entry that is wrong.
    ///
    /// # Errors
    /// The first entry that does not follow.
    pub fn extend(&mut self, entries: &[Vec<u8>], signatures: Signatures) -> Result<(), MalformedHistory> {
        let mut entries = entries.iter();
        entries.try_for_each(|bytes| self.add(bytes, signatures))
    }

    /// The newest entry.
    #[must_use]
    pub fn head(&self) -> Option<&EntryId> {
        self.head.as_ref()
    }

    /// The first entry: what the history is called, wherever it lies.
    #[must_use]
    pub fn identity(&self) -> Option<&EntryId> {
        self.first.as_ref()
    }

    /// When the newest entry was made, RFC 3339, as its author says.
    #[must_use]
    pub fn time(&self) -> Option<&str> {
        self.time.as_deref()
    }

    /// Who may add to it.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The key that signed the newest entry; `None` where that is not signed.
    #[must_use]
    pub fn signer(&self) -> Option<&KeyId> {
        self.signer.as_ref()
    }

    /// The key of this identity that is or was listed, whether it may sign another one or not.
    #[must_use]
    pub fn known_key(&self, id: &KeyId) -> Option<&PublicKey> {
        self.known.get(id)
    }

    fn add(&mut self, bytes: &[u8], signatures: Signatures) -> Result<(), MalformedHistory> {
        let height = self.height() + 1;
        let written = Written::parse(bytes).map_err(|source| MalformedHistory::Entry { height, source })?;
        let authority = self.follows(&written, signatures)?;
        self.enter(written, authority);
        Ok(())
    }

    /// Whether the entry is the next one, made by somebody who may make it, about something that there is.
    pub(crate) fn follows(
        &self,
        written: &Written,
        signatures: Signatures,
    ) -> Result<Authority, MalformedHistory> {
        let height = self.height() + 1;
        let entry = &written.entry;
        let follows = entry.height() == height
            && entry.history() == self.first.as_ref()
            && entry.parents().iter().eq(self.head.as_ref());
        if !follows {
            return Err(MalformedHistory::Chain { height });
        }
        let authority = self.authorize(height, entry, written.bundle.as_ref(), signatures)?;
        let version = entry.version();
        match entry.operation() {
            Operation::Yank(_) | Operation::Restore(_) if self.version(version).is_none() => {
                let version = version.clone();
                Err(MalformedHistory::Unknown { height, version })
            }
            _ => Ok(authority),
        }
    }

    /// Adds an entry that [`follows`](Self::follows).
    pub(crate) fn enter(&mut self, written: Written, authority: Authority) {
        let Written { id, entry, .. } = written;
        let height = self.height() + 1;
        self.signer.clone_from(&authority.signer);
        let version = entry.version().clone();
        let named = match entry.operation() {
            Operation::Publish(publish) => {
                self.publications.push(Publication {
                    height,
                    id: id.clone(),
                    version: version.clone(),
                    parent: self.publications.last().map(|last| last.version.clone()),
                    time: entry.time().to_owned(),
                    author: entry.author().to_owned(),
                    signer: authority.signer,
                    publish: publish.clone(),
                });
                Some(Named::Published(self.publications.len() - 1))
            }
            Operation::Delete(delete) => Some(Named::Deleted(Box::new(delete.clone()))),
            Operation::Alias(alias) => {
                self.moves.push(Move {
                    height,
                    name: version.clone(),
                    time: entry.time().to_owned(),
                    author: entry.author().to_owned(),
                    alias: alias.clone(),
                });
                Some(Named::Alias(self.moves.len() - 1))
            }
            Operation::Yank(_) | Operation::Restore(_) => self.names.get(&version).cloned(),
            Operation::Keys(_) | Operation::Checkpoint(_) => None,
        };
        self.newest = named.is_some().then(|| version.clone());
        if let Some(named) = named {
            // Whatever is said of a name that is given anew was said of what it was before.
            self.yanked.remove(&version);
            if let Operation::Yank(yank) = entry.operation() {
                let yanked = Yanked {
                    reason: yank.reason.clone(),
                    time: entry.time().to_owned(),
                    author: entry.author().to_owned(),
                };
                self.yanked.insert(version.clone(), yanked);
            }
            self.names.insert(version, named);
        }
        if let Some(keys) = authority.keys {
            let listed = keys.listed().iter().map(|listed| &listed.key);
            self.known
                .extend(listed.map(|key| (key.id().clone(), key.clone())));
            self.keys = keys;
        }
        self.height = height;
        self.time = Some(entry.time().to_owned());
        self.first.get_or_insert_with(|| id.clone());
        self.head = Some(id);
    }

    /// Adds an entry at the end, and gives its bytes. `keys` are those that the history gets by it.
    ///
    /// # Errors
    /// Why `who` may not; nothing has changed then.
    pub(crate) fn push(
        &mut self,
        version: Option<&Tag>,
        who: &Who,
        keys: Option<&Keys>,
        operation: Operation,
    ) -> Result<Vec<u8>, Unauthorized> {
        let seal = self.seal(who, keys.is_some());
        let founding = match seal {
            Some(seal) if self.keys.is_empty() => Some(seal.founding()),
            _ => None,
        };
        let keys = keys.or(founding);
        match seal {
            Some(seal) => self.keys.allow(seal.signer().public().id(), keys)?,
            None if self.keys.is_empty() => {}
            None => return Err(Unauthorized::NoKey),
        }
        let place = Place {
            height: self.height() + 1,
            history: self.first.as_ref(),
            parent: self.head.as_ref(),
        };
        let name = version.cloned().unwrap_or_else(history_name);
        let listed = keys.map(|keys| keys.listed().to_vec());
        let (time, author) = (who.time.clone(), who.author.clone());
        let entry = Entry::new(&name, &place, time, author, listed, operation);
        let bytes = match seal {
            Some(seal) => Bundle::sign(entry.to_bytes(), seal.signer())?.to_bytes(),
            None => entry.to_bytes(),
        };
        self.add(&bytes, Signatures::Trust)
            .expect("an entry made for this place follows");
        Ok(bytes)
    }

    /// Number of entries.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Whether anything ever had the name.
    #[must_use]
    pub fn has(&self, name: &Tag) -> bool {
        self.names.contains_key(name)
    }

    /// The newest entry, if it published a version.
    #[must_use]
    pub fn last(&self) -> Option<&Publication> {
        self.publications.last().filter(|last| last.height == self.height)
    }

    /// The name that the newest entry is about; `None` where it is about the history itself.
    #[must_use]
    pub fn newest(&self) -> Option<&Tag> {
        self.newest.as_ref()
    }

    /// What `version` is now; `None` when it never was, and when it was deleted.
    #[must_use]
    pub fn version(&self, version: &Tag) -> Option<&Publication> {
        match self.names.get(version)? {
            Named::Published(n) => self.publications.get(*n),
            Named::Alias(_) | Named::Deleted(_) => None,
        }
    }

    /// Where the alias `name` points now; `None` for what is no alias.
    #[must_use]
    pub fn alias(&self, name: &Tag) -> Option<&Move> {
        match self.names.get(name)? {
            Named::Alias(n) => self.moves.get(*n),
            Named::Published(_) | Named::Deleted(_) => None,
        }
    }

    /// The aliases as they are now, in order of their names.
    #[must_use]
    pub fn aliases(&self) -> Vec<&Move> {
        let mut aliases: Vec<&Move> = self.names.keys().filter_map(|name| self.alias(name)).collect();
        aliases.sort_by(|a, b| a.name.cmp(&b.name));
        aliases
    }

    /// Every time that an alias was pointed somewhere, oldest first.
    #[must_use]
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Why `version` should not be taken into use, if that has been said.
    #[must_use]
    pub fn yanked(&self, version: &Tag) -> Option<&Yanked> {
        self.yanked.get(version)
    }

    /// The manifest that a name has now, be it a version or an alias.
    #[must_use]
    pub fn manifest(&self, name: &Tag) -> Option<&Descriptor> {
        match self.names.get(name)? {
            Named::Published(n) => self.publications.get(*n).map(Publication::manifest),
            Named::Alias(n) => self.moves.get(*n).map(|moved| &moved.alias.manifest),
            Named::Deleted(_) => None,
        }
    }

    /// Every name that it speaks of, with the manifest that it has now, if it has one.
    pub fn names(&self) -> impl Iterator<Item = (&Tag, Option<&Descriptor>)> {
        self.names.keys().map(|name| (name, self.manifest(name)))
    }

    /// The manifest that stood under `version`, when it was deleted and its name is kept for that alone.
    #[must_use]
    pub fn kept(&self, version: &Tag) -> Option<&Descriptor> {
        match self.names.get(version)? {
            Named::Deleted(delete) if delete.name == NameAfter::Kept => Some(&delete.manifest),
            _ => None,
        }
    }

    /// The versions, newest first. A version that moved is listed once, as it is now; one that was deleted is not.
    #[must_use]
    pub fn newest_first(&self) -> Vec<&Publication> {
        let mut seen = HashSet::new();
        self.publications
            .iter()
            .rev()
            .filter(|p| seen.insert(&p.version) && self.version(&p.version).is_some())
            .collect()
    }

    /// All that was ever published, oldest first, deleted or not.
    #[must_use]
    pub fn publications(&self) -> &[Publication] {
        &self.publications
    }

    /// The highest semantic version that ever was, releases before pre-releases.
    #[must_use]
    pub fn highest(&self) -> Option<SemVer> {
        let versions = self.publications.iter().filter_map(|p| SemVer::parse(&p.version));
        versions.max_by(|a, b| a.cmp(b))
    }

    /// The version after the highest one, raised by `bump`, that never was.
    #[must_use]
    pub fn next(&self, bump: Bump) -> Option<Tag> {
        next(self.highest(), |tag| self.names.contains_key(tag), bump)
    }

    /// A version to propose to somebody whose `version` is taken: the last number that it is written with, raised
    /// until nothing ever had it.
    #[must_use]
    pub fn next_free(&self, version: &Tag) -> Option<Tag> {
        next_free(|tag| self.names.contains_key(tag), version)
    }
}

/// The version after `highest`, raised by `bump` until it is free, as [`History::next`].
#[must_use]
pub fn next(highest: Option<SemVer>, is_taken: impl Fn(&Tag) -> bool, bump: Bump) -> Option<Tag> {
    let mut next = match highest {
        Some(highest) => highest.next(bump)?,
        None => SemVer::first(bump),
    };
    while is_taken(&next.to_tag()) {
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
mod tests;
