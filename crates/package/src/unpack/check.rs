use std::collections::HashMap;

use modelkeep_core::{Contents, Descriptor, Digest, FileEntry, ModelPath};

use super::{Job, UnpackError};
use crate::scan::MOST_FILES;

/// Finds the layer of every file that is asked for. The list comes from a registry, and nothing in it is believed
/// that can be checked here.
pub(super) fn check<'a>(
    layers: &'a [Descriptor],
    contents: &'a Contents,
    include: &dyn Fn(&ModelPath) -> bool,
) -> Result<Vec<Job<'a>>, UnpackError> {
    let files = contents.files().len();
    if files > MOST_FILES {
        let most = MOST_FILES;
        return Err(UnpackError::TooManyFiles { files, most });
    }
    let by_digest: HashMap<&Digest, &Descriptor> =
        layers.iter().map(|layer| (&layer.digest, layer)).collect();
    let mut jobs = Vec::with_capacity(files);
    for file in contents.files() {
        let digest = &contents.layers()[file.layer];
        let Some(&layer) = by_digest.get(digest) else {
            return Err(UnpackError::UnknownLayer {
                path: file.path.clone(),
                layer: digest.clone(),
            });
        };
        let end = file.offset.checked_add(file.size);
        if end.is_none_or(|end| end > layer.size) {
            return Err(UnpackError::Place(file.path.clone()));
        }
        jobs.push(Job { file, layer });
    }
    no_overlap(&jobs, layers, contents)?;
    jobs.retain(|job| include(&job.file.path));
    if jobs.is_empty() {
        return Err(UnpackError::NothingIncluded);
    }
    Ok(jobs)
}

/// Two files in one place would let a small layer fill a disk. Files with the same bytes may each have a layer, which then
/// comes as often in the manifest as in the list.
fn no_overlap(jobs: &[Job<'_>], layers: &[Descriptor], contents: &Contents) -> Result<(), UnpackError> {
    let mut listed: HashMap<&Digest, usize> = HashMap::new();
    for layer in layers {
        *listed.entry(&layer.digest).or_default() += 1;
    }
    // The number of each layer of the list among those with its digest.
    let mut seen: HashMap<&Digest, usize> = HashMap::new();
    let numbers: Vec<usize> = contents
        .layers()
        .iter()
        .map(|digest| {
            let seen = seen.entry(digest).or_default();
            *seen += 1;
            *seen - 1
        })
        .collect();
    let mut places: Vec<((&Digest, usize), &FileEntry)> = jobs
        .iter()
        .filter(|job| job.file.size > 0)
        .map(|job| {
            let digest = &job.layer.digest;
            // What the manifest has not is one of those that it has.
            let times = listed.get(digest).copied().unwrap_or(1);
            ((digest, numbers[job.file.layer].min(times - 1)), job.file)
        })
        .collect();
    places.sort_unstable_by_key(|(layer, file)| (*layer, file.offset));
    let overlap = places
        .windows(2)
        .find(|pair| pair[0].0 == pair[1].0 && pair[0].1.offset + pair[0].1.size > pair[1].1.offset);
    match overlap {
        Some(pair) => Err(UnpackError::Place(pair[1].1.path.clone())),
        None => Ok(()),
    }
}
