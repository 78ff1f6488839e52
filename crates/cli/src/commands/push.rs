//! `modelkeep push`: scan, lay out, pack, publish.

mod base;
mod document;
mod holders;
mod job;
mod layers;
mod record;
mod signed;
mod unsafe_files;

pub(crate) use job::cache_path;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use modelkeep_core::{Descriptor, Digest, Host, Mutability, RepoName, Tag};
use modelkeep_inspect::Survey;
use modelkeep_ledger::{History, Standing};
use modelkeep_package::{
    cache::Cache,
    image::ImageSettings,
    layout::LayerPlan,
    scan::{ModelFile, Warning},
};

use super::workers;
use crate::{
    args::{Format, Global, Push},
    error::{Exit, Failure},
    promise::Keeper,
    report::{Answer, human, json, progress::Progress},
    settings::Settings,
    signing::{self, Signing},
    tensors::HashCache,
    wiring::Endpoint,
};

pub(super) fn run(arguments: &Push, global: &Global) -> Result<Answer, Failure> {
    let (directory, named) = positionals(arguments)?;
    let figures = Figures::parse(arguments)?;
    let settings = Settings::load(global, &directory)?;
    let mut job = Job::prepare(arguments, &settings, &directory, named.as_deref())?;
    let quiet = global.quiet || arguments.json.json;
    if !global.quiet {
        job.warn();
    }
    job.refuse_dangerous(!global.quiet)?;
    let is_held = job.is_held()?;
    if !is_held {
        job.admit(quiet)?;
    }
    let progress = Progress::begin(quiet, job.bytes().saturating_add(job.base_bytes()), "packed");
    let decided = if arguments.dry_run {
        job.compare(&figures, &progress)
    } else if is_held {
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
    if !quiet && decided.outcome == "published" && !report.signed {
        signing::note_unsigned(&report.reference);
    }
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
    format: Format,
    image: ImageSettings,
    directory: PathBuf,
    name: RepoName,
    version: Tag,
    files: Vec<ModelFile>,
    warnings: Vec<Warning>,
    plans: Vec<LayerPlan>,
    /// What the headers of the files say, when somebody has asked.
    survey: Mutex<Option<Arc<Survey>>>,
    hashes: HashCache,
    /// The image that the model is laid on.
    base: Option<base::OnBase>,
    cache: Cache,
    /// `None` when the embedded store does not have the repository yet.
    endpoint: Option<Endpoint>,
    host: Option<Host>,
    keeper: Keeper,
    mutability: Mutability,
    history: History,
    signing: Option<Signing>,
    /// What the version is now.
    standing: Option<Standing>,
}

/// What the layers came to.
struct Packed {
    digests: Vec<Digest>,
    layers: Vec<Descriptor>,
    /// Hashes of the tensors of the files that were read, by the places of the files.
    tensors: BTreeMap<usize, Vec<String>>,
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

fn summary(report: &json::Push) -> String {
    let enforced = match report.enforcement {
        "client" => "; enforced by: client",
        _ => "",
    };
    format!(
        "{} {}: {}, {}; read {}, wrote {}, {} of {} reused{enforced}",
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
