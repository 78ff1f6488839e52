//! What a push finds out first, and what it decides.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use modelkeep_core::{
    Bump, Descriptor, Digest, Limits, Mutability, Reference, SemVer, Tag,
    content::{self, Journal, Target},
    name::Target as Named,
};
use modelkeep_ledger::{
    Draft, History, Outcome, Proposed, Publish, PublishError, Standing, Verdict, judge, publish,
};
use modelkeep_package::{
    cache::Cache,
    image::{ImageSettings, Provenance as Said, RunSettings},
    layout::{layout, layout_raw},
    scan::{self, FileMode, ModelFile, ScanOptions, Warning},
};
use modelkeep_store::{Repository, Store};

use super::{
    Decided, Figures, Job,
    base::{self, OnBase},
};
use crate::{
    args::{Format, Push, Step},
    error::{Exit, Failure},
    globs::Globs,
    held::read_manifest,
    promise::Keeper,
    provenance::now,
    publishing::{check_version, next_free_of, standing, untold_or_none},
    report::{human, json, progress::Progress},
    settings::{Origin, Settings},
    signing::Signing,
    tensors::HashCache,
    wiring::{self, Endpoint},
};

/// How often a version is published whose blobs a collection takes away.
const ATTEMPTS: u32 = 5;

impl<'a> Job<'a> {
    pub(super) fn prepare(
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
        // What the registry would refuse in the end is refused before anything is read. One layer is kept free for
        // the table of tensors.
        let limits = limits(endpoint.as_ref());
        let limits = Limits {
            layers: limits.layers.saturating_sub(1).max(1),
            ..limits
        };
        let format = arguments.format.unwrap_or(settings.format.value);
        let base = OnBase::find(arguments, settings)?;
        let room = base::room_above(base.as_ref(), limits)?;
        let plans = match format {
            Format::ModelPack if base.is_some() => return Err(artifact_on_base(arguments)),
            // A layer for each file, however many: no container mounts them over one another.
            Format::ModelPack if !arguments.index => layout_raw(&scan.files, &limits),
            _ => layout(&scan.files, &image.path, &room),
        };
        let plans = plans.map_err(Failure::failed)?;
        let history = match &endpoint {
            Some(endpoint) => endpoint.history()?,
            None => History::default(),
        };
        let version = match &reference {
            Some(reference) => version(reference)?.clone(),
            None => next_version(arguments, endpoint.as_ref(), &history)?,
        };
        let standing = match &endpoint {
            Some(endpoint) => standing(endpoint, &history, &version)?,
            None => None,
        };
        let (keeper, mutability) = match &endpoint {
            Some(endpoint) => (endpoint.keeper()?, endpoint.mutability()?),
            None => (Keeper::Store, None),
        };
        Ok(Self {
            arguments,
            settings,
            format,
            image,
            directory: directory.to_owned(),
            name,
            version,
            files: scan.files,
            warnings: scan.warnings,
            plans,
            survey: Mutex::default(),
            // The cache lies in the store's directory, which a dry run does not make.
            hashes: HashCache::new(settings, !arguments.dry_run || settings.store.value.exists()),
            base,
            cache: Cache::open(cache_path(settings, directory)),
            endpoint,
            host,
            keeper,
            mutability: mutability.unwrap_or_else(|| settings.mutability.value.clone()),
            history,
            signing: Signing::find()?,
            standing,
        })
    }

    pub(super) fn reference(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}:{}", self.name, self.version),
            None => format!("{}:{}", self.name, self.version),
        }
    }

    /// The repository in the embedded store, if that is where it is.
    pub(super) fn stored(&self) -> Option<&Repository> {
        match &self.endpoint {
            Some(Endpoint::Store(repository)) => Some(repository),
            _ => None,
        }
    }

    /// Which versions may move.
    pub(super) fn mutability(&self) -> &Mutability {
        &self.mutability
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.stamp.size).sum()
    }

    pub(super) fn warn(&self) {
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
        if let Origin::File(path) = &said.origin
            && self.mutability != said.value
        {
            human::line(&format!(
                "warning: {} was made as {}, and stays so whatever {} says now",
                self.name,
                self.mutability.as_str(),
                path.display()
            ));
        }
    }

    /// Whether the version exists and may not move, so that nothing can come of this push but success or refusal.
    /// A version whose tag does not say what the history says is not: its publisher died before the tag, and
    /// publishing finishes that.
    pub(super) fn is_held(&self) -> Result<bool, Failure> {
        let Some(standing) = &self.standing else {
            return Ok(false);
        };
        let tag = match &self.endpoint {
            Some(endpoint) => endpoint.names().resolve(&self.version)?,
            None => None,
        };
        Ok(self.mutability().holds(&self.version)
            && tag.is_some_and(|tag| tag.digest == standing.manifest.digest))
    }

    /// Whether the end has lost a layer of the version that stands, and here is what it was made of.
    pub(super) fn can_restore(&self, decided: &Decided) -> bool {
        let (Some(standing), Some(endpoint)) = (&self.standing, &self.endpoint) else {
            return false;
        };
        let digests = |layers: &[Descriptor]| {
            layers
                .iter()
                .map(|layer| layer.digest.clone())
                .collect::<Vec<_>>()
        };
        let is_lost = |layer| !self.is_reused(None, false, &layer);
        let below = self.base.iter().flat_map(|base| base.image.layers());
        (decided.packed.reused.contains(&false) || below.into_iter().any(is_lost))
            && read_manifest(endpoint.source(), &standing.manifest)
                .is_ok_and(|manifest| digests(&manifest.layers).ends_with(&digests(&decided.packed.layers)))
    }

    /// Reads what must be read to know the content, stores nothing, and judges it.
    pub(super) fn compare(&self, figures: &Figures, progress: &Progress) -> Result<Decided, Failure> {
        let mut packed = self.pack(None, progress)?;
        let contents = self.contents(&packed.digests, &packed.layers)?;
        let root = contents.root();
        let standing = self.standing.as_ref();
        // The manifest needs git and the clock of the commit; where the content decides, they are not asked.
        let same_files = standing.is_some_and(|standing| {
            standing.root.as_ref() == Some(&root) && standing.base.as_ref() == self.base_digest()
        });
        let digest = match standing {
            Some(standing) if same_files => standing.manifest.digest.clone(),
            _ => {
                let (mut said, _) = self.said(figures)?;
                let (recorded, layers) = self.recorded_layers(&mut packed, None)?;
                said.record = Some(recorded);
                self.image(contents, &layers, &said)?.top().digest.clone()
            }
        };
        let verdict = judge(
            self.mutability(),
            &self.version,
            standing.map(Standing::proposed),
            Proposed {
                manifest: &digest,
                root: Some(&root),
                base: self.base_digest(),
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
    pub(super) fn publish(&self, figures: &Figures, progress: &Progress) -> Result<Decided, Failure> {
        match &self.endpoint {
            Some(endpoint @ Endpoint::Remote(_)) => {
                let (said, author) = self.said(figures)?;
                self.check_image(&said)?;
                let (target, journal) = (endpoint.target(), endpoint.journal());
                self.publish_into(target, journal, &said, &author, figures, progress)
            }
            _ => self.publish_stored(figures, progress),
        }
    }

    /// A version to propose instead of one that is taken.
    fn next_free(&self) -> Result<Option<Tag>, Failure> {
        match &self.endpoint {
            Some(endpoint) => next_free_of(endpoint, &self.history, &self.version),
            None => Ok(self.history.next_free(&self.version)),
        }
    }

    pub(super) fn publish_stored(&self, figures: &Figures, progress: &Progress) -> Result<Decided, Failure> {
        let (said, author) = self.said(figures)?;
        self.check_image(&said)?;
        let store = Store::create(&self.settings.store.value)?;
        let (repository, _) = store.create_repository(&self.name, &self.settings.mutability.value, &now())?;
        until_nothing_is_lost(|| {
            self.publish_into(&repository, &repository, &said, &author, figures, progress)
        })
    }

    fn publish_into(
        &self,
        target: &dyn Target,
        journal: &dyn Journal,
        said: &Said,
        author: &str,
        figures: &Figures,
        progress: &Progress,
    ) -> Result<Decided, Failure> {
        let copied = self.copy_base(target, progress)?;
        let mut packed = self.pack(Some(target), progress)?;
        packed.bytes_written += copied.bytes;
        let contents = self.contents(&packed.digests, &packed.layers)?;
        let root = contents.root();
        let statement = self.statement(&contents)?;
        let (recorded, layers) = self.recorded_layers(&mut packed, Some(target))?;
        let said = Said {
            record: Some(recorded),
            ..said.clone()
        };
        let image = self.image(contents, &layers, &said)?;
        for config in &image.configs {
            target.put(&config.descriptor.media_type, &config.bytes)?;
        }
        let signature = self.attach(statement.as_ref(), image.top(), &said, target)?;
        for manifest in image.manifests.iter().chain(&image.index) {
            target.put(&manifest.descriptor.media_type, &manifest.bytes)?;
        }
        let mut children: Vec<Descriptor> = match &image.index {
            Some(_) => image
                .manifests
                .iter()
                .map(|blob| blob.descriptor.clone())
                .collect(),
            None => Vec::new(),
        };
        // Before the version, so that no collection takes the bundle that it names.
        match (&signature, &self.endpoint) {
            (None, _) => {}
            (Some(signature), Some(Endpoint::Remote(registry))) => {
                registry.put_referrer(&signature.manifest.media_type, &signature.manifest_bytes)?;
            }
            (Some(signature), _) => {
                target.put(&signature.manifest.media_type, &signature.manifest_bytes)?;
                children.push(signature.manifest.clone());
            }
        }
        let draft = Draft {
            version: self.version.clone(),
            who: match &self.endpoint {
                Some(endpoint) => endpoint.known_as(self.who(author)?)?,
                None => self.who(author)?,
            },
            children,
            publish: Publish {
                manifest: image.top().clone(),
                root: Some(root),
                base: self.base.as_ref().map(OnBase::said),
                from: None,
                signature: signature.map(|signature| Box::new(signature.bundle)),
                message: self.message(),
                metrics: figures.metrics.clone(),
                params: figures.params.clone(),
            },
        };
        let (outcome, standing) = publish(journal, draft)?;
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

    pub(super) fn report(&self, decided: &Decided) -> json::Push {
        let packed = &decided.packed;
        json::Push {
            reference: self.reference(),
            version: self.version.to_string(),
            digest: decided.digest.clone(),
            content_root: decided.root.clone(),
            outcome: decided.outcome,
            enforcement: self.keeper.as_str(),
            files: self.files.len() as u64,
            bytes: self.bytes(),
            bytes_read: packed.bytes_read,
            bytes_written: packed.bytes_written,
            layers: packed.layers.len() as u64,
            signed: match decided.outcome {
                "published" => self.is_signed(),
                _ => self.standing_is_signed(),
            },
            layers_reused: packed.reused.iter().filter(|&&reused| reused).count() as u64,
            base: self.base.as_ref().map(|base| base.said().into()),
        }
    }
}

/// Tries again when a blob that was there, or was just stored, is gone: a collection without grace beside this push took
/// it, because nothing needed it yet. What is still there is not stored again.
fn until_nothing_is_lost<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(failure) if is_lost(&failure) => {}
            result => return result,
        }
    }
    attempt()
}

fn is_lost(failure: &Failure) -> bool {
    let error: &(dyn std::error::Error + 'static) = &*failure.error;
    matches!(error.downcast_ref(), Some(content::Error::NotFound { .. }))
}

fn artifact_on_base(arguments: &Push) -> Failure {
    let failure = Failure::usage("a ModelPack artifact holds files, and lies on no image");
    match arguments.base {
        Some(_) => failure.hint("leave --base out, or push the version with --format image"),
        None => failure.hint("push the version with --format image, or take image.base out of the settings"),
    }
}

fn version(reference: &Reference) -> Result<&Tag, Failure> {
    match &reference.target {
        Named::Tag(tag) => Ok(tag),
        Named::Digest(_) => Err(Failure::usage(format!(
            "{reference} is a digest: a version is published by its name"
        ))),
    }
}

fn next_version(arguments: &Push, endpoint: Option<&Endpoint>, history: &History) -> Result<Tag, Failure> {
    let bump = match arguments.next {
        Some(Step::Patch) => Bump::Patch,
        Some(Step::Minor) => Bump::Minor,
        Some(Step::Major) => Bump::Major,
        None => return Err(Failure::usage("push needs a VERSION or --next STEP")),
    };
    let next = match endpoint {
        Some(endpoint) => {
            let tagged = untold_or_none(endpoint, history)?;
            let numbers = tagged.iter().filter_map(SemVer::parse);
            let highest = numbers.chain(history.highest()).max_by(|a, b| a.cmp(b));
            modelkeep_ledger::next(highest, |tag| history.has(tag) || tagged.contains(tag), bump)
        }
        None => history.next(bump),
    };
    next.ok_or_else(|| Failure::usage("there is no number after the highest version: name one"))
}

/// What the end takes.
pub(super) fn limits(endpoint: Option<&Endpoint>) -> Limits {
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
pub(crate) fn cache_path(settings: &Settings, directory: &Path) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collection_took_is_stored_again_and_nothing_else_is_tried_twice() {
        let lost = || content::Error::NotFound {
            what: "a layer".to_owned(),
            place: "the repository".to_owned(),
        };
        let mut attempts = 0;
        let mut fail_until = |last: u32, failure: &dyn Fn() -> Failure| {
            attempts = 0;
            let result = until_nothing_is_lost(|| {
                attempts += 1;
                if attempts < last { Err(failure()) } else { Ok(()) }
            });
            (result.is_ok(), attempts)
        };
        assert_eq!(fail_until(3, &|| lost().into()), (true, 3));
        assert_eq!(fail_until(99, &|| lost().into()), (false, ATTEMPTS));
        assert_eq!(fail_until(3, &|| Failure::usage("no")), (false, 1));
    }
}
