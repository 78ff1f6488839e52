//! What `inspect` and `diff` look at: a directory or a version.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::SystemTime};

use modelkeep_core::{Digest, SemVer, sha256::Sha256};
use modelkeep_inspect::{Files, Limits, Record, Survey};
use modelkeep_package::{
    cache::Cache,
    foreign::Placed,
    pack::{self, PackError},
    scan::{self, ModelFile, ScanOptions},
};
use modelkeep_transfer::in_parallel;

use crate::{
    commands::{cache_path, workers},
    error::Failure,
    held::Held,
    holding::Holding,
    model::Local,
    report::progress::Progress,
    settings::Settings,
    tensors::{self, HashCache},
    whole::Whole,
};

/// What must be known of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// What its files say that it is.
    Record,
    /// That, and the digests of its files.
    Digests,
}

/// A directory or a version.
pub(crate) enum Subject {
    /// A directory, and what its headers say.
    Directory {
        name: String,
        files: Vec<ModelFile>,
        survey: Arc<Survey>,
    },
    /// A version of which enough is known, or can be read by ranges.
    Version {
        held: Box<Held>,
        holding: Box<Holding>,
        files: Vec<Placed>,
    },
    /// A version whose layers were read whole.
    Whole {
        held: Box<Held>,
        whole: Whole,
        survey: Arc<Survey>,
    },
}

impl Subject {
    /// What `text` names: a directory if it is one and no version number, else a version.
    pub(crate) fn find(settings: &Settings, text: &str, need: Need, quiet: bool) -> Result<Self, Failure> {
        let is_version = text.parse().is_ok_and(|tag| SemVer::parse(&tag).is_some());
        let path = Path::new(text);
        if path.is_dir() && !is_version {
            let files = scan::scan(path, &ScanOptions::default())
                .map_err(Failure::failed)?
                .files;
            let survey = Survey::new(&Local(&files), &Limits::default()).map_err(Failure::failed)?;
            return Ok(Self::Directory {
                name: text.to_owned(),
                files,
                survey: Arc::new(survey),
            });
        }
        if path.is_absolute() || text.starts_with("./") || text.starts_with("../") {
            return Err(Failure::usage(format!("there is no directory {text}")));
        }
        let held = Held::find(settings, text)?;
        let holding = Holding::of(&held, settings)?;
        if is_known(&held, &holding, need)
            && let Some(files) = holding.files(&held)?
        {
            return Ok(Self::Version {
                held: Box::new(held),
                holding: Box::new(holding),
                files,
            });
        }
        let whole = Whole::read(&held, &holding, quiet)?;
        let survey = Survey::new(&Local(&whole.files), &Limits::default()).map_err(Failure::failed)?;
        Ok(Self::Whole {
            held: Box::new(held),
            whole,
            survey: Arc::new(survey),
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Directory { name, .. } => name.clone(),
            Self::Version { held, .. } | Self::Whole { held, .. } => held.reference.to_string(),
        }
    }

    /// The digest of the manifest, if it is a version.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Directory { .. } => None,
            Self::Version { held, .. } | Self::Whole { held, .. } => Some(&held.root.digest),
        }
    }

    /// Its files.
    pub(crate) fn files(&self) -> Box<dyn Files + '_> {
        match self {
            Self::Directory { files, .. } => Box::new(Local(files)),
            Self::Version { held, holding, files } => Box::new(holding.layered(held, files)),
            Self::Whole { whole, .. } => Box::new(Local(&whole.files)),
        }
    }

    /// What it is, and what in it could do harm. The tensors of a directory have no hashes.
    pub(crate) fn record(&self) -> Result<Record, Failure> {
        let (survey, files) = match self {
            Self::Directory { survey, files, .. } => (survey, files),
            Self::Whole { survey, whole, .. } => (survey, &whole.files),
            Self::Version { held, holding, .. } => {
                let record = held.whole_record(holding)?;
                return Ok(record.expect("what is not known is read whole"));
            }
        };
        let mut survey = Survey::clone(survey);
        let scanned = survey.scan(&Local(files), &Limits::default());
        scanned.map_err(Failure::failed)?;
        Ok(survey.finish(&BTreeMap::new()))
    }

    /// The bytes that have to be read to know the digests.
    pub(crate) fn bytes_to_hash(&self) -> u64 {
        match self {
            Self::Directory { files, .. } => files.iter().map(|file| file.stamp.size).sum(),
            Self::Version { .. } | Self::Whole { .. } => 0,
        }
    }

    /// The digests of its files, and what it is, with the hashes of tensors. A directory is read, but for what is
    /// remembered of it.
    pub(crate) fn digests(
        &self,
        settings: &Settings,
        progress: &Progress,
    ) -> Result<(Vec<Digest>, Record), Failure> {
        match self {
            Self::Directory { name, files, survey } => {
                hash(Path::new(name), files, survey, settings, progress)
            }
            Self::Version { files, .. } => {
                let digests = files.iter().filter_map(|file| file.digest.clone());
                Ok((digests.collect(), self.record()?))
            }
            Self::Whole { whole, survey, .. } => {
                let digests = whole.contents.files().iter().map(|file| file.digest.clone());
                let mut tensors = BTreeMap::new();
                for (place, file) in whole.files.iter().enumerate() {
                    if let Some(plan) = survey.plan(place) {
                        let (_, hashes) = tensors::read(file, plan).map_err(Failure::failed)?;
                        tensors.insert(place, hashes);
                    }
                }
                Ok((digests.collect(), survey.finish(&tensors)))
            }
        }
    }

    /// Metrics that were declared with it.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        match self {
            Self::Directory { .. } => BTreeMap::new(),
            Self::Version { held, .. } | Self::Whole { held, .. } => held.metrics(),
        }
    }

    /// Parameters that were declared with it.
    pub(crate) fn params(&self) -> BTreeMap<String, String> {
        match self {
            Self::Directory { .. } => BTreeMap::new(),
            Self::Version { held, .. } | Self::Whole { held, .. } => held.params(),
        }
    }
}

/// Whether enough of a version is known without reading its layers whole.
fn is_known(held: &Held, holding: &Holding, need: Need) -> bool {
    // A table of tensors that lies in a compressed layer is not known.
    let record = held.stated(holding);
    let is_stated = record.is_some_and(|record| record.tensors.is_none_or(|tensors| tensors.table.is_none()));
    let has_digests = need == Need::Record || holding.contents.is_some();
    has_digests && (is_stated || holding.is_ranged())
}

fn hash(
    directory: &Path,
    files: &[ModelFile],
    survey: &Survey,
    settings: &Settings,
    progress: &Progress,
) -> Result<(Vec<Digest>, Record), Failure> {
    let cache = Cache::open(cache_path(settings, directory));
    // Looking at a directory makes no store.
    let is_kept = settings.store.value.exists();
    let hashes = HashCache::new(settings, is_kept);
    let places: Vec<usize> = (0..files.len()).collect();
    let read = in_parallel(&places, workers(), |&place| {
        let (file, plan) = (&files[place], survey.plan(place));
        let held = cache.file(file).and_then(|digest| match plan {
            Some(plan) => Some((digest.clone(), Some(hashes.find(&digest, plan)?))),
            None => Some((digest, None)),
        });
        let found = match held {
            Some(held) => held,
            None => {
                let begun = SystemTime::now();
                let found = match plan {
                    Some(plan) => {
                        let (digest, tensors) = tensors::read(file, plan)?;
                        hashes.add(&digest, plan, &tensors);
                        (digest, Some(tensors))
                    }
                    None => (digest(file)?, None),
                };
                if is_kept {
                    cache.add_file(file, &found.0, begun);
                }
                found
            }
        };
        progress.add(file.stamp.size);
        Ok::<_, PackError>(found)
    })
    .map_err(Failure::failed)?;
    let tensors = read.iter().enumerate();
    let tensors = tensors
        .filter_map(|(place, (_, hashes))| Some((place, hashes.clone()?)))
        .collect();
    let digests = read.into_iter().map(|(digest, _)| digest).collect();
    Ok((digests, survey.finish(&tensors)))
}

fn digest(file: &ModelFile) -> Result<Digest, PackError> {
    let mut opened = pack::open(file)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match std::io::Read::read(&mut opened, &mut piece) {
            Ok(0) => return Ok(Digest::from_sha256(hasher.finish())),
            Ok(came) => hasher.update(&piece[..came]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                let path = file.location.clone();
                return Err(PackError::Read { path, source });
            }
        }
    }
}
