//! What has been seen of the histories of registries.
//!
//! A registry can show one history today and another one tomorrow, or to somebody else. So every entry that was read
//! and verified here stays here, and a registry must go on from it: a history that is older, or another one, is refused,
//! and the entries of both are kept for whoever has to find out what happened. `docs/reference/known.md` says how they
//! are kept.

mod files;
mod journal;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use modelkeep_core::{Host, RepoName, content};
use modelkeep_ledger::{Conflict, EntryId, History, MalformedHistory, Seen, Signatures, Written, fork};

use files::Files;

use crate::{
    error::{Exit, Failure},
    report::human,
};

/// A repository of a registry, and what has been seen of it.
pub(crate) struct Known {
    files: Files,
    past: Mutex<Past>,
}

struct Past {
    /// What was seen at this place.
    seen: Option<Seen>,
    /// The entries that were seen of that history, here or elsewhere.
    entries: Vec<Vec<u8>>,
}

/// Why a history is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{place} is not what it was")]
    Conflict {
        place: String,
        #[source]
        source: Box<Conflict>,
        /// Where the entries of both are kept; `None` where they could not be.
        evidence: Option<PathBuf>,
        /// What is to be removed to begin anew.
        files: Vec<PathBuf>,
    },
    #[error("{place} is not to be believed")]
    Disputed {
        place: String,
        #[source]
        source: Box<content::Error>,
        /// Where the entries that show it are kept; `None` where they could not be.
        evidence: Option<PathBuf>,
    },
    #[error("{} says what was seen of {place}, and is damaged", path.display())]
    Damaged { place: String, path: PathBuf },
    #[error("the history of {place} is not one")]
    History {
        place: String,
        #[source]
        source: Box<MalformedHistory>,
    },
    #[error(transparent)]
    Content(#[from] content::Error),
}

impl Known {
    /// What has been seen of `name` on `host`, as the directory of the store keeps it.
    pub(crate) fn recall(store: &Path, host: &Host, name: &RepoName) -> Result<Self, Error> {
        let files = Files::new(store, host, name);
        let seen = files.seen()?;
        let entries = match &seen {
            Some(seen) => files.entries(seen)?,
            None => Vec::new(),
        };
        let past = Mutex::new(Past { seen, entries });
        Ok(Self { files, past })
    }

    /// The entries that are known of the history that was here. They have been verified.
    pub(crate) fn entries(&self) -> Vec<Vec<u8>> {
        self.past().entries.clone()
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the history of `found`, its entries from height 1 on as they are at this place now, verifies what is new,
    /// and remembers it. The signatures of the first `verified` of them have just been verified by whoever read them.
    pub(crate) fn accept(&self, found: Vec<Vec<u8>>, verified: u64) -> Result<History, Error> {
        let mut past = self.past();
        let history = self.go_on(&past, &found, verified)?;
        past.seen = Seen::of(&history);
        past.entries = found;
        Ok(history)
    }

    /// Remembers that `entry` was added, at `height`.
    fn added(&self, height: u64, entry: &[u8]) -> Result<(), Error> {
        let mut entries = self.entries();
        if entries.len() as u64 + 1 == height {
            entries.push(entry.to_vec());
            self.accept(entries, 0)?;
        }
        Ok(())
    }

    fn go_on(&self, past: &Past, found: &[Vec<u8>], verified: u64) -> Result<History, Error> {
        // What has been seen elsewhere of the same history holds here.
        let elsewhere = match (&past.seen, found.first()) {
            (None, Some(first)) => self.files.entries_of(&Written::id_of(first))?,
            _ => Vec::new(),
        };
        let known = match &past.seen {
            Some(_) => &past.entries,
            None => &elsewhere,
        };
        let same = known.iter().zip(found).take_while(|(a, b)| a == b).count();
        let verified = usize::try_from(verified).unwrap_or(usize::MAX).min(found.len());
        let trusted = same.max(verified);
        let malformed = |source| self.broken(source);
        let mut history = History::read(&found[..trusted], Signatures::Trust).map_err(malformed)?;
        history
            .extend(&found[trusted..], Signatures::Verify)
            .map_err(malformed)?;
        for seen in past.seen.iter().chain(&all_of(known)) {
            seen.check(found)
                .map_err(|source| self.conflict(seen, source, known, found))?;
        }
        if let Some(now) = Seen::of(&history)
            && (past.seen.as_ref() != Some(&now) || known.len() < found.len())
        {
            self.remember(&now, found)?;
        }
        Ok(history)
    }

    /// What the journal below says of a history that contradicts itself; its entries are kept.
    fn disputed(&self, error: content::Error) -> Error {
        let content::Error::Conflict { evidence, .. } = &error else {
            return Error::Content(error);
        };
        let sides = evidence.iter().map(|bytes| ("entry", 0, Some(bytes.as_slice())));
        let identity = self.past().seen.as_ref().map(|seen| seen.identity.clone());
        let identity = identity.or(evidence.first().map(|bytes| Written::id_of(bytes)));
        let evidence = identity.and_then(|identity| self.keep(&identity, sides));
        Error::Disputed {
            place: self.files.place(),
            source: Box::new(error),
            evidence,
        }
    }

    fn keep<'a>(
        &self,
        identity: &EntryId,
        sides: impl IntoIterator<Item = (&'a str, u64, Option<&'a [u8]>)>,
    ) -> Option<PathBuf> {
        let kept = self.files.keep_evidence(identity, sides);
        if let Err(error) = &kept {
            let error = human::clean(&human::chain(error));
            human::line(&format!("note: the entries that show it are not kept: {error}"));
        }
        kept.ok()
    }

    /// What is known is no history.
    pub(crate) fn broken(&self, source: MalformedHistory) -> Error {
        Error::History {
            place: self.files.place(),
            source: Box::new(source),
        }
    }

    /// Writes down what has been verified, unless another process has seen more by now.
    fn remember(&self, now: &Seen, found: &[Vec<u8>]) -> Result<(), Error> {
        let written = self.files.change(|files| {
            let theirs = files.entries_of(&now.identity)?;
            if theirs.len() <= found.len() || now.check(&theirs).is_err() {
                if let Some(seen) = &all_of(&theirs) {
                    seen.check(found)
                        .map_err(|source| self.conflict(seen, source, &theirs, found))?;
                }
                if theirs.len() < found.len() {
                    files.write_entries(now, found)?;
                }
            }
            match files.seen()? {
                Some(seen) if seen.identity != now.identity => {
                    let source = Conflict::Another {
                        seen: seen.identity.clone(),
                        found: now.identity.clone(),
                    };
                    Err(self.conflict(&seen, source, &files.entries(&seen)?, found))
                }
                Some(seen) if seen.height >= now.height => Ok(()),
                _ => files.write_seen(now),
            }
        });
        match written {
            // A disk that takes nothing keeps nobody from reading, and must not be silent about what that means.
            Err(Error::Content(error)) => {
                human::line(&format!(
                    "note: what was seen of {} is not remembered: {}",
                    self.files.place(),
                    human::clean(&human::chain(&error))
                ));
                Ok(())
            }
            other => other,
        }
    }

    /// Keeps the entries of both sides where they part.
    fn conflict(&self, seen: &Seen, source: Conflict, known: &[Vec<u8>], found: &[Vec<u8>]) -> Error {
        let (source, heights) = match source {
            Conflict::Forked { .. } => match first_difference(known, found) {
                Some((height, source)) => (source, [height, height]),
                None => (source, [seen.height, seen.height]),
            },
            Conflict::Older { found, .. } => (source, [found + 1, found]),
            Conflict::Another { .. } => (source, [1, 1]),
        };
        let sides = [
            ("seen", heights[0], at(known, heights[0])),
            ("found", heights[1], at(found, heights[1])),
        ];
        let evidence = self.keep(&seen.identity, sides);
        Error::Conflict {
            place: self.files.place(),
            source: Box::new(source),
            evidence,
            files: self.files.all(&seen.identity),
        }
    }
}

/// All that is known.
fn all_of(known: &[Vec<u8>]) -> Option<Seen> {
    Some(Seen {
        identity: Written::id_of(known.first()?),
        height: known.len() as u64,
        head: Written::id_of(known.last()?),
    })
}

fn first_difference(known: &[Vec<u8>], found: &[Vec<u8>]) -> Option<(u64, Conflict)> {
    let height = fork(known, found)?;
    let id = |entries| at(entries, height).map(Written::id_of);
    let (seen, found) = (id(known)?, id(found)?);
    Some((height, Conflict::Forked { height, seen, found }))
}

/// The entry at a height.
fn at(entries: &[Vec<u8>], height: u64) -> Option<&[u8]> {
    let at = usize::try_from(height.checked_sub(1)?).ok()?;
    entries.get(at).map(Vec::as_slice)
}

impl From<Error> for content::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Content(error) => error,
            other => Self::Io {
                doing: "go on from the history that the registry shows".to_owned(),
                source: io::Error::other(other),
            },
        }
    }
}

/// The exit code of an error that was found somewhere below another one, and what to do.
pub(crate) fn advice(error: &Error) -> (Exit, Vec<String>) {
    let listed = |files: &[PathBuf]| {
        let files = files.iter().map(|file| file.display().to_string());
        files.collect::<Vec<_>>().join(" ")
    };
    match error {
        Error::Conflict { evidence, files, .. } => {
            let evidence = evidence.as_ref().map(|directory| {
                format!(
                    "the entries of both are kept in {}: show them to whoever owns the repository",
                    directory.display()
                )
            });
            let anew = format!(
                "if the owner says that this history is the right one, `rm {}`",
                listed(files)
            );
            (Exit::Conflict, evidence.into_iter().chain([anew]).collect())
        }
        Error::Disputed { evidence, .. } => {
            let hints = evidence.iter().map(|directory| {
                format!(
                    "what shows it is kept in {}: show it to whoever owns the repository",
                    directory.display()
                )
            });
            let heal = "what was taken away can be put back: `modelkeep verify HOST/NAME --heal`";
            (Exit::Conflict, hints.chain([heal.to_owned()]).collect())
        }
        Error::Damaged { path, .. } => {
            let hint = format!(
                "`rm {}` takes what the registry shows now for what was seen: ask its owner first whether `modelkeep log` is right",
                path.display()
            );
            (Exit::Damage, vec![hint])
        }
        Error::History { .. } => (Exit::Damage, Vec::new()),
        Error::Content(_) => (Exit::Failed, Vec::new()),
    }
}

/// The error of this module somewhere below `error`. Ports carry it inside of an I/O error.
pub(crate) fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let carried = carried.and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(found) = error.downcast_ref().or(carried) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Content(error) => error.into(),
            error => Self::failed(error),
        }
    }
}
