//! `modelkeep pull`

mod locked;

use std::path::PathBuf;

use modelkeep_core::{ModelPath, annotation};
use modelkeep_inspect::{Record, danger::Finding};
use modelkeep_package::unpack::{Existing, Obstacle, UnpackError, UnpackOptions, unpack};

use super::workers;
use crate::{
    args::Pull,
    error::{Exit, Failure},
    globs::Globs,
    held::Held,
    report::{Answer, findings, human, json, progress::Progress},
    settings::Settings,
};

pub(super) fn run(arguments: &Pull, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let job = Job {
        included: Included::parse(&arguments.include)?,
        arguments,
        quiet,
    };
    if arguments.locked {
        return job.locked(settings);
    }
    let version = arguments.version.as_deref().unwrap_or_default();
    let report = job.pull(&Held::find_for_use(settings, version)?)?;
    Ok(job.answer(&report))
}

struct Job<'a> {
    arguments: &'a Pull,
    included: Included,
    quiet: bool,
}

impl Job<'_> {
    /// What the lock file names, or all of it.
    fn locked(&self, settings: &Settings) -> Result<Answer, Failure> {
        let (path, found) = locked::find(settings, self.arguments.version.as_deref())?;
        if found.len() > 1 && self.arguments.output.is_some() {
            return Err(Failure::usage(format!(
                "{} versions are locked, and -o DIR is for one",
                found.len()
            )));
        }
        let mut pulled = Vec::new();
        for locked in found {
            pulled.push(self.pull(&locked.held(settings)?)?);
        }
        match (pulled.as_slice(), &self.arguments.version) {
            ([one], Some(_)) => Ok(self.answer(one)),
            (all, _) if !self.arguments.json.json => {
                let lines = all.iter().map(|report| format!("{}\n", report.directory));
                Ok(Answer::done(lines.collect::<String>()))
            }
            _ => Ok(json::answer(&json::Locked {
                path: path.display().to_string(),
                pulled,
            })),
        }
    }

    fn answer(&self, report: &json::Pull) -> Answer {
        if self.arguments.json.json {
            return json::answer(report);
        }
        Answer::done(format!("{}\n", report.directory))
    }

    fn pull(&self, held: &Held) -> Result<json::Pull, Failure> {
        let arguments = self.arguments;
        let contents = held.model()?;
        let directory = match &arguments.output {
            Some(directory) => directory.clone(),
            None => default_directory(held),
        };
        let include = |path: &ModelPath| self.included.matches(path);
        let files = contents.files().iter().filter(|file| include(&file.path));
        let total = files.fold(0u64, |sum, file| sum.saturating_add(file.size));
        let findings = findings(held, &include);
        if !self.quiet {
            findings::warn(findings.iter());
        }
        let options = UnpackOptions {
            existing: if arguments.force {
                Existing::Replace
            } else {
                Existing::Refuse
            },
            workers: workers(),
        };
        let progress = Progress::begin(self.quiet || arguments.json.json, total, "written");
        let layers = &held.manifest.layers;
        let add = |bytes| progress.add(bytes);
        let unpacked = unpack(
            held.repository.source(),
            layers,
            &contents,
            &include,
            &directory,
            &options,
            &add,
        )
        .map_err(|error| failure(error, held))?;
        let report = json::Pull {
            reference: held.reference.to_string(),
            version: held.version(),
            digest: held.root.digest.clone(),
            directory: directory.display().to_string(),
            files: unpacked.files as u64,
            bytes: unpacked.bytes,
            bytes_written: unpacked.bytes_written,
            files_reused: unpacked.reused_files as u64,
            findings,
        };
        progress.end(&format!(
            "pulled {}: {}, {}, verified; wrote {}, {} reused",
            report.reference,
            human::count(report.files, "file"),
            human::bytes(report.bytes),
            human::bytes(report.bytes_written),
            human::count(report.files_reused, "file"),
        ));
        Ok(report)
    }
}

/// What the version was found to hold when it was published, of the files that are written.
fn findings(held: &Held, include: &dyn Fn(&ModelPath) -> bool) -> Vec<Finding> {
    let record = held.label(annotation::RECORD).and_then(Record::parse);
    let mut findings = record.map_or_else(Vec::new, |record| record.findings);
    findings.retain(|finding| finding.file.parse().is_ok_and(|path| include(&path)));
    findings
}

/// `NAME-VERSION`, as an archive of sources would unpack.
fn default_directory(held: &Held) -> PathBuf {
    let name = held.reference.name.last();
    match held.reference.tag() {
        Some(tag) => format!("{name}-{tag}").into(),
        None => format!("{name}-{}", held.root.digest.short()).into(),
    }
}

fn failure(error: UnpackError, held: &Held) -> Failure {
    match &error {
        UnpackError::Damaged { .. }
        | UnpackError::Length { .. }
        | UnpackError::UnknownLayer { .. }
        | UnpackError::Place(_) => {
            let hint = format!("`modelkeep verify {}` says what else is damaged", held.reference);
            Failure::new(Exit::Damage, error).hint(hint)
        }
        UnpackError::Occupied {
            obstacle: Obstacle::Kind,
            ..
        } => Failure::failed(error).hint("move it away, or name another directory with -o DIR"),
        UnpackError::Occupied { .. } => Failure::failed(error)
            .hint("name another directory with -o DIR, or replace what is in the way with --force"),
        UnpackError::NothingIncluded => {
            let hint = format!("`modelkeep show {}` lists its files", held.reference);
            Failure::new(Exit::Usage, error).hint(hint)
        }
        _ => Failure::failed(error),
    }
}

/// The patterns of `--include`: all files when there is none.
struct Included(Option<Globs>);

impl Included {
    fn parse(patterns: &[String]) -> Result<Self, Failure> {
        if patterns.is_empty() {
            return Ok(Self(None));
        }
        let globs = Globs::parse(patterns).map_err(|error| Failure::usage(format!("--include: {error}")))?;
        Ok(Self(Some(globs)))
    }

    fn matches(&self, path: &ModelPath) -> bool {
        self.0.as_ref().is_none_or(|globs| globs.match_path(path))
    }
}
