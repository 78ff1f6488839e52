//! `modelkeep copy`: an image between any two ends.

mod elsewhere;
mod referrers;
mod stream;
mod version;

use std::collections::BTreeMap;

use modelkeep_core::{Descriptor, Digest, annotation, content::Source};
use modelkeep_ledger::Publication;
use modelkeep_transfer::{Copied, CopyError};

use super::workers;
use crate::{
    args::Copy,
    error::Failure,
    held::{read_manifest, stated},
    origin::Origin,
    place::Place,
    promise::Keeper,
    publishing::Model,
    report::{Answer, human, json, progress::Progress},
    settings::Settings,
    signing,
};

pub(super) fn run(arguments: &Copy, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let job = Job {
        settings,
        from: Place::parse(settings, &arguments.from)?,
        to: Place::parse(settings, &arguments.to)?,
        dry_run: arguments.dry_run,
        quiet: quiet || arguments.json.json,
    };
    let done = match &job.from {
        Place::Daemon { name } => job.stream(name)?,
        _ => job.read()?,
    };
    if !quiet {
        for text in &done.left_out {
            human::line(&format!("note: {}", human::clean(text)));
        }
    }
    let report = done.report(&job);
    if !job.quiet && report.outcome == "published" && report.signed == Some(false) {
        signing::note_unsigned(&report.to);
    }
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    let name = report.digest.as_ref().or(report.image_id.as_ref());
    let name = name.map(|digest| format!(" {digest}")).unwrap_or_default();
    Ok(Answer::done(format!("{}{name}\n", report.to)))
}

/// What is copied where.
struct Job<'a> {
    settings: &'a Settings,
    from: Place,
    to: Place,
    dry_run: bool,
    quiet: bool,
}

/// What was done, or would be.
#[derive(Default)]
struct Done {
    outcome: &'static str,
    digest: Option<Digest>,
    source_digest: Option<Digest>,
    image_id: Option<Digest>,
    root: Option<Digest>,
    copied: Copied,
    referrers: u64,
    left_out: Vec<String>,
    /// Who keeps the version; `None` where nothing became one.
    keeper: Option<Keeper>,
    /// Whether the entry of the version in the history is signed; `None` where nothing became a version.
    signed: Option<bool>,
}

impl Done {
    fn report(self, job: &Job<'_>) -> json::Copy {
        let version = match &job.to {
            Place::Version(reference) => reference.tag().map(ToString::to_string),
            _ => None,
        };
        json::Copy {
            from: job.from.to_string(),
            to: job.to.to_string(),
            version,
            digest: self.digest,
            source_digest: self.source_digest,
            image_id: self.image_id,
            content_root: self.root,
            outcome: self.outcome,
            enforcement: self.keeper.map(Keeper::as_str),
            signed: self.signed,
            blobs: self.copied.blobs,
            blobs_reused: self.copied.reused,
            bytes_written: self.copied.bytes,
            referrers: self.referrers,
            left_out: self.left_out,
        }
    }
}

/// What is said of an image besides its bytes, for the history of where it goes.
#[derive(Default)]
struct Said {
    model: Model,
    message: Option<String>,
    metrics: BTreeMap<String, f64>,
    params: BTreeMap<String, String>,
}

impl Said {
    fn of(origin: &Origin) -> Self {
        Self::read(origin.source(), &origin.root, origin.publication.as_ref())
    }

    fn read(source: &dyn Source, root: &Descriptor, publication: Option<&Publication>) -> Self {
        let model = Model::of(source, root);
        if let Some(publication) = publication {
            let publish = &publication.publish;
            return Self {
                model,
                message: publish.message.clone(),
                metrics: publish.metrics.clone(),
                params: publish.params.clone(),
            };
        }
        // What others write there says nothing about a model.
        if model.root.is_none() {
            return Self::default();
        }
        let image = read_manifest(source, root);
        let annotations = image.map(|image| image.annotations).unwrap_or_default();
        Self {
            model,
            message: annotations.get(annotation::MESSAGE).cloned(),
            metrics: stated(&annotations, annotation::METRICS),
            params: stated(&annotations, annotation::PARAMS),
        }
    }
}

impl Job<'_> {
    fn read(&self) -> Result<Done, Failure> {
        let origin = Origin::open(self.settings, self.from.clone())?;
        match &self.to {
            Place::Version(reference) => self.to_version(&origin, reference),
            Place::Layout { directory, named } => self.to_layout(&origin, directory, named),
            Place::Archive { file, name } => self.to_archive(&origin, file, name.as_deref()),
            Place::Daemon { name } => self.to_daemon(&origin, name),
        }
    }

    fn progress(&self, total: u64) -> Progress {
        Progress::begin(self.quiet, total, "copied")
    }

    fn end(&self, progress: Progress, done: &Done) {
        progress.end(&format!(
            "{} {} as {}: {} {}, {}, {} reused{}",
            done.outcome,
            self.from,
            self.to,
            human::bytes(done.copied.bytes),
            if self.dry_run { "to write" } else { "written" },
            human::count(done.copied.blobs, "blob"),
            done.copied.reused,
            match done.referrers {
                0 => String::new(),
                count => format!(", {} with it", human::count(count, "referrer")),
            },
        ));
    }
}

/// An error of copying, with a hint where one helps.
fn failure(error: CopyError) -> Failure {
    let is_large = matches!(error, CopyError::TooLarge { .. });
    let failure = Failure::failed(error);
    match is_large {
        true => {
            failure.hint("split the file in the model: safetensors in shards are what the libraries expect")
        }
        false => failure,
    }
}
