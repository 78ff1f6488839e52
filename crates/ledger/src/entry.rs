use std::collections::BTreeMap;

use modelkeep_core::{Descriptor, Digest, Tag, manifest};
use serde::{Deserialize, Serialize};

use crate::{ListedKey, Proposed, keys::history_name};

/// The identity of an entry: the digest of its bytes.
pub type EntryId = Digest;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://modelkeep.dev/history/v1";

/// One entry of a history: an in-toto statement, so that the bytes can be signed as they are.
/// `docs/reference/history.md` describes the format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[serde(rename = "_type")]
    statement: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: Tag,
    digest: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Predicate {
    height: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<EntryId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parents: Vec<EntryId>,
    time: String,
    author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<ListedKey>>,
    #[serde(flatten)]
    operation: Operation,
}

/// What an entry did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Gave a version its manifest.
    Publish(Publish),
    /// Took a version away.
    Delete(Delete),
    /// Pointed a name that may move at a version.
    Alias(Alias),
    /// Advised against a version.
    Yank(Yank),
    /// Took the advice back.
    Restore(Restore),
    /// Changed the keys of the history.
    Keys(Note),
    /// Said that the history is still what it is.
    Checkpoint(Note),
}

impl Operation {
    /// The manifest that the version had by it, or had until then; none where it is about the history itself.
    #[must_use]
    pub fn manifest(&self) -> Option<&Descriptor> {
        match self {
            Self::Publish(publish) => Some(&publish.manifest),
            Self::Delete(delete) => Some(&delete.manifest),
            Self::Alias(alias) => Some(&alias.manifest),
            Self::Yank(yank) => Some(&yank.manifest),
            Self::Restore(restore) => Some(&restore.manifest),
            Self::Keys(_) | Self::Checkpoint(_) => None,
        }
    }
}

/// What is said of an entry that is about the history itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Why, as the author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A name that points at a version, and may be pointed at another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    /// The manifest or index that the version has.
    pub manifest: Descriptor,
    /// The version.
    pub version: Tag,
    /// Why, as the author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A version that should not be taken into use any more. It stays what it is, and can be fetched by digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Yank {
    /// The manifest or index that the version has.
    pub manifest: Descriptor,
    /// What is wrong with it.
    pub reason: String,
}

/// A version that may be taken into use again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restore {
    /// The manifest or index that the version has.
    pub manifest: Descriptor,
}

/// A version that is no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delete {
    /// The manifest or index that the version named.
    pub manifest: Descriptor,
    /// What becomes of the name.
    pub name: NameAfter,
}

/// What becomes of the name of a version that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameAfter {
    /// It can be given to anything.
    Free,
    /// It can be given back to the same manifest, and to nothing else.
    Kept,
}

/// A version and what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// The manifest or index that the version names.
    pub manifest: Descriptor,
    /// The content root of the model; images that something else made have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// The image that the model lies on, where it lies on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Where it was copied from: a reference with a digest. What is made here has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The OpenSSF Model Signing bundle over the files of the model, a blob of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Box<Descriptor>>,
    /// What the author says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Measured figures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Parameters of the training.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

impl Publish {
    /// A manifest of which nothing is said.
    #[must_use]
    pub fn of(manifest: Descriptor) -> Self {
        Self {
            manifest,
            root: None,
            base: None,
            from: None,
            signature: None,
            message: None,
            metrics: BTreeMap::new(),
            params: BTreeMap::new(),
        }
    }

    /// What it is to the rule of publishing.
    #[must_use]
    pub fn proposed(&self) -> Proposed<'_> {
        Proposed {
            manifest: &self.manifest.digest,
            root: self.root.as_ref(),
            base: self.base.as_ref().map(|base| &base.digest),
        }
    }
}

/// The image that a model lies on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// What it was called, where that means something to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digest of its manifest or index.
    pub digest: Digest,
}

/// Bytes that are no entry.
#[derive(Debug, thiserror::Error)]
pub enum MalformedEntry {
    /// Not JSON of the shape.
    #[error("it is not what the format of histories says; a newer modelkeep may have written it")]
    Json(#[from] serde_json::Error),
    /// A statement about something else.
    #[error("it is a statement of type {0:?}, not an entry of a history")]
    Type(String),
    /// The subject is not what the entry is about.
    #[error("its subject is not what it is about")]
    Subject,
}

impl Entry {
    pub(crate) fn new(
        version: &Tag,
        place: &Place<'_>,
        time: String,
        author: String,
        keys: Option<Vec<ListedKey>>,
        operation: Operation,
    ) -> Self {
        let manifest = operation.manifest().map(|manifest| &manifest.digest);
        let digest = manifest.or(place.history);
        let digest = digest.expect("the first entry is about a version");
        Self {
            statement: STATEMENT.to_owned(),
            subject: vec![Subject {
                name: version.clone(),
                digest: BTreeMap::from([(digest.algorithm().as_str().to_owned(), digest.hex().to_owned())]),
            }],
            predicate_type: PREDICATE.to_owned(),
            predicate: Predicate {
                height: place.height,
                history: place.history.cloned(),
                parents: place.parent.cloned().into_iter().collect(),
                time,
                author,
                keys,
                operation,
            },
        }
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// Whatever makes it none.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedEntry> {
        let entry: Self = serde_json::from_slice(bytes)?;
        for (found, expected) in [(&entry.statement, STATEMENT), (&entry.predicate_type, PREDICATE)] {
            if found != expected {
                return Err(MalformedEntry::Type(found.chars().take(100).collect()));
            }
        }
        let manifest = entry.predicate.operation.manifest();
        // What is about the history has that as its subject, under a name that no version has.
        let is_named = manifest.is_some()
            || entry
                .subject
                .first()
                .is_some_and(|subject| subject.name == history_name());
        let digest = manifest.map(|manifest| &manifest.digest).or(entry.history());
        let digest = digest.ok_or(MalformedEntry::Subject)?;
        let digest = (digest.algorithm().as_str(), digest.hex());
        match entry.subject.as_slice() {
            [subject] if subject.digest.len() == 1 && is_named => {
                let named = subject
                    .digest
                    .iter()
                    .map(|(name, hex)| (name.as_str(), hex.as_str()));
                if named.eq([digest]) {
                    Ok(entry)
                } else {
                    Err(MalformedEntry::Subject)
                }
            }
            _ => Err(MalformedEntry::Subject),
        }
    }

    /// The bytes of the entry.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        manifest::to_json(self)
    }

    /// The version that the entry is about; a reserved name where it is about the history itself.
    #[must_use]
    pub fn version(&self) -> &Tag {
        &self.subject[0].name
    }

    /// Its number in the history, from 1.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.predicate.height
    }

    /// The first entry of the history; `None` in the first itself.
    #[must_use]
    pub fn history(&self) -> Option<&EntryId> {
        self.predicate.history.as_ref()
    }

    /// The entries before it.
    #[must_use]
    pub fn parents(&self) -> &[EntryId] {
        &self.predicate.parents
    }

    /// When it was made, RFC 3339.
    #[must_use]
    pub fn time(&self) -> &str {
        &self.predicate.time
    }

    /// Who made it.
    #[must_use]
    pub fn author(&self) -> &str {
        &self.predicate.author
    }

    /// The keys that the history has from it on; `None` where they stay what they are.
    #[must_use]
    pub fn keys(&self) -> Option<&[ListedKey]> {
        self.predicate.keys.as_deref()
    }

    /// What it did.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.predicate.operation
    }
}

/// Where in a history an entry comes.
pub(crate) struct Place<'a> {
    pub(crate) height: u64,
    pub(crate) history: Option<&'a EntryId>,
    pub(crate) parent: Option<&'a EntryId>,
}

#[cfg(test)]
mod tests {
    use modelkeep_core::media;

    use super::*;

    fn entry() -> Entry {
        entry_of(Operation::Publish(Publish {
            manifest: Descriptor::of(media::OCI_MANIFEST, b"{}"),
            root: Some(Digest::of(b"root")),
            base: Some(Base {
                name: Some("ghcr.io/team/server:2".to_owned()),
                digest: Digest::of(b"base"),
            }),
            from: Some(format!("oci:layout@{}", Digest::of(b"{}"))),
            signature: Some(Box::new(Descriptor::of("application/json", b"[]"))),
            message: Some("first".to_owned()),
            metrics: BTreeMap::from([("f1".to_owned(), 0.91)]),
            params: BTreeMap::new(),
        }))
    }

    fn entry_of(operation: Operation) -> Entry {
        let place = Place {
            height: 1,
            history: None,
            parent: None,
        };
        let version = "1.0".parse().unwrap();
        Entry::new(
            &version,
            &place,
            "2026-11-01T00:00:00Z".to_owned(),
            "a".to_owned(),
            None,
            operation,
        )
    }

    #[test]
    fn an_entry_reads_what_it_wrote() {
        let delete = |name| {
            entry_of(Operation::Delete(Delete {
                manifest: Descriptor::of(media::OCI_MANIFEST, b"{}"),
                name,
            }))
        };
        for entry in [entry(), delete(NameAfter::Free), delete(NameAfter::Kept)] {
            assert_eq!(Entry::parse(&entry.to_bytes()).unwrap(), entry);
        }
        let text = String::from_utf8(delete(NameAfter::Kept).to_bytes()).unwrap();
        assert!(
            text.contains(r#""op":"delete""#) && text.contains(r#""name":"kept""#),
            "{text}"
        );
    }

    #[test]
    fn an_entry_about_something_else_is_refused() {
        let text = String::from_utf8(entry().to_bytes()).unwrap();
        let parse = |from: &str, to: &str| Entry::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(
            parse("history/v1", "history/v2"),
            MalformedEntry::Type(_)
        ));
        assert!(matches!(
            parse("\"publish\"", "\"burn\""),
            MalformedEntry::Json(_)
        ));
        assert!(matches!(
            parse("\"sha256\":\"", "\"sha512\":\""),
            MalformedEntry::Subject
        ));
        assert!(matches!(
            parse("\"name\":\"1.0\"", "\"name\":\"\""),
            MalformedEntry::Json(_)
        ));
        assert!(matches!(parse("{", ""), MalformedEntry::Json(_)));
    }
}
