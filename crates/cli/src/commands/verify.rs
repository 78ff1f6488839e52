//! `modelkeep verify`

mod entries;
mod names;

use std::{
    collections::{BTreeMap, HashSet},
    io,
};

use modelkeep_core::{
    ByteRange, Contents, Descriptor, Digest, Document, Hasher, Manifest, Reference, annotation,
    content::{Error, Source},
    media,
};
use modelkeep_ledger::{History, Publication};
use modelkeep_package::modelpack;
use modelkeep_store::Store;
use modelkeep_transfer::in_parallel;

use super::workers;
use crate::{
    args::Verify,
    error::{Exit, Failure, registry},
    held::{self, read_document},
    lock::Place,
    publishing::contents_of,
    report::{Answer, human, json, progress::Progress},
    settings::Settings,
    signature::verified,
    wiring::{self, Endpoint},
};

/// What is to be read, and what was found without reading blobs.
#[derive(Default)]
struct Findings {
    blobs: BTreeMap<Digest, Descriptor>,
    /// Manifests that have been looked at in the repository at hand.
    images: HashSet<Digest>,
    problems: Vec<String>,
    /// What was wrong, and is right now.
    healed: Vec<String>,
    /// Tags that a signed history does not have.
    unlisted: Vec<String>,
    /// Problems that say nothing of what is kept: a registry did not answer.
    unreachable: usize,
    repositories: u64,
    versions: u64,
}

pub(super) fn run(arguments: &Verify, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let mut findings = Findings::default();
    let subject = Subject::find(arguments, settings)?;
    if arguments.heal {
        findings.heal(&subject, settings)?;
    }
    let endpoint = match &subject {
        Subject::Version(text) => Some(findings.version(settings, text)?),
        Subject::All => {
            findings.store(&open(settings)?);
            None
        }
        Subject::Repository(place) => {
            let repository = wiring::repository(settings, place.0.as_ref(), &place.1)?;
            findings.repository(&repository, place)?;
            Some(repository)
        }
    };
    let quiet = quiet || arguments.json.json;
    let (report, exit) = findings.finish(endpoint, settings, quiet)?;
    let answer = if arguments.json.json {
        json::answer(&report)
    } else {
        Answer::done(text(&report))
    };
    Ok(Answer { exit, ..answer })
}

/// What is looked at.
enum Subject {
    /// Everything in the store.
    All,
    Repository(Place),
    /// A version, as it was typed.
    Version(String),
}

impl Subject {
    fn find(arguments: &Verify, settings: &Settings) -> Result<Self, Failure> {
        let is_repository = |text: &str| text.contains('/') && text.parse::<Reference>().is_err();
        Ok(match &arguments.version {
            Some(text) if is_repository(text) => Self::Repository(wiring::named(settings, Some(text))?),
            Some(text) => Self::Version(text.clone()),
            None if arguments.all => Self::All,
            None => Self::Repository(wiring::named(settings, None)?),
        })
    }
}

/// What is wrong with a version.
pub(super) fn version(settings: &Settings, text: &str, quiet: bool) -> Result<Vec<String>, Failure> {
    let mut findings = Findings::default();
    let endpoint = findings.version(settings, text)?;
    let (report, _) = findings.finish(Some(endpoint), settings, quiet)?;
    Ok(report.problems)
}

fn open(settings: &Settings) -> Result<Store, Failure> {
    Ok(Store::open(&settings.store.value)?)
}

/// Reads a blob to its end, and gives its size if it is what its digest says.
fn read_whole(source: &dyn Source, blob: &Descriptor) -> Result<u64, Error> {
    let what = blob.digest.to_string();
    let range = ByteRange {
        offset: 0,
        length: blob.size,
    };
    let mut reader = source.open(blob, range)?;
    let mut hasher = Hasher::new(blob.digest.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(came) => hasher.update(&buffer[..came]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io(format!("read {what}"))(error)),
        }
    }
    let found = hasher.finish();
    if *found.digest() != blob.digest {
        return Err(Error::damaged(what, &blob.digest, found.digest()));
    }
    Ok(found.size())
}

impl Findings {
    /// What a version names, and gives where it is.
    fn version(&mut self, settings: &Settings, text: &str) -> Result<Endpoint, Failure> {
        let held::Named {
            reference,
            repository,
            root,
            publication,
            ..
        } = held::Named::find(settings, text)?;
        self.versions = 1;
        let source = repository.source();
        self.image(source, &root, publication.as_ref(), &reference.to_string());
        let place = (reference.host.clone(), reference.name.clone());
        let history = self.history(&repository, &place)?;
        if let Some(publication) = &publication {
            self.signature(source, &history, publication, &reference.to_string());
        }
        if let Some(tag) = reference.tag() {
            self.names(&repository, &place, &history, &|name| name == tag)?;
        }
        Ok(repository)
    }

    /// Reads the blobs that were found; in the store, where no registry is named.
    fn finish(
        self,
        endpoint: Option<Endpoint>,
        settings: &Settings,
        quiet: bool,
    ) -> Result<(json::Verify, Exit), Failure> {
        match endpoint {
            Some(Endpoint::Remote(registry)) => self.read(&|blob| read_whole(&**registry, blob), quiet),
            _ => {
                let store = open(settings)?;
                self.read(&|blob| store.check(&blob.digest), quiet)
            }
        }
    }

    /// All repositories and all blobs. What is wrong with one does not keep the others from being looked at.
    fn store(&mut self, store: &Store) {
        let names = store.repositories().unwrap_or_else(|error| {
            self.problem("repositories", &error);
            Vec::new()
        });
        for name in names {
            match store.repository(&name) {
                Ok(Some(repository)) => {
                    let looked = self.repository(&Endpoint::Store(repository), &(None, name.clone()));
                    if let Err(failure) = looked {
                        self.problem(name.as_str(), &*failure.error);
                    }
                }
                Ok(None) => {}
                Err(error) => self.problem(name.as_str(), &error),
            }
        }
        match store.blobs() {
            Ok(blobs) => {
                for blob in blobs {
                    match blob {
                        Ok((digest, size)) => {
                            let blob = Descriptor::plain("", digest.clone(), size);
                            self.blobs.entry(digest).or_insert(blob);
                        }
                        Err(error) => self.problem("blobs", &error),
                    }
                }
            }
            Err(error) => self.problem("blobs", &error),
        }
    }

    /// A manifest or index and all that it needs.
    fn image(
        &mut self,
        repository: &dyn Source,
        root: &Descriptor,
        publication: Option<&Publication>,
        what: &str,
    ) {
        let mut left = vec![root.clone()];
        while let Some(manifest) = left.pop() {
            if !self.images.insert(manifest.digest.clone()) {
                continue;
            }
            self.blobs.insert(manifest.digest.clone(), manifest.clone());
            match read_document(repository, &manifest) {
                Ok(Document::Image(image)) => {
                    for blob in image.layers.iter().chain([&image.config]) {
                        self.blob(repository, blob, what);
                    }
                    self.contents(repository, &image, publication, what);
                }
                Ok(Document::Index(index)) => left.extend(index.manifests),
                Err(error) => self.problem(what, &error),
            }
        }
    }

    /// A blob of an image, which the repository must be able to read.
    fn blob(&mut self, repository: &dyn Source, blob: &Descriptor, what: &str) {
        // What has URLs need not be here.
        if !blob.urls.is_empty() {
            return;
        }
        self.blobs.insert(blob.digest.clone(), blob.clone());
        let nothing = ByteRange { offset: 0, length: 0 };
        // Other damage shows when all of it is read.
        if let Err(error @ Error::NotFound { .. }) = repository.open(blob, nothing) {
            self.problem(what, &error);
        }
    }

    /// The contents list must be whole, about layers that the image has, and the one that the history speaks of.
    fn contents(
        &mut self,
        repository: &dyn Source,
        manifest: &Manifest,
        publication: Option<&Publication>,
        what: &str,
    ) {
        // The config of another artifact may be anything.
        if !media::is_image_config(&manifest.config.media_type) && !modelpack::is_own(manifest) {
            return;
        }
        let has_root = publication.is_some_and(|publication| publication.publish.root.is_some());
        let is_model = has_root || manifest.annotations.contains_key(annotation::ROOT);
        // Damage of the config shows when its blob is read. What others push has the config that they like.
        let config = match held::read_config(repository, manifest) {
            Ok(config) => config,
            Err(Error::Malformed { what: blob, reason }) if is_model => {
                return self.problem(what, &Error::Malformed { what: blob, reason });
            }
            Err(_) => return,
        };
        let labels = config.config.labels.unwrap_or_default();
        let Some(list) = labels.get(Contents::LABEL) else {
            return;
        };
        match Contents::parse(list) {
            Ok(contents) => {
                let layer_sizes: BTreeMap<_, _> =
                    manifest.layers.iter().map(|l| (&l.digest, l.size)).collect();
                // Skopeo and podman compress layers when they push: the list is then about what is in them.
                let is_compressed = |layer: &Digest| {
                    !layer_sizes.contains_key(layer) && config.rootfs.diff_ids.contains(layer)
                };
                for file in contents.files() {
                    let layer = &contents.layers()[file.layer];
                    if is_compressed(layer) {
                        continue;
                    }
                    let end = file.offset.saturating_add(file.size);
                    if layer_sizes.get(layer).is_none_or(|&size| end > size) {
                        self.problems
                            .push(format!("{what}: {} lies in no layer of the image", file.path));
                    }
                }
                let stated = publication.and_then(|publication| publication.publish.root.as_ref());
                let root = contents.root();
                if let Some(stated) = stated.filter(|stated| **stated != root) {
                    self.problems.push(format!(
                        "{what}: the history says the content root {stated}, the image has {root}"
                    ));
                }
            }
            Err(error) => self.problem(what, &error),
        }
    }

    /// The signature over the files must be that of the key which signed the entry, over the files that the version has.
    fn signature(&mut self, source: &dyn Source, history: &History, publication: &Publication, what: &str) {
        let Some(signature) = held::Signature::of(history, publication) else {
            return;
        };
        self.blobs
            .insert(signature.bundle.digest.clone(), signature.bundle.clone());
        // What is wrong with the contents list is said where that is looked at.
        let Some(contents) = contents_of(source, publication.manifest()) else {
            return;
        };
        if let Err(error) = verified(source, &signature.bundle, &signature.key, &contents) {
            self.problem(what, &error);
        }
    }

    fn problem(&mut self, what: &str, error: &(dyn std::error::Error + 'static)) {
        if registry(error).is_some() {
            self.unreachable += 1;
        }
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        self.problems.push(text);
    }

    /// Reads and hashes every blob.
    fn read(
        mut self,
        check: &(dyn Fn(&Descriptor) -> Result<u64, Error> + Sync),
        quiet: bool,
    ) -> Result<(json::Verify, Exit), Failure> {
        let blobs: Vec<Descriptor> = std::mem::take(&mut self.blobs).into_values().collect();
        let total = blobs.iter().fold(0u64, |sum, blob| sum.saturating_add(blob.size));
        let progress = Progress::begin(quiet, total, "read");
        let checked = in_parallel(&blobs, workers(), |blob| {
            let result = check(blob);
            progress.add(blob.size);
            match result {
                Ok(found) if found == blob.size => Ok(Ok(found)),
                Ok(found) => Ok(Err(Error::damaged(
                    blob.digest.to_string(),
                    &blob.digest,
                    format!("{found} bytes, not {}", blob.size),
                ))),
                // What cannot be read is damage too: the others are still to be looked at.
                Err(error) => Ok::<_, Failure>(Err(error)),
            }
        })?;
        let mut bytes = 0;
        for (result, blob) in checked.into_iter().zip(&blobs) {
            match result {
                Ok(size) => bytes += size,
                Err(error) => self.problem(&blob.digest.to_string(), &error),
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
        let exit = match self.problems.len() {
            0 => Exit::Done,
            problems if problems > self.unreachable => Exit::Damage,
            _ => Exit::Failed,
        };
        // A damaged manifest is found when it is parsed and again when it is hashed.
        self.problems.sort();
        self.problems.dedup();
        let report = json::Verify {
            ok: self.problems.is_empty(),
            checked,
            problems: self.problems,
            healed: self.healed,
            unlisted: self.unlisted,
        };
        Ok((report, exit))
    }
}

fn text(report: &json::Verify) -> String {
    let checked = report.checked;
    let lines = [
        ("healed", &report.healed),
        ("not in the history", &report.unlisted),
        ("damaged", &report.problems),
    ];
    let lines = lines.into_iter().flat_map(|(what, lines)| {
        lines
            .iter()
            .map(move |line| format!("{what}: {}\n", human::clean(line)))
    });
    let mut text: String = lines.collect();
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
