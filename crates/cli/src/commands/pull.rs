//! `modelkeep pull`

mod locked;

use std::path::{Path, PathBuf};

use modelkeep_core::{Contents, ModelPath, content::Error};
use modelkeep_disk::publish;
use modelkeep_inspect::danger::Finding;
use modelkeep_package::{
    foreign::LayerError,
    unpack::{Existing, Obstacle, UnpackError, UnpackOptions, unpack},
};

use super::workers;
use crate::{
    args::Pull,
    error::{Exit, Failure},
    globs::Globs,
    held::{Held, Signature},
    holding::{self, Holding},
    report::{Answer, findings, human, json, progress::Progress},
    settings::Settings,
    signature,
    signing::is_within,
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
    let report = job.pull(&Held::find_for_use(settings, version)?, settings)?;
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
        if found.len() > 1 && self.arguments.with_signature.is_some() {
            return Err(Failure::usage(format!(
                "{} versions are locked, and --with-signature FILE is for one",
                found.len()
            )));
        }
        let mut pulled = Vec::new();
        for locked in found {
            pulled.push(self.pull(&locked.held(settings)?, settings)?);
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

    fn pull(&self, held: &Held, settings: &Settings) -> Result<json::Pull, Failure> {
        let arguments = self.arguments;
        let holding = Holding::of(held, settings)?;
        let directory = match &arguments.output {
            Some(directory) => directory.clone(),
            None => default_directory(held),
        };
        let signature = arguments.with_signature.as_deref();
        let signature = signature
            .map(|file| Ok::<_, Failure>((file, signature_of(held, &holding, file, &directory)?)))
            .transpose()?;
        let include = |path: &ModelPath| self.included.matches(path);
        let total = match &holding.contents {
            Some(contents) => {
                let files = contents.files().iter().filter(|file| include(&file.path));
                files.fold(0u64, |sum, file| sum.saturating_add(file.size))
            }
            None => holding.packed_bytes(),
        };
        let findings = findings(held, &holding, &include);
        if !self.quiet {
            findings::warn(findings.iter());
            if !holding.is_own {
                human::line(&format!(
                    "note: {0} is {1}; `modelkeep scan {0}` looks for what in it could do harm",
                    held.reference, holding.described.kind
                ));
            }
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
        let add = |bytes| progress.add(bytes);
        let unpacked = unpack(
            held.repository.source(),
            &holding.described,
            holding.contents.as_ref(),
            &include,
            &directory,
            &options,
            &add,
        )
        .map_err(|error| failure(error, held))?;
        if let Some((file, bundle)) = &signature {
            publish::replace(file, bundle)
                .map_err(|error| Failure::failed(Error::io(format!("write {}", file.display()))(error)))?;
        }
        let report = json::Pull {
            reference: held.reference.to_string(),
            version: held.version(),
            digest: held.root.digest.clone(),
            directory: directory.display().to_string(),
            files: unpacked.files as u64,
            bytes: unpacked.bytes,
            bytes_written: unpacked.bytes_written,
            signature: signature.map(|(file, _)| file.display().to_string()),
            files_reused: unpacked.reused_files as u64,
            content_root: unpacked
                .found
                .as_ref()
                .or(holding.contents.as_ref())
                .map(Contents::root),
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

/// The bundle over the files of the version, which goes to `file`. The files are then written from the same list that
/// it was compared with, and hashed on the way.
fn signature_of(held: &Held, holding: &Holding, file: &Path, directory: &Path) -> Result<Vec<u8>, Failure> {
    if is_within(file, directory) {
        return Err(Failure::usage(format!(
            "{} lies in {}, and would become part of the model",
            file.display(),
            directory.display()
        )));
    }
    // What a digest names is what it is without a history; who signed it is not.
    let found = match &held.signature {
        None if held.publication.is_none() => Signature::find(&held.repository.history()?, &held.root),
        _ => None,
    };
    let signature = held.signature.as_ref().or(found.as_ref());
    let (Some(signature), Some(contents)) = (signature, &holding.contents) else {
        return Err(
            Failure::new(Exit::Failed, format!("{} is not signed", held.reference)).hint(format!(
                "`modelkeep sign {} --key FILE` signs it with a key of yours",
                held.reference
            )),
        );
    };
    let source = held.repository.source();
    signature::verified(source, &signature.bundle, &signature.key, contents)
        .map_err(|error| Failure::new(Exit::Damage, error))
}

/// What the version was found to hold when it was published, of the files that are written.
fn findings(held: &Held, holding: &Holding, include: &dyn Fn(&ModelPath) -> bool) -> Vec<Finding> {
    let mut findings = held
        .stated(holding)
        .map_or_else(Vec::new, |record| record.findings);
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

/// What a version that is not written is told as.
pub(crate) fn failure(error: UnpackError, held: &Held) -> Failure {
    match &error {
        UnpackError::Damaged { .. }
        | UnpackError::Length { .. }
        | UnpackError::UnknownLayer { .. }
        | UnpackError::Place(_)
        | UnpackError::Layer {
            source: LayerError::Damaged { .. } | LayerError::DiffId { .. } | LayerError::Length { .. },
            ..
        } => {
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
        UnpackError::NoModel => Failure::failed(error).hint(
            "a model that lies elsewhere in an image than in /models is found by `path = \"/DIR\"` under [image] in \
             modelkeep.toml",
        ),
        UnpackError::Collision(_) => {
            Failure::failed(error).hint("`--include PATTERN` chooses one of them")
        }
        UnpackError::Layer { .. } | UnpackError::Layers { .. } | UnpackError::Files(_) => {
            Failure::failed(error).hint(holding::export(held))
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
