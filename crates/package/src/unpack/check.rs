use modelkeep_core::{Contents, Digest, FileEntry, ModelPath};

use super::{Job, UnpackError};
use crate::{
    foreign::{Coding, Described, Holds, Kind},
    scan::{self, MOST_FILES, PARTIAL_PREFIX},
};

/// Most bytes that a version may have by naming the same layer more than once, as two models with one license do.
const MOST_REPEATED: u64 = 1 << 30;

/// Finds the layer of every file of a list that is asked for. The list comes from a registry, and nothing in it is
/// believed that can be checked here.
pub(super) fn listed<'a>(
    described: &'a Described,
    contents: &'a Contents,
    include: &dyn Fn(&ModelPath) -> bool,
) -> Result<Vec<Job<'a>>, UnpackError> {
    let files = contents.files().len();
    if files > MOST_FILES {
        let most = MOST_FILES;
        return Err(UnpackError::TooManyFiles { files, most });
    }
    let parts = described.places(contents);
    let mut jobs = Vec::with_capacity(files);
    for file in contents.files() {
        let Some(part) = parts[file.layer] else {
            return Err(UnpackError::UnknownLayer {
                path: file.path.clone(),
                layer: contents.layers()[file.layer].clone(),
            });
        };
        let part = &described.parts[part];
        let is_staged = part.coding() != Coding::Plain;
        let end = file.offset.checked_add(file.size);
        // How far a compressed layer reaches shows when it is read.
        if !is_staged && end.is_none_or(|end| end > part.layer.size) {
            return Err(UnpackError::Place(file.path.clone()));
        }
        jobs.push(Job {
            file,
            part,
            is_staged,
        });
    }
    no_overlap(&jobs)?;
    let jobs = chosen(jobs, include)?;
    match described.kind {
        // Who pushed a list of ours was warned.
        Kind::Image => Ok(jobs),
        _ => no_collision(jobs),
    }
}

/// The layer of every file that is asked for, of a list whose layers are the parts of the version.
pub(super) fn found<'a>(
    described: &'a Described,
    contents: &'a Contents,
    include: &dyn Fn(&ModelPath) -> bool,
) -> Result<Vec<Job<'a>>, UnpackError> {
    if contents.files().is_empty() {
        return Err(UnpackError::NoModel);
    }
    let job = |file: &'a FileEntry| Job {
        file,
        part: &described.parts[file.layer],
        is_staged: !described.parts[file.layer].is_verified_file(),
    };
    no_collision(chosen(contents.files().iter().map(job).collect(), include)?)
}

/// Two files that are one on some disks would be one file there, and which one is chance.
fn no_collision(jobs: Vec<Job<'_>>) -> Result<Vec<Job<'_>>, UnpackError> {
    let same = scan::collisions(jobs.iter().map(|job| &job.file.path));
    match same.into_iter().next() {
        Some(same) => Err(UnpackError::Collision(same)),
        None => Ok(jobs),
    }
}

fn chosen<'a>(
    mut jobs: Vec<Job<'a>>,
    include: &dyn Fn(&ModelPath) -> bool,
) -> Result<Vec<Job<'a>>, UnpackError> {
    jobs.retain(|job| include(&job.file.path));
    if jobs.is_empty() {
        return Err(UnpackError::NothingIncluded);
    }
    let is_reserved = |path: &ModelPath| path.components().any(|name| name.starts_with(PARTIAL_PREFIX));
    match jobs.iter().find(|job| is_reserved(&job.file.path)) {
        Some(job) => Err(UnpackError::Reserved(job.file.path.clone())),
        None => Ok(jobs),
    }
}

/// Two files in one place would let a small layer fill a disk.
fn no_overlap(jobs: &[Job<'_>]) -> Result<(), UnpackError> {
    let mut places: Vec<(&Digest, &Job<'_>)> = jobs
        .iter()
        .filter(|job| job.file.size > 0)
        .map(|job| (&job.part.layer.digest, job))
        .collect();
    places.sort_unstable_by_key(|(layer, job)| (*layer, job.file.offset));
    let mut repeated = 0u64;
    for pair in places.windows(2) {
        let [(layer, before), (next, job)] = pair else {
            continue;
        };
        if layer != next || before.file.offset + before.file.size <= job.file.offset {
            continue;
        }
        // Two files that are the same are one layer, if each is a layer.
        let is_whole = matches!(job.part.holds, Holds::File(_)) && job.file.offset == 0;
        repeated = repeated.saturating_add(job.file.size);
        if !is_whole || repeated > MOST_REPEATED {
            return Err(UnpackError::Place(job.file.path.clone()));
        }
    }
    Ok(())
}
