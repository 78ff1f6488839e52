//! `modelkeep lock`: the only command that changes `modelkeep.lock`.

use std::{collections::BTreeMap, path::Path};

use modelkeep_core::{Descriptor, Reference, Tag, content::Error, name::Target};
use modelkeep_disk::publish;
use modelkeep_ledger::{History, Seen, Signatures};

use crate::{
    args::Lock as Arguments,
    error::{Exit, Failure},
    held,
    lock::{FILE, Lock, Locked, Model, Place, Refused, name_of, place},
    provenance::now,
    publishing,
    report::{Answer, human, json},
    settings::Settings,
    wiring::{self, Endpoint},
};

pub(super) fn run(arguments: &Arguments, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let found = Lock::find(Path::new("."))?;
    let old = found.as_deref().map(Lock::read).transpose()?.unwrap_or_default();
    let path = found.unwrap_or_else(|| FILE.into());
    let mut job = Job {
        settings,
        quiet,
        path: &path,
        lock: old.clone(),
        signed: BTreeMap::new(),
    };
    for (place, tags) in wanted(arguments, settings, &old)? {
        job.lock(&place, &tags)?;
    }
    let Job { lock, signed, .. } = job;
    let changed = lock != old;
    if changed {
        let text = lock.to_text();
        publish::replace(&path, text.as_bytes()).map_err(Error::io(format!("write {}", path.display())))?;
    }
    let report = report(&lock, &path, changed, &signed);
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    Ok(Answer::done(text(&report)))
}

/// What is to be locked, by repository.
fn wanted(
    arguments: &Arguments,
    settings: &Settings,
    old: &Lock,
) -> Result<BTreeMap<String, Vec<Tag>>, Failure> {
    let mut wanted: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
    for text in &arguments.names {
        let reference = wiring::placed(settings, settings.reference(text)?)?;
        match reference.target {
            Target::Tag(tag) => {
                let name = name_of(&(reference.host, reference.name));
                wanted.entry(name).or_default().push(tag);
            }
            Target::Digest(_) => {
                let error =
                    format!("{text} is a digest, which never means anything else: a version is locked");
                return Err(Failure::usage(error));
            }
        }
    }
    if arguments.names.is_empty() {
        for ((repository, version), model) in &old.models {
            let tag = model.alias.as_ref().unwrap_or(version).clone();
            wanted.entry(repository.clone()).or_default().push(tag);
        }
        if wanted.is_empty() {
            return Err(
                Failure::usage("nothing is locked yet").hint("name it: `modelkeep lock NAME:VERSION`")
            );
        }
    }
    Ok(wanted)
}

struct Job<'a> {
    settings: &'a Settings,
    quiet: bool,
    path: &'a Path,
    lock: Lock,
    /// Whether the history of a repository is signed, of those that were read.
    signed: BTreeMap<String, bool>,
}

impl Job<'_> {
    fn note(&self, text: &str) {
        if !self.quiet {
            human::line(&format!("note: {}", human::clean(text)));
        }
    }

    fn lock(&mut self, name: &str, tags: &[Tag]) -> Result<(), Failure> {
        let at = place(name).map_err(|error| Failure::new(Exit::Usage, error))?;
        let endpoint = wiring::repository(self.settings, at.0.as_ref(), &at.1)?;
        let entries = endpoint.entries()?;
        let history = History::read(&entries, Signatures::Trust)?;
        held::check_age(self.settings, &endpoint, &history, name)?;
        self.go_on(name, &history, &entries)?;
        match (history.identity(), history.keys().is_empty()) {
            (None, _) => self.note(&format!("{name} has no history: only the digest is locked")),
            (Some(_), true) => self.note(&format!(
                "the history of {name} is not signed: whoever may push there can add to it"
            )),
            (Some(_), false) => {}
        }
        self.signed.insert(name.to_owned(), !history.keys().is_empty());
        for tag in tags {
            self.lock_version(&endpoint, &history, &at, tag)?;
        }
        Ok(())
    }

    /// The history must be what was locked, with more entries at most, wherever that was.
    fn go_on(&mut self, name: &str, history: &History, entries: &[Vec<u8>]) -> Result<(), Failure> {
        let is = Seen::of(history);
        let is_same = |locked: &Locked| {
            let identity = locked.history.as_ref().map(|seen| &seen.identity);
            identity.is_some() && identity == history.identity()
        };
        let repositories = &self.lock.repositories;
        let elsewhere = repositories
            .iter()
            .find(|(other, locked)| *other != name && is_same(locked));
        let elsewhere = elsewhere.map(|(other, _)| other.clone());
        for locked in [Some(name), elsewhere.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(|name| repositories.get(name))
        {
            if let Some(seen) = &locked.history {
                seen.check(entries)
                    .map_err(|conflict| Refused::new(name, self.path, conflict))?;
            }
        }
        // A history that has moved takes with it what is locked of it.
        if let Some(other) = elsewhere {
            self.lock.repositories.remove(&other);
            let models = std::mem::take(&mut self.lock.models);
            let moved = models.into_iter().map(|((repository, version), model)| {
                let repository = if repository == other {
                    name.to_owned()
                } else {
                    repository
                };
                ((repository, version), model)
            });
            self.lock.models = moved.collect();
            self.note(&format!("{name} has the history that was locked at {other}"));
        }
        let stands = self.lock.repositories.get(name);
        if stands.is_none_or(|stands| stands.history != is) {
            let locked = Locked {
                history: is,
                seen: now(),
            };
            self.lock.repositories.insert(name.to_owned(), locked);
        }
        Ok(())
    }

    fn lock_version(
        &mut self,
        endpoint: &Endpoint,
        history: &History,
        (host, name): &Place,
        tag: &Tag,
    ) -> Result<(), Failure> {
        let reference = Reference {
            host: host.clone(),
            name: name.clone(),
            target: Target::Tag(tag.clone()),
        };
        let (manifest, publication) = held::resolve(endpoint, history, &reference)?;
        let aliased = history.alias(tag).map(|moved| &moved.alias.version);
        let version = aliased.unwrap_or(tag).clone();
        let key = (name_of(&(host.clone(), name.clone())), version.clone());
        if let Some(yanked) = history.yanked(&version).filter(|_| publication.is_some()) {
            let is_locked = self.lock.models.get(&key);
            if is_locked.is_none_or(|model| model.manifest.digest != manifest.digest) {
                return Err(held::refuse(&reference, &manifest, yanked));
            }
            self.note(&format!(
                "{reference} was yanked by {}: {}",
                yanked.author, yanked.reason
            ));
        }
        let root = match &publication {
            Some(publication) => publication.publish.root.clone(),
            None => publishing::Model::of(endpoint.source(), &manifest).root,
        };
        let model = Model {
            alias: (version != *tag).then(|| tag.clone()),
            manifest: Descriptor::plain(&manifest.media_type, manifest.digest, manifest.size),
            root,
            signature: publication
                .as_ref()
                .and_then(|it| it.publish.signature.as_ref())
                .map(|signature| signature.digest.clone()),
            signer: publication.and_then(|publication| publication.signer),
        };
        // An alias that has moved is locked once.
        self.lock.models.retain(|(repository, _), locked| {
            *repository != key.0 || locked.alias.is_none() || locked.alias != model.alias
        });
        self.lock.models.insert(key, model);
        Ok(())
    }
}

fn report(lock: &Lock, path: &Path, changed: bool, signed: &BTreeMap<String, bool>) -> json::Lock {
    let repositories = lock.repositories.iter().map(|(name, locked)| {
        let seen = locked.history.as_ref();
        json::LockedRepository {
            name: name.clone(),
            history: seen.map(|seen| seen.identity.clone()),
            height: seen.map(|seen| seen.height),
            head: seen.map(|seen| seen.head.clone()),
            seen: locked.seen.clone(),
            signed: signed.get(name).copied(),
        }
    });
    let models = lock
        .models
        .iter()
        .map(|((repository, version), model)| json::LockedModel {
            repository: repository.clone(),
            version: version.to_string(),
            alias: model.alias.as_ref().map(Tag::to_string),
            media_type: model.manifest.media_type.clone(),
            digest: model.manifest.digest.clone(),
            size: model.manifest.size,
            content_root: model.root.clone(),
            signature: model.signature.clone(),
            signer: model.signer.as_ref().map(ToString::to_string),
        });
    json::Lock {
        path: path.display().to_string(),
        changed,
        repositories: repositories.collect(),
        models: models.collect(),
    }
}

fn text(report: &json::Lock) -> String {
    let models = report.models.iter().map(|model| {
        let alias = model.alias.as_ref().map(|alias| format!(" ({alias})"));
        let alias = alias.unwrap_or_default();
        format!("{}:{}{alias} {}\n", model.repository, model.version, model.digest)
    });
    models.collect()
}
