//! `modelkeep verify`

use std::collections::BTreeMap;

use modelkeep_core::{
    Contents, Descriptor, Digest, Document, Reference,
    content::{Error, Names},
};
use modelkeep_ledger::{History, Publication, PublishError};
use modelkeep_store::{Repository, Store};
use modelkeep_transfer::in_parallel;

use super::workers;
use crate::{
    args::Verify,
    error::{Exit, Failure},
    held::{self, Held, read_document},
    report::{Answer, human, json, progress::Progress},
    settings::Settings,
    wiring,
};

/// What is to be read, and what was found without reading blobs.
#[derive(Default)]
struct Findings {
    blobs: BTreeMap<Digest, u64>,
    problems: Vec<String>,
    repositories: u64,
    versions: u64,
}

pub(super) fn run(arguments: &Verify, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let mut findings = Findings::default();
    let store = match &arguments.version {
        Some(text) => {
            let held = Held::find(settings, text)?;
            findings.versions = 1;
            let what = held.reference.to_string();
            findings.image(&held.repository, &held.root, &what);
            if let Some(publication) = &held.publication {
                let history = modelkeep_ledger::read(&held.repository)?;
                findings.tag(&held.repository, &held.reference, &history, publication);
            }
            open(settings)?
        }
        None if arguments.all => {
            wiring::embedded(settings, None)?;
            let store = open(settings)?;
            for name in store.repositories()? {
                if let Some(repository) = store.repository(&name)? {
                    findings.repository(&repository);
                }
            }
            for blob in store.blobs()? {
                let (digest, size) = blob?;
                findings.blobs.entry(digest).or_insert(size);
            }
            store
        }
        None => {
            let repository = wiring::repository(settings, None, settings.repository_name()?)?;
            findings.repository(&repository);
            open(settings)?
        }
    };
    let report = findings.read(&store, quiet || arguments.json.json)?;
    let exit = if report.ok { Exit::Done } else { Exit::Damage };
    let answer = if arguments.json.json {
        json::answer(&report)
    } else {
        Answer::done(text(&report))
    };
    Ok(Answer { exit, ..answer })
}

fn open(settings: &Settings) -> Result<Store, Failure> {
    Ok(Store::open(&settings.store.value)?)
}

impl Findings {
    /// Everything that the names and the history of a repository reach.
    fn repository(&mut self, repository: &Repository) {
        self.repositories += 1;
        let name = repository.name();
        let history = match modelkeep_ledger::read(repository) {
            Ok(history) => history,
            Err(PublishError::Content(error)) => return self.problem(&format!("history of {name}"), &error),
            Err(error) => return self.problem(&format!("history of {name}"), &error),
        };
        for publication in history.newest_first() {
            self.versions += 1;
            let reference = Reference {
                host: None,
                name: name.clone(),
                target: modelkeep_core::name::Target::Tag(publication.version.clone()),
            };
            self.image(repository, publication.manifest(), &reference.to_string());
            self.tag(repository, &reference, &history, publication);
        }
        match repository.manifests() {
            Ok(manifests) => {
                for manifest in manifests {
                    self.image(repository, &manifest, &format!("{name}@{}", manifest.digest));
                }
            }
            Err(error) => self.problem(&format!("manifests of {name}"), &error),
        }
    }

    /// A manifest or index and all that it needs.
    fn image(&mut self, repository: &Repository, root: &Descriptor, what: &str) {
        if self.blobs.insert(root.digest.clone(), root.size).is_some() {
            return;
        }
        match read_document(repository, root) {
            Ok(Document::Image(manifest)) => {
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    self.blobs.insert(blob.digest.clone(), blob.size);
                }
                self.contents(repository, root, what);
            }
            Ok(Document::Index(index)) => {
                for child in &index.manifests {
                    self.image(repository, child, what);
                }
            }
            Err(error) => self.problem(what, &error),
        }
    }

    /// The contents list must be whole, and the files in it must lie in its layers. One that is about other layers came
    /// with an image that another tool has packed again.
    fn contents(&mut self, repository: &Repository, root: &Descriptor, what: &str) {
        let (manifest, config) = match held::read_image(repository, root) {
            Ok(image) => image,
            // Damage of the config shows when its blob is read.
            Err(_) => return,
        };
        let labels = config.config.labels.unwrap_or_default();
        let Some(list) = labels.get(Contents::LABEL) else {
            return;
        };
        match Contents::parse(list) {
            Ok(contents) if !held::is_about(&contents, &manifest) => {}
            Ok(contents) => {
                let layer_sizes: BTreeMap<_, _> =
                    manifest.layers.iter().map(|l| (&l.digest, l.size)).collect();
                for file in contents.files() {
                    let layer = &contents.layers()[file.layer];
                    let end = file.offset.saturating_add(file.size);
                    if layer_sizes.get(layer).is_none_or(|&size| end > size) {
                        self.problems
                            .push(format!("{what}: {} lies in no layer of the image", file.path));
                    }
                }
            }
            Err(error) => self.problem(what, &error),
        }
    }

    /// The tag must say what the history says. The newest one may be missing: its publisher died before it, or is
    /// about to write it, and the next one finishes that.
    fn tag(&mut self, repository: &Repository, reference: &Reference, history: &History, is: &Publication) {
        let Some(tag) = reference.tag() else { return };
        let expected = &is.manifest().digest;
        match repository.resolve(tag) {
            Ok(Some(found)) if found.digest == *expected => {}
            Ok(None) if history.last().is_some_and(|last| last.id == is.id) => {}
            Ok(Some(found)) => {
                self.problems.push(format!(
                    "{reference}: the tag says {}, the history {expected}",
                    found.digest
                ));
            }
            Ok(None) => self.problems.push(format!(
                "{reference}: the tag is gone; the history says {expected}"
            )),
            Err(error) => self.problem(&reference.to_string(), &error),
        }
    }

    fn problem(&mut self, what: &str, error: &(dyn std::error::Error + 'static)) {
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        self.problems.push(text);
    }

    /// Reads and hashes every blob.
    fn read(mut self, store: &Store, quiet: bool) -> Result<json::Verify, Failure> {
        let blobs: Vec<(Digest, u64)> = std::mem::take(&mut self.blobs).into_iter().collect();
        let total = blobs
            .iter()
            .fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
        let progress = Progress::begin(quiet, total, "read");
        let checked = in_parallel(&blobs, workers(), |(digest, size)| {
            let result = store.check(digest);
            progress.add(*size);
            match result {
                Ok(found) if found == *size => Ok(Ok(found)),
                Ok(found) => Ok(Err(Error::damaged(
                    digest.to_string(),
                    digest,
                    format!("{found} bytes, not {size}"),
                ))),
                // What cannot be read is damage too: the others are still to be looked at.
                Err(error) => Ok::<_, Failure>(Err(error)),
            }
        })?;
        let mut bytes = 0;
        for (result, (digest, _)) in checked.into_iter().zip(&blobs) {
            match result {
                Ok(size) => bytes += size,
                Err(error) => self.problem(&digest.to_string(), &error),
            }
        }
        let checked = json::Checked {
            repositories: self.repositories,
            versions: self.versions,
            blobs: blobs.len() as u64,
            bytes,
        };
        progress.end(&format!(
            "read {} in {}",
            human::bytes(bytes),
            human::count(checked.blobs, "blob")
        ));
        // A damaged manifest is found when it is parsed and again when it is hashed.
        self.problems.sort();
        self.problems.dedup();
        Ok(json::Verify {
            ok: self.problems.is_empty(),
            checked,
            problems: self.problems,
        })
    }
}

fn text(report: &json::Verify) -> String {
    let checked = report.checked;
    let mut text: String = report
        .problems
        .iter()
        .map(|problem| format!("damaged: {}\n", human::clean(problem)))
        .collect();
    let counted = format!(
        "{}, {}, {}",
        human::count(checked.versions, "version"),
        human::count(checked.blobs, "blob"),
        human::bytes(checked.bytes)
    );
    if report.ok {
        text.push_str(&format!("verified: {counted}, every digest is right\n"));
    } else {
        text.push_str(&format!(
            "{} in {counted}\n",
            human::count(report.problems.len() as u64, "problem")
        ));
    }
    text
}
