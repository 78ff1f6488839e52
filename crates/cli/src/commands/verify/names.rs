//! The tags of a repository against its history, and how they are put right.

use std::path::Path;

use modelkeep_core::{
    Descriptor, Digest, Reference, Tag, annotation,
    content::{Error, Source},
    name::Target,
};
use modelkeep_ledger::History;
use modelkeep_transfer::in_parallel;

use super::{Findings, Subject, entries, open, workers};
use crate::{
    error::{Exit, Failure},
    held,
    lock::{Lock, Place, Refused, name_of},
    settings::Settings,
    wiring::{self, Endpoint, Remote},
};

/// A tag that is not what the history says.
struct Astray {
    tag: Tag,
    found: Option<Digest>,
    expected: Option<Descriptor>,
}

fn reference((host, name): &Place, tag: &Tag) -> Reference {
    Reference {
        host: host.clone(),
        name: name.clone(),
        target: Target::Tag(tag.clone()),
    }
}

impl Astray {
    fn text(&self, place: &Place, history: &History) -> String {
        let reference = reference(place, &self.tag);
        let alias = history.alias(&self.tag);
        let alias = alias.map(|moved| format!(" (an alias of {})", moved.alias.version));
        let alias = alias.unwrap_or_default();
        match (&self.found, &self.expected) {
            (Some(found), Some(expected)) => {
                format!(
                    "{reference}: the tag says {found}, the history {}{alias}",
                    expected.digest
                )
            }
            (Some(found), None) => {
                format!("{reference}: the tag says {found}, the history that it was deleted")
            }
            (None, expected) => {
                let expected = expected.as_ref().map(|expected| expected.digest.to_string());
                let expected = expected.unwrap_or_default();
                format!("{reference}: the tag is gone; the history says {expected}{alias}")
            }
        }
    }
}

/// What is wrong with a tag, or what kept it from being looked at.
type Looked = Result<Astray, (Tag, Error)>;

/// The tags that are not what the history says, of those that are asked for.
fn astray(
    endpoint: &Endpoint,
    history: &History,
    asked: &dyn Fn(&Tag) -> bool,
) -> Result<Vec<Looked>, Failure> {
    let names = history.names().filter(|(tag, _)| asked(tag));
    let mut names: Vec<(Tag, Option<Descriptor>)> = names
        .map(|(tag, manifest)| (tag.clone(), manifest.cloned()))
        .collect();
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    // In the store, whoever has just added the newest entry is about to write its tag, or the next one does.
    let is_next = |tag: &Tag| matches!(endpoint, Endpoint::Store(_)) && history.newest() == Some(tag);
    let found = in_parallel(&names, workers(), |(tag, expected)| {
        let found = match endpoint.names().resolve(tag) {
            Ok(found) => found.map(|found| found.digest),
            Err(error) => return Ok(Some(Err((tag.clone(), error)))),
        };
        if found.as_ref() == expected.as_ref().map(|expected| &expected.digest) {
            return Ok(None);
        }
        if is_next(tag) && (found.is_none() || history.version(tag).is_none()) {
            return Ok(None);
        }
        Ok::<_, Failure>(Some(Ok(Astray {
            tag: tag.clone(),
            found,
            expected: expected.clone(),
        })))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Whoever has a lock file has seen the history, or somebody else has.
fn check_lock(name: &str, entries: &[Vec<u8>]) -> Result<(), Failure> {
    let Some(path) = Lock::find(Path::new("."))? else {
        return Ok(());
    };
    let lock = Lock::read(&path)?;
    let seen = lock
        .repositories
        .get(name)
        .and_then(|locked| locked.history.as_ref());
    match seen.map(|seen| seen.check(entries)) {
        Some(Err(conflict)) => Err(Refused::new(name, &path, conflict).into()),
        _ => Ok(()),
    }
}

impl Findings {
    /// The history, all of it verified with its signatures. Entries that were seen and are gone are damage, and the
    /// history is what it was; another history is an error. One that is broken in itself is damage, and no history.
    pub(super) fn history(&mut self, endpoint: &Endpoint, place: &Place) -> Result<History, Failure> {
        let name = name_of(place);
        // What has its place is known then, and what was known before is in any case.
        let read = endpoint.entries();
        let missing = match endpoint {
            Endpoint::Remote(remote) => entries::missing(remote)?,
            Endpoint::Store(_) => Vec::new(),
        };
        self.problems
            .extend(missing.iter().map(|missing| missing.text(&name)));
        let entries = match (read, endpoint) {
            (Ok(entries), _) => entries,
            (Err(failure), Endpoint::Remote(remote)) if failure.exit == Exit::Conflict => {
                match missing.is_empty() {
                    true => return Err(failure),
                    false => remote.known()?.entries(),
                }
            }
            (Err(failure), _) => {
                self.problem(&format!("history of {name}"), &*failure.error);
                return Ok(History::default());
            }
        };
        for tampered in endpoint.tampered()? {
            if !missing.iter().any(|missing| missing.is_at(&tampered.tag)) {
                let what = reference(place, &tampered.tag);
                self.unlisted.push(format!("{what}: {}", tampered.reason));
            }
        }
        check_lock(&name, &entries)?;
        Ok(History::verify(&entries).unwrap_or_else(|error| {
            self.problem(&format!("history of {name}"), &error);
            History::default()
        }))
    }

    /// Everything that the names and the history of a repository reach.
    pub(super) fn repository(&mut self, endpoint: &Endpoint, place: &Place) -> Result<(), Failure> {
        self.repositories += 1;
        // What one repository may read, another may not.
        self.images.clear();
        let name = name_of(place);
        // Before the history, which has the entry of each of them by then, whoever publishes meanwhile.
        let tags = endpoint.names().tags();
        let history = self.history(endpoint, place)?;
        for publication in history.newest_first() {
            self.versions += 1;
            let what = reference(place, &publication.version).to_string();
            self.image(
                endpoint.source(),
                publication.manifest(),
                Some(publication),
                &what,
            );
            self.signature(endpoint.source(), &history, publication, &what);
        }
        self.names(endpoint, place, &history, &|_| true)?;
        match tags {
            Ok(tags) => {
                for tag in tags.iter().filter(|tag| history.version(tag).is_none()) {
                    self.other_tag(endpoint, place, &history, tag);
                }
            }
            Err(error) => self.problem(&format!("tags of {name}"), &error),
        }
        let Endpoint::Store(repository) = endpoint else {
            return Ok(());
        };
        match repository.manifests() {
            Ok(manifests) => {
                for manifest in manifests {
                    let what = format!("{name}@{}", manifest.digest);
                    self.image(endpoint.source(), &manifest, None, &what);
                }
            }
            Err(error) => self.problem(&format!("manifests of {name}"), &error),
        }
        Ok(())
    }

    /// A tag that is no version by the history.
    fn other_tag(&mut self, endpoint: &Endpoint, place: &Place, history: &History, tag: &Tag) {
        let is_remote = matches!(endpoint, Endpoint::Remote(_));
        if is_remote && tag.is_reserved() {
            return;
        }
        let what = reference(place, tag).to_string();
        let manifest = match endpoint.names().resolve(tag) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return,
            Err(error) => return self.problem(&what, &error),
        };
        // Anybody may have put it there, and nobody of ours reads it.
        if is_remote && !history.keys().is_empty() && !history.has(tag) {
            return self.unlisted.push(format!("{what} {}", manifest.digest));
        }
        self.versions += u64::from(is_remote && !history.has(tag));
        self.image(endpoint.source(), &manifest, None, &what);
        if !history.has(tag) && (!is_remote || history.height() > 0) {
            self.lost(endpoint.source(), &manifest, tag, &what);
        }
    }

    /// A tag outside the history must not point at what was published as a version of that name: an entry is there
    /// before its tag, so the newest ones have been taken away.
    fn lost(&mut self, source: &dyn Source, manifest: &Descriptor, tag: &Tag, what: &str) {
        let Ok(image) = held::read_manifest(source, manifest) else {
            return;
        };
        let version = image.annotations.get(annotation::VERSION);
        if image.annotations.contains_key(annotation::ROOT) && version.is_some_and(|v| v == tag.as_str()) {
            self.problems.push(format!(
                "{what}: it was published, and the history does not have it"
            ));
        }
    }

    /// The tags must say what the history says.
    pub(super) fn names(
        &mut self,
        endpoint: &Endpoint,
        place: &Place,
        history: &History,
        asked: &dyn Fn(&Tag) -> bool,
    ) -> Result<(), Failure> {
        for found in astray(endpoint, history, asked)? {
            match found {
                Ok(astray) => self.problems.push(astray.text(place, history)),
                Err((tag, error)) => self.problem(&reference(place, &tag).to_string(), &error),
            }
        }
        Ok(())
    }

    /// Puts right what is wrong with the tags, before everything is looked at.
    pub(super) fn heal(&mut self, subject: &Subject, settings: &Settings) -> Result<(), Failure> {
        match subject {
            Subject::All => {
                for name in open(settings)?.repositories()? {
                    self.heal_tags(settings, &(None, name), &|_| true)?;
                }
                Ok(())
            }
            Subject::Repository(place) => self.heal_tags(settings, place, &|_| true),
            Subject::Version(text) => {
                let reference = wiring::placed(settings, settings.reference(text)?)?;
                let Target::Tag(tag) = reference.target else {
                    return Ok(());
                };
                let place = (reference.host, reference.name);
                self.heal_tags(settings, &place, &|name| *name == tag)
            }
        }
    }

    fn heal_tags(
        &mut self,
        settings: &Settings,
        place: &Place,
        asked: &dyn Fn(&Tag) -> bool,
    ) -> Result<(), Failure> {
        let endpoint = wiring::to_change(settings, place.0.as_ref(), &place.1)?;
        if let Endpoint::Remote(remote) = &endpoint {
            // What has its place is known then, and can be put back where its tag is not what it says.
            let _ = endpoint.history();
            if !self.heal_entries(remote, &name_of(place))? {
                return Ok(());
            }
        }
        let history = endpoint.history()?;
        let texts = |found: Vec<Looked>| -> Vec<String> {
            let astray = found.into_iter().filter_map(Result::ok);
            astray.map(|astray| astray.text(place, &history)).collect()
        };
        let before = texts(astray(&endpoint, &history, asked)?);
        if before.is_empty() {
            return Ok(());
        }
        for (tag, error) in modelkeep_ledger::heal(endpoint.journal(), asked)? {
            let what = reference(place, &tag);
            self.problem(&format!("{what} cannot be put right"), &error);
        }
        let after = texts(astray(&endpoint, &history, asked)?);
        self.healed
            .extend(before.into_iter().filter(|text| !after.contains(text)));
        Ok(())
    }

    /// Whether all entries that were seen are there.
    fn heal_entries(&mut self, remote: &Remote, name: &str) -> Result<bool, Failure> {
        let mut is_whole = true;
        for missing in entries::missing(remote)? {
            match entries::put_back(remote, &missing) {
                Ok(()) => self.healed.push(missing.text(name)),
                Err(error) => {
                    is_whole = false;
                    let what = format!("{} and cannot be put back", missing.text(name));
                    self.problem(&what, &error);
                }
            }
        }
        Ok(is_whole)
    }
}
