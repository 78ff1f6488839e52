//! `modelkeep.lock`: what a consumer has decided to use, by digest, and how much of each history that was.
//!
//! The file belongs into the consumer's version control. It is read strictly: what `modelkeep lock` did not write is
//! refused, down to the byte. `docs/reference/lock.md` describes it.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use modelkeep_core::{Descriptor, Digest, Host, Reference, RepoName, Tag, media, name::Target};
use modelkeep_ledger::{Conflict, EntryId, Seen, signing::KeyId};
use serde::Deserialize;

use crate::error::{Exit, Failure};

/// What the file is called.
pub(crate) const FILE: &str = "modelkeep.lock";

const VERSION: u64 = 1;

/// The most bytes that are read: some ten thousand models.
const MOST_BYTES: u64 = 8 << 20;

const HEAD: &str = "\
# What `modelkeep lock` has locked. Keep it under version control, and change it with `modelkeep lock` alone.
version = 1
";

/// A repository and where it is: `None` is the embedded store.
pub(crate) type Place = (Option<Host>, RepoName);

/// What is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) repositories: BTreeMap<String, Locked>,
    /// By repository and version.
    pub(crate) models: BTreeMap<(String, Tag), Model>,
}

/// A repository, and how much of its history had been seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Locked {
    /// `None` where it had no history.
    pub(crate) history: Option<Seen>,
    /// When that was, RFC 3339.
    pub(crate) seen: String,
}

/// A version of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    /// The alias that was asked for, if it was one.
    pub(crate) alias: Option<Tag>,
    pub(crate) manifest: Descriptor,
    /// The content root; images that something else made have none.
    pub(crate) root: Option<Digest>,
    /// The bundle over the files of the model, where there is one.
    pub(crate) signature: Option<Digest>,
    /// The key that signed the entry of the version; `None` where the history is not signed.
    pub(crate) signer: Option<KeyId>,
}

/// Why a file is no lock file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not what `modelkeep lock` writes", path.display())]
    Malformed {
        path: PathBuf,
        #[source]
        source: Malformed,
    },
}

/// A history that is not what was locked.
#[derive(Debug, thiserror::Error)]
#[error("{place} is not what {} says that it was", path.display())]
pub(crate) struct Refused {
    place: String,
    path: PathBuf,
    source: Conflict,
}

impl Refused {
    pub(crate) fn new(place: &str, path: &Path, source: Conflict) -> Self {
        Self {
            place: place.to_owned(),
            path: path.to_owned(),
            source,
        }
    }
}

impl From<Refused> for Failure {
    fn from(error: Refused) -> Self {
        Self::new(Exit::Conflict, error)
            .hint(
                "keep the file, and show it to whoever owns the repository: it says what was there, and when",
            )
            .hint("what is locked can be had as before: `modelkeep pull --locked`")
    }
}

/// Text that is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it has more than {MOST_BYTES} bytes")]
    Size,
    #[error("it is not the TOML that it should be")]
    Toml(#[from] Box<toml::de::Error>),
    #[error("it has version {0}, and this modelkeep reads {VERSION}")]
    Version(u64),
    #[error("{0} is no repository")]
    Place(String),
    #[error("{0} is locked, and its repository is not")]
    Repository(String),
    #[error("{0:?} is not the media type of a manifest")]
    MediaType(String),
    #[error("{0} has part of a history")]
    History(String),
    #[error("it has been changed: line {line} should be {expected:?}")]
    Changed { line: usize, expected: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    #[serde(default)]
    repository: Vec<RepositoryTable>,
    #[serde(default)]
    model: Vec<ModelTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RepositoryTable {
    name: String,
    history: Option<EntryId>,
    height: Option<u64>,
    head: Option<EntryId>,
    seen: String,
    #[serde(rename = "check")]
    _check: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelTable {
    repository: String,
    version: Tag,
    alias: Option<Tag>,
    media_type: String,
    manifest: Digest,
    size: u64,
    root: Option<Digest>,
    signature: Option<Digest>,
    signer: Option<String>,
    #[serde(rename = "check")]
    _check: String,
}

impl Lock {
    /// The file in the working directory or in the nearest of its parents that has one.
    pub(crate) fn find(directory: &Path) -> Result<Option<PathBuf>, LockError> {
        let directory = std::path::absolute(directory).map_err(|source| LockError::Read {
            path: directory.to_owned(),
            source,
        })?;
        let files = directory.ancestors().map(|directory| directory.join(FILE));
        Ok(files.into_iter().find(|file| file.is_file()))
    }

    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, LockError> {
        let read = |source| LockError::Read {
            path: path.to_owned(),
            source,
        };
        let malformed = |source| LockError::Malformed {
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(read)?.len() > MOST_BYTES {
            return Err(malformed(Malformed::Size));
        }
        let text = fs::read_to_string(path).map_err(read)?;
        Self::parse(&text).map_err(malformed)
    }

    /// Reads what [`Lock::to_text`] made, and nothing else.
    fn parse(text: &str) -> Result<Self, Malformed> {
        let document: Document = toml::from_str(text).map_err(Box::new)?;
        if document.version != VERSION {
            return Err(Malformed::Version(document.version));
        }
        let mut lock = Self::default();
        for table in document.repository {
            place(&table.name)?;
            let history = match (table.history, table.height, table.head) {
                (Some(identity), Some(height), Some(head)) => Some(Seen {
                    identity,
                    height,
                    head,
                }),
                (None, None, None) => None,
                _ => return Err(Malformed::History(table.name)),
            };
            let locked = Locked {
                history,
                seen: table.seen,
            };
            lock.repositories.insert(table.name, locked);
        }
        for table in document.model {
            if !lock.repositories.contains_key(&table.repository) {
                return Err(Malformed::Repository(format!(
                    "{}:{}",
                    table.repository, table.version
                )));
            }
            if !media::is_manifest(&table.media_type) {
                return Err(Malformed::MediaType(table.media_type));
            }
            let model = Model {
                alias: table.alias,
                manifest: Descriptor::plain(&table.media_type, table.manifest, table.size),
                root: table.root,
                signature: table.signature,
                // What is no key id has another text, which is noticed below.
                signer: table.signer.and_then(|signer| signer.parse().ok()),
            };
            lock.models.insert((table.repository, table.version), model);
        }
        // Comments, order, checks: all of it is as it was written, or somebody has changed something.
        let expected = lock.to_text();
        if expected != text {
            let mut lines = expected
                .lines()
                .chain([""])
                .zip(text.lines().chain([""]))
                .zip(1..);
            let (expected, line) = lines
                .find(|((expected, found), _)| expected != found)
                .map_or((String::new(), 1), |((expected, _), line)| {
                    (expected.to_owned(), line)
                });
            return Err(Malformed::Changed { line, expected });
        }
        Ok(lock)
    }

    /// The file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, locked) in &self.repositories {
            let mut table = format!("name = \"{name}\"\n");
            if let Some(seen) = &locked.history {
                let Seen {
                    identity,
                    height,
                    head,
                } = seen;
                let _ = write!(
                    table,
                    "history = \"{identity}\"\nheight = {height}\nhead = \"{head}\"\n"
                );
            }
            let _ = writeln!(table, "seen = \"{}\"", locked.seen);
            push(&mut text, "repository", &table);
        }
        for ((repository, version), model) in &self.models {
            let mut table = format!("repository = \"{repository}\"\nversion = \"{version}\"\n");
            if let Some(alias) = &model.alias {
                let _ = writeln!(table, "alias = \"{alias}\"");
            }
            let Descriptor {
                media_type,
                digest,
                size,
                ..
            } = &model.manifest;
            let _ = write!(
                table,
                "media_type = \"{media_type}\"\nmanifest = \"{digest}\"\nsize = {size}\n"
            );
            let signer = model.signer.as_ref().map(ToString::to_string);
            let digests = [("root", &model.root), ("signature", &model.signature)];
            let digests = digests.map(|(name, digest)| (name, digest.as_ref().map(ToString::to_string)));
            for (name, value) in digests.into_iter().chain([("signer", signer)]) {
                if let Some(value) = value {
                    let _ = writeln!(table, "{name} = \"{value}\"");
                }
            }
            push(&mut text, "model", &table);
        }
        text
    }

    /// The models that `text` names, all without one: by version or alias, with or without the repository.
    pub(crate) fn models_named(&self, text: Option<&str>) -> Vec<(&(String, Tag), &Model)> {
        let is_named = |(repository, version): &(String, Tag), model: &Model, text: &str| {
            let names = [Some(version), model.alias.as_ref()];
            names.into_iter().flatten().any(|name| {
                let with_place = format!("{repository}:{name}");
                let short = Target::Tag(name.clone());
                let (_, name_alone) = place(repository).unwrap_or_else(|_| unreachable!("it was parsed"));
                let without_host = Reference {
                    host: None,
                    name: name_alone,
                    target: short,
                };
                text == name.as_str() || text == with_place || text == without_host.to_string()
            })
        };
        let models = self.models.iter();
        models
            .filter(|(key, model)| text.is_none_or(|text| is_named(key, model, text)))
            .collect()
    }
}

/// A table, and what tells whether it was changed.
fn push(text: &mut String, name: &str, table: &str) {
    let digest = Digest::of(table.as_bytes());
    let check = &digest.hex()[..16];
    let _ = write!(text, "\n[[{name}]]\n{table}check = \"{check}\"\n");
}

/// How a repository is written.
pub(crate) fn name_of((host, name): &Place) -> String {
    match host {
        Some(host) => format!("{host}/{name}"),
        None => name.to_string(),
    }
}

/// The repository that is written so.
pub(crate) fn place(text: &str) -> Result<Place, Malformed> {
    Reference::split_name(text).map_err(|_| Malformed::Place(text.to_owned()))
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let hint = match &error {
            LockError::Read { .. } => return Self::failed(error),
            LockError::Malformed {
                source: Malformed::Version(_),
                ..
            } => return Self::new(Exit::Usage, error).hint("use a newer modelkeep"),
            LockError::Malformed { .. } => "take the file from version control again, then `modelkeep lock`",
        };
        Self::new(Exit::Damage, error).hint(hint)
    }
}
