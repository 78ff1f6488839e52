//! `modelkeep push`: scan, lay out, pack, publish.

mod remote;

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use modelkeep_core::{
    Bump, ByteRange, Descriptor, Digest, Host, Limits, Mutability, Reference, RepoName, SemVer, Tag,
    content::{self, Expect, Names, Need, Source, Target},
    name::Target as Named,
};
use modelkeep_ledger::{
    Draft, History, Outcome, Proposed, Publish, PublishError, Standing, Verdict, judge, publish,
};
use modelkeep_package::{
    cache::Cache,
    card,
    image::{self, Image, ImageSettings, Platforms, Provenance as Said, RunSettings},
    layout::{LayerPlan, layout},
    pack::{PackedLayer, pack_layer},
    scan::{self, FileMode, ModelFile, ScanOptions, Warning},
};
use modelkeep_store::{Repository, Store};
use modelkeep_transfer::in_parallel;

use super::workers;
use crate::{
    args::{Global, Push, Step},
    error::{Exit, Failure, registry},
    globs::Globs,
    held::read_manifest,
    provenance::{Provenance, now},
    report::{Answer, human, json, progress::Progress},
    settings::{Origin, Settings},
    wiring::{self, Endpoint},
};

/// How often a layer is sent whose connection breaks.
const ATTEMPTS: u32 = 3;

pub(super) fn run(arguments: &Push, global: &Global) -> Result<Answer, Failure> {
    let (directory, named) = positionals(arguments)?;
    let figures = Figures::parse(arguments)?;
    let settings = Settings::load(global, &directory)?;
    let job = Job::prepare(arguments, &settings, &directory, named.as_deref())?;
    let quiet = global.quiet || arguments.json.json;
    if !global.quiet {
        job.warn();
    }
    let progress = Progress::begin(quiet, job.bytes(), "packed");
    let decided = if arguments.dry_run {
        job.compare(&figures, &progress)
    } else if job.is_held()? {
        match job.compare(&figures, &progress) {
            Ok(decided) if job.can_restore(&decided) => job.publish(&figures, &progress),
            decided => decided,
        }
    } else {
        job.publish(&figures, &progress)
    };
    let decided = decided.map_err(|failure| match failure.exit {
        Exit::Exists => failure.hint(format!("`modelkeep show {}` says what stands", job.reference())),
        _ => failure,
    })?;
    let report = job.report(&decided);
    progress.end(&summary(&report));
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    let mut text = String::new();
    if arguments.dry_run {
        text.push_str(&plan(&job, &decided));
    }
    text.push_str(&format!("{} {}\n", report.reference, report.digest));
    Ok(Answer::done(text))
}

/// The directory, and the text that names the version, if one does.
fn positionals(arguments: &Push) -> Result<(PathBuf, Option<String>), Failure> {
    let here = || PathBuf::from(".");
    let usage = || Failure::usage("push needs a VERSION: `modelkeep push [DIR] VERSION`, or --next STEP");
    match (arguments.positionals.as_slice(), arguments.next) {
        ([], None) => Err(usage()),
        ([version], None) => {
            let is_version = version
                .parse()
                .is_ok_and(|tag| modelkeep_core::SemVer::parse(&tag).is_some());
            let path = Path::new(version);
            if path.is_dir() && !is_version {
                return Err(usage().hint(format!(
                    "{version} is a directory: `modelkeep push {version} VERSION`"
                )));
            }
            if path.is_absolute() || version.starts_with("./") || version.starts_with("../") {
                return Err(usage().hint(format!("there is no directory {version}")));
            }
            Ok((here(), Some(version.clone())))
        }
        ([directory, version], None) => Ok((directory.into(), Some(version.clone()))),
        ([], Some(_)) => Ok((here(), None)),
        ([directory], Some(_)) => Ok((directory.into(), None)),
        _ => Err(Failure::usage(
            "--next chooses the version: name only the directory beside it",
        )),
    }
}

/// Metrics and parameters of the command line.
struct Figures {
    metrics: std::collections::BTreeMap<String, f64>,
    params: std::collections::BTreeMap<String, String>,
}

impl Figures {
    fn parse(arguments: &Push) -> Result<Self, Failure> {
        let mut figures = Self {
            metrics: Default::default(),
            params: Default::default(),
        };
        for text in &arguments.metrics {
            let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
            let number = pair.and_then(|(name, value)| Some((name, value.parse::<f64>().ok()?)));
            let (name, value) = number
                .filter(|(_, value)| value.is_finite())
                .ok_or_else(|| Failure::usage(format!("--metric {text}: it must be NAME=NUMBER")))?;
            if figures.metrics.insert(name.to_owned(), value).is_some() {
                return Err(Failure::usage(format!("--metric {name} is given twice")));
            }
        }
        for text in &arguments.params {
            let (name, value) = text
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| Failure::usage(format!("--param {text}: it must be NAME=VALUE")))?;
            if figures.params.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(Failure::usage(format!("--param {name} is given twice")));
            }
        }
        Ok(figures)
    }
}

/// What is to be pushed where, and what is there.
struct Job<'a> {
    arguments: &'a Push,
    settings: &'a Settings,
    image: ImageSettings,
    directory: PathBuf,
    name: RepoName,
    version: Tag,
    files: Vec<ModelFile>,
    warnings: Vec<Warning>,
    plans: Vec<LayerPlan>,
    cache: Cache,
    /// `None` when the embedded store does not have the repository yet.
    endpoint: Option<Endpoint>,
    host: Option<Host>,
    history: History,
    /// What the version is now.
    standing: Option<Standing>,
}

/// What the layers came to.
struct Packed {
    digests: Vec<Digest>,
    layers: Vec<Descriptor>,
    bytes_read: u64,
    bytes_written: u64,
    reused: Vec<bool>,
}

/// What was decided, and done.
struct Decided {
    outcome: &'static str,
    digest: Digest,
    root: Option<Digest>,
    packed: Packed,
}

impl<'a> Job<'a> {
    fn prepare(
        arguments: &'a Push,
        settings: &'a Settings,
        directory: &Path,
        named: Option<&str>,
    ) -> Result<Self, Failure> {
        let reference = named.map(|text| settings.reference(text)).transpose()?;
        if let Some(version) = reference.as_ref().map(version).transpose()? {
            check_version(settings, version)?;
        }
        let image = ImageSettings {
            path: settings
                .image_path
                .value
                .parse()
                .map_err(|error| Failure::new(Exit::Usage, error))?,
            labels: settings.labels.value.clone(),
            run: RunSettings {
                entrypoint: settings.entrypoint.value.clone(),
                cmd: settings.cmd.value.clone(),
                env: settings.env.value.clone(),
                user: settings.user.value.clone(),
            },
        };
        store_is_outside(settings, directory)?;
        let mut scan = scan::scan(directory, &ScanOptions::default()).map_err(Failure::failed)?;
        mark_executables(&mut scan.files, &settings.executable.value)?;
        let (host, name) = match &reference {
            Some(reference) => wiring::place(settings, reference.host.as_ref(), &reference.name)?,
            None => wiring::place(settings, None, settings.repository_name()?)?,
        };
        let endpoint = wiring::for_push(settings, host.as_ref(), &name)?;
        // What the registry would refuse in the end is refused before anything is read.
        let limits = limits(endpoint.as_ref());
        let plans = layout(&scan.files, &image.path, &limits).map_err(Failure::failed)?;
        let history = match &endpoint {
            Some(endpoint) => endpoint.history()?,
            None => History::default(),
        };
        let version = match &reference {
            Some(reference) => version(reference)?.clone(),
            None => next_version(arguments, endpoint.as_ref(), &history)?,
        };
        let standing = match &endpoint {
            Some(Endpoint::Remote(registry)) => remote::standing(&**registry, &**registry, &version)?,
            _ => history.version(&version).map(|publication| Standing {
                manifest: publication.manifest().clone(),
                root: publication.publish.root.clone(),
            }),
        };
        Ok(Self {
            arguments,
            settings,
            image,
            directory: directory.to_owned(),
            name,
            version,
            files: scan.files,
            warnings: scan.warnings,
            plans,
            cache: Cache::open(cache_path(settings, directory)),
            endpoint,
            host,
            history,
            standing,
        })
    }

    fn reference(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}:{}", self.name, self.version),
            None => format!("{}:{}", self.name, self.version),
        }
    }

    /// The repository in the embedded store, if that is where it is.
    fn stored(&self) -> Option<&Repository> {
        match &self.endpoint {
            Some(Endpoint::Store(repository)) => Some(repository),
            _ => None,
        }
    }

    /// Which versions may move.
    fn mutability(&self) -> &Mutability {
        match self.stored() {
            Some(repository) => repository.mutability(),
            None => &self.settings.mutability.value,
        }
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.stamp.size).sum()
    }

    fn warn(&self) {
        for warning in &self.warnings {
            let text = match warning {
                Warning::Collision(paths) => {
                    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                    format!(
                        "{} are one file on disks that do not tell case, or ways to write an accent, apart",
                        paths.join(" and ")
                    )
                }
                Warning::EmptyDirectory(path) => format!("{path} is empty, and left out"),
            };
            human::line(&format!("warning: {}", human::clean(&text)));
        }
        let said = &self.settings.mutability;
        if let (Some(repository), Origin::File(path)) = (self.stored(), &said.origin)
            && *repository.mutability() != said.value
        {
            human::line(&format!(
                "warning: {} was made as {}, and stays so whatever {} says now",
                self.name,
                repository.mutability().as_str(),
                path.display()
            ));
        }
    }

    /// Whether the version exists and may not move, so that nothing can come of this push but success or refusal.
    /// A version whose tag does not say what the history says is not: its publisher died before the tag, and
    /// publishing finishes that.
    fn is_held(&self) -> Result<bool, Failure> {
        let Some(standing) = &self.standing else {
            return Ok(false);
        };
        let tag = match self.stored() {
            Some(repository) => repository.resolve(&self.version)?,
            // There, what stands was found by its tag.
            None => Some(standing.manifest.clone()),
        };
        Ok(self.mutability().holds(&self.version)
            && tag.is_some_and(|tag| tag.digest == standing.manifest.digest))
    }

    /// Whether the end has lost a layer of the version that stands, and here is what it was made of.
    fn can_restore(&self, decided: &Decided) -> bool {
        let (Some(standing), Some(endpoint)) = (&self.standing, &self.endpoint) else {
            return false;
        };
        let digests = |layers: &[Descriptor]| {
            layers
                .iter()
                .map(|layer| layer.digest.clone())
                .collect::<Vec<_>>()
        };
        decided.packed.reused.contains(&false)
            && read_manifest(endpoint.source(), &standing.manifest)
                .is_ok_and(|manifest| digests(&manifest.layers) == digests(&decided.packed.layers))
    }

    /// Reads what must be read to know the content, stores nothing, and judges it.
    fn compare(&self, figures: &Figures, progress: &Progress) -> Result<Decided, Failure> {
        let packed = self.pack(None, progress)?;
        let contents = self.contents(&packed.digests, &packed.layers)?;
        let root = contents.root();
        let standing = self.standing.as_ref();
        // The manifest needs git and the clock of the commit; where the content decides, they are not asked.
        let same_root = standing.is_some_and(|standing| standing.root.as_ref() == Some(&root));
        let digest = match standing {
            Some(standing) if same_root => standing.manifest.digest.clone(),
            _ => {
                let (said, _) = self.said(figures)?;
                self.image(contents, &packed.layers, &said)?.top().digest.clone()
            }
        };
        let verdict = judge(
            self.mutability(),
            &self.version,
            standing.map(|standing| Proposed {
                manifest: &standing.manifest.digest,
                root: standing.root.as_ref(),
            }),
            Proposed {
                manifest: &digest,
                root: Some(&root),
            },
        );
        if let (Verdict::Same, Some(repository)) = (verdict, self.stored()) {
            repository.sync_history()?;
        }
        let outcome = match (verdict, standing) {
            (Verdict::Taken, Some(standing)) if !self.arguments.dry_run => {
                return Err(PublishError::Taken {
                    version: self.version.clone(),
                    standing: standing.manifest.digest.clone(),
                    refused: digest,
                    next_free: self.next_free()?,
                }
                .into());
            }
            (Verdict::Taken, _) => "would refuse",
            (Verdict::Same, _) => "unchanged",
            (Verdict::New | Verdict::Moves, _) => "would publish",
        };
        Ok(Decided {
            outcome,
            digest,
            root: Some(root),
            packed,
        })
    }

    /// Stores the layers and publishes the version.
    fn publish(&self, figures: &Figures, progress: &Progress) -> Result<Decided, Failure> {
        match &self.endpoint {
            Some(Endpoint::Remote(registry)) => self.publish_remote(registry, figures, progress),
            _ => self.publish_stored(figures, progress),
        }
    }

    fn publish_stored(&self, figures: &Figures, progress: &Progress) -> Result<Decided, Failure> {
        let (said, author) = self.said(figures)?;
        self.check_image(&said)?;
        let store = Store::create(&self.settings.store.value)?;
        let (repository, _) = store.create_repository(&self.name, &self.settings.mutability.value, &now())?;
        let packed = self.pack(Some(&repository), progress)?;
        let contents = self.contents(&packed.digests, &packed.layers)?;
        let root = contents.root();
        let image = self.image(contents, &packed.layers, &said)?;
        for blob in image.configs.iter().chain(&image.manifests).chain(&image.index) {
            repository.put(&blob.descriptor.media_type, &blob.bytes)?;
        }
        let draft = Draft {
            version: self.version.clone(),
            time: now(),
            author,
            children: match &image.index {
                Some(_) => image
                    .manifests
                    .iter()
                    .map(|blob| blob.descriptor.clone())
                    .collect(),
                None => Vec::new(),
            },
            publish: Publish {
                manifest: image.top().clone(),
                root: Some(root),
                message: self.message(),
                metrics: figures.metrics.clone(),
                params: figures.params.clone(),
            },
        };
        let (outcome, standing) = publish(&repository, draft)?;
        Ok(Decided {
            outcome: match outcome {
                Outcome::Published => "published",
                Outcome::Unchanged => "unchanged",
            },
            digest: standing.manifest.digest,
            root: standing.root,
            packed,
        })
    }

    /// Reads the files into layers, in parallel, and into `target` if there is one. Layers whose files are as they
    /// were are not read.
    fn pack(&self, target: Option<&dyn Target>, progress: &Progress) -> Result<Packed, Failure> {
        struct Layer {
            descriptor: Descriptor,
            files: Vec<Digest>,
            read: bool,
            written: u64,
        }
        let packed = in_parallel(&self.plans, workers(), |plan| {
            if let Some((descriptor, files)) = self.remembered(plan) {
                let there = match target {
                    Some(target) => target.need(&descriptor)? == Need::Nothing,
                    None => true,
                };
                if there {
                    progress.add(files_size(&self.files, plan));
                    let (read, written) = (false, 0);
                    return Ok(Layer {
                        descriptor,
                        files,
                        read,
                        written,
                    });
                }
            }
            let begun = SystemTime::now();
            let packed = self.send(plan, target, progress)?;
            let written = if target.is_some() { plan.size() } else { 0 };
            self.remember(plan, &packed.files, packed.hashed.digest(), begun);
            Ok::<_, Failure>(Layer {
                descriptor: image::layer_descriptor(&self.files, plan, packed.hashed.digest()),
                files: packed.files,
                read: true,
                written,
            })
        })?;
        let mut digests = vec![None; self.files.len()];
        for (plan, layer) in self.plans.iter().zip(&packed) {
            for (member, digest) in plan.members().iter().zip(&layer.files) {
                digests[member.file] = Some(digest.clone());
            }
        }
        let read = self.plans.iter().zip(&packed).filter(|(_, layer)| layer.read);
        Ok(Packed {
            digests: digests
                .into_iter()
                .map(|digest| digest.expect("every file is in a layer"))
                .collect(),
            bytes_read: read.map(|(plan, _)| files_size(&self.files, plan)).sum(),
            bytes_written: packed.iter().map(|layer| layer.written).sum(),
            reused: packed
                .iter()
                .map(|layer| self.is_reused(target, layer.read, &layer.descriptor))
                .collect(),
            layers: packed.into_iter().map(|layer| layer.descriptor).collect(),
        })
    }

    /// Reads the files of a layer into `target`, again from the beginning when the connection to it breaks.
    fn send(
        &self,
        plan: &LayerPlan,
        target: Option<&dyn Target>,
        progress: &Progress,
    ) -> Result<PackedLayer, Failure> {
        let size = plan.size();
        let mut shown = 0;
        let mut attempt = || {
            let mut sink = target
                .map(|target| target.begin(Expect::Unknown { size }))
                .transpose()?;
            let mut done = 0;
            let packed = pack_layer(&self.files, plan, sink.as_deref_mut(), &mut |bytes| {
                done += bytes;
                // What is sent a second time is no progress.
                progress.add(done.max(shown) - shown);
                shown = shown.max(done);
            })
            .map_err(Failure::failed)?;
            if let Some(sink) = sink {
                sink.commit(&packed.hashed)?;
            }
            Ok(packed)
        };
        for _ in 1..ATTEMPTS {
            match attempt() {
                Err(failure) if is_lost_connection(&failure) => {}
                result => return result,
            }
        }
        attempt()
    }

    /// Whether a layer need not be stored again. A comparison, which stores nothing, looks whether it could be read.
    fn is_reused(&self, target: Option<&dyn Target>, read: bool, layer: &Descriptor) -> bool {
        let nothing = ByteRange { offset: 0, length: 0 };
        match (target, &self.endpoint) {
            (Some(_), _) => !read,
            (None, Some(Endpoint::Store(held))) => held.open(layer, nothing).is_ok(),
            (None, Some(Endpoint::Remote(held))) => held.need(layer).is_ok_and(|need| need == Need::Nothing),
            (None, None) => false,
        }
    }

    /// A layer whose files are as they were when it was last packed, and their digests.
    fn remembered(&self, plan: &LayerPlan) -> Option<(Descriptor, Vec<Digest>)> {
        let members = plan.members().iter();
        let digests: Vec<Digest> = members
            .map(|m| self.cache.file(&self.files[m.file]))
            .collect::<Option<_>>()?;
        let digest_of = |file| {
            let at = plan.members().iter().position(|member| member.file == file)?;
            digests.get(at).cloned()
        };
        let recipe = plan.recipe(&self.files, digest_of)?;
        let (digest, _) = self.cache.layer(&recipe)?;
        Some((image::layer_descriptor(&self.files, plan, &digest), digests))
    }

    fn remember(&self, plan: &LayerPlan, files: &[Digest], layer: &Digest, begun: SystemTime) {
        // The cache lies in the store's directory, which a dry run does not make.
        if self.arguments.dry_run && !self.settings.store.value.exists() {
            return;
        }
        for (member, digest) in plan.members().iter().zip(files) {
            self.cache.add_file(&self.files[member.file], digest, begun);
        }
        let mut digests = files.iter().cloned();
        if let Some(recipe) = plan.recipe(&self.files, |_| digests.next()) {
            self.cache.add_layer(&recipe, layer, plan.size());
        }
    }

    fn contents(&self, files: &[Digest], layers: &[Descriptor]) -> Result<modelkeep_core::Contents, Failure> {
        let layers: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
        image::contents(&self.files, files, &self.plans, &layers).map_err(Failure::failed)
    }

    /// The message, unless it says nothing.
    fn message(&self) -> Option<String> {
        self.arguments
            .message
            .clone()
            .filter(|message| !message.is_empty())
    }

    /// What is said about the version, and who publishes it.
    fn said(&self, figures: &Figures) -> Result<(Said, String), Failure> {
        let provenance = Provenance::find(&self.directory)?;
        let card = card::read(&self.files).map_err(Failure::failed)?;
        let said = Said {
            version: self.version.to_string(),
            created: provenance.created,
            revision: provenance.revision,
            source: provenance.source,
            title: card.title,
            licenses: card.license,
            message: self.message(),
            metrics: figures.metrics.clone(),
            params: figures.params.clone(),
        };
        Ok((said, provenance.author))
    }

    /// Refuses what makes no image before anything is stored. Digests are all of one length, so that the image has
    /// its size before any file is read.
    fn check_image(&self, said: &Said) -> Result<(), Failure> {
        let unread = Digest::of(b"");
        let layers: Vec<Descriptor> = self
            .plans
            .iter()
            .map(|plan| image::layer_descriptor(&self.files, plan, &unread))
            .collect();
        let contents = self.contents(&vec![unread; self.files.len()], &layers)?;
        self.image(contents, &layers, said).map(drop)
    }

    fn image(
        &self,
        contents: modelkeep_core::Contents,
        layers: &[Descriptor],
        said: &Said,
    ) -> Result<Image, Failure> {
        let platforms = if self.arguments.index {
            Platforms::Index
        } else {
            Platforms::Single
        };
        image::build(
            contents,
            layers,
            &self.image,
            said,
            platforms,
            &limits(self.endpoint.as_ref()),
        )
        .map_err(|error| match error {
            image::ImageError::ReservedLabel(_) => Failure::new(Exit::Usage, error),
            image::ImageError::ConfigTooLarge { .. } => {
                Failure::failed(error).hint("put the many small files into an archive of their own")
            }
            error => Failure::failed(error),
        })
    }

    fn report(&self, decided: &Decided) -> json::Push {
        let packed = &decided.packed;
        json::Push {
            reference: self.reference(),
            version: self.version.to_string(),
            digest: decided.digest.clone(),
            content_root: decided.root.clone(),
            outcome: decided.outcome,
            enforcement: match self.host {
                Some(_) => "client",
                None => "store",
            },
            files: self.files.len() as u64,
            bytes: self.bytes(),
            bytes_read: packed.bytes_read,
            bytes_written: packed.bytes_written,
            layers: packed.layers.len() as u64,
            layers_reused: packed.reused.iter().filter(|&&reused| reused).count() as u64,
        }
    }
}

fn is_lost_connection(failure: &Failure) -> bool {
    let error: &(dyn std::error::Error + 'static) = &*failure.error;
    registry(error).is_some_and(modelkeep_client::Error::is_lost_connection)
}

fn files_size(files: &[ModelFile], plan: &LayerPlan) -> u64 {
    plan.members()
        .iter()
        .map(|member| files[member.file].stamp.size)
        .sum()
}

fn version(reference: &Reference) -> Result<&Tag, Failure> {
    match &reference.target {
        Named::Tag(tag) => Ok(tag),
        Named::Digest(_) => Err(Failure::usage(format!(
            "{reference} is a digest: a version is published by its name"
        ))),
    }
}

fn check_version(settings: &Settings, version: &Tag) -> Result<(), Failure> {
    if version.is_reserved() {
        return Err(Failure::usage(format!(
            "{version} cannot be a version: names that begin with c., l., sha256- or sha512-, and ledger, belong to the history"
        )));
    }
    if settings.aliases.value.contains(version) {
        return Err(Failure::usage(format!(
            "{version} is an alias: it names a version, and holds no content of its own"
        )));
    }
    Ok(())
}

fn next_version(arguments: &Push, endpoint: Option<&Endpoint>, history: &History) -> Result<Tag, Failure> {
    let bump = match arguments.next {
        Some(Step::Patch) => Bump::Patch,
        Some(Step::Minor) => Bump::Minor,
        Some(Step::Major) => Bump::Major,
        None => return Err(Failure::usage("push needs a VERSION or --next STEP")),
    };
    let next = match endpoint {
        Some(endpoint @ Endpoint::Remote(_)) => {
            let taken = match endpoint.versions() {
                // The first version makes the repository.
                Err(content::Error::NotFound { .. }) => Vec::new(),
                taken => taken?,
            };
            let highest = taken.iter().filter_map(SemVer::parse).max_by(|a, b| a.cmp(b));
            modelkeep_ledger::next(highest, |tag| taken.contains(tag), bump)
        }
        _ => history.next(bump),
    };
    next.ok_or_else(|| Failure::usage("there is no number after the highest version: name one"))
}

/// What the end takes.
fn limits(endpoint: Option<&Endpoint>) -> Limits {
    endpoint.map_or_else(Limits::default, |endpoint| endpoint.target().limits())
}

/// Lets the files that the settings name be run in the image.
fn mark_executables(files: &mut [ModelFile], patterns: &[String]) -> Result<(), Failure> {
    let globs =
        Globs::parse(patterns).map_err(|error| Failure::usage(format!("image.executable: {error}")))?;
    for file in files.iter_mut().filter(|file| globs.match_path(&file.path)) {
        file.mode = FileMode::Executable;
    }
    Ok(())
}

/// One cache for each model directory, in the store's own directory.
fn cache_path(settings: &Settings, directory: &Path) -> PathBuf {
    let directory = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let name = Digest::of(directory.as_os_str().as_encoded_bytes());
    settings.store.value.join("cache").join("scan").join(name.hex())
}

/// A store inside the model would become part of it, and grow with each push.
fn store_is_outside(settings: &Settings, directory: &Path) -> Result<(), Failure> {
    let store = std::path::absolute(&settings.store.value).unwrap_or_else(|_| settings.store.value.clone());
    // The store may not be there yet: then what counts is the place where it will be.
    let place = store
        .ancestors()
        .find_map(|ancestor| std::fs::canonicalize(ancestor).ok());
    match (place, std::fs::canonicalize(directory)) {
        (Some(inner), Ok(outer)) if inner.starts_with(&outer) => Err(Failure::usage(format!(
            "the store {} lies inside the directory {}",
            store.display(),
            directory.display()
        ))
        .hint("name another store with --store PATH or MODELKEEP_HOME")),
        _ => Ok(()),
    }
}

fn summary(report: &json::Push) -> String {
    format!(
        "{} {}: {}, {}; read {}, wrote {}, {} of {} reused",
        report.outcome,
        report.reference,
        human::count(report.files, "file"),
        human::bytes(report.bytes),
        human::bytes(report.bytes_read),
        human::bytes(report.bytes_written),
        report.layers_reused,
        human::count(report.layers, "layer"),
    )
}

/// What a dry run prints: each layer, and whether it is new.
fn plan(job: &Job<'_>, decided: &Decided) -> String {
    let mut rows = vec![["LAYER", "SIZE", "", "FILES"].map(str::to_owned).to_vec()];
    let packed = &decided.packed;
    for ((plan, layer), reused) in job.plans.iter().zip(&packed.layers).zip(&packed.reused) {
        let files = match plan.members() {
            [only] => job.files[only.file].path.to_string(),
            many => human::count(many.len() as u64, "file"),
        };
        let state = if *reused { "= same" } else { "+ new" };
        rows.push(vec![
            layer.digest.short().to_owned(),
            human::bytes(layer.size),
            state.to_owned(),
            files,
        ]);
    }
    human::table(&rows)
}
