use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    io::Read,
    path::Path,
    sync::{Mutex, PoisonError},
};

use modelkeep_core::{Buffer, Contents, Digest, ModelPath, sha256::Sha256};
use modelkeep_disk::{Dir, Kind};

use super::{
    Existing, Job, Obstacle, UnpackError, each, io_error, most_bytes,
    place::{Place, file_name, open_directory, parent},
    stage,
    write::partial_name,
};
use crate::scan::PARTIAL_PREFIX;

/// Looks at the directories of the version for what is not in it: leftovers of killed processes are removed, but
/// for those that are gone on with; other files are refused, let be, or (in a directory that is ours alone) removed.
pub(super) fn clean(
    place: &Place,
    contents: &Contents,
    jobs: &[Job<'_>],
    existing: Existing,
    destination: &Path,
) -> Result<(), UnpackError> {
    // A file of the version that was not asked for is nothing to complain about, and nothing to hand out either.
    let listed: Vec<&ModelPath> = match place {
        Place::New(_) => jobs.iter().map(|job| &job.file.path).collect(),
        Place::Old(_) => contents.files().iter().map(|file| &file.path).collect(),
    };
    let partial: HashSet<(&str, String)> = jobs
        .iter()
        .map(|job| (parent(&job.file.path), partial_name(job.file)))
        .collect();
    let files: HashSet<&str> = listed.iter().map(|path| path.as_str()).collect();
    let mut directories: BTreeSet<&str> = listed.iter().flat_map(|path| path.parents()).collect();
    directories.insert("");
    for &directory in &directories {
        let Some(dir) = open(place.dir(), directory, destination)? else {
            continue;
        };
        let shown = || format!("list {}", destination.join(directory).display());
        for name in dir.names().map_err(io_error(shown()))? {
            let path = Path::new(directory).join(&name);
            let listed = path.to_str();
            if listed.is_some_and(|path| files.contains(path) || directories.contains(path)) {
                continue;
            }
            let name = name.to_str();
            if name.is_some_and(|name| partial.contains(&(directory, name.to_owned()))) {
                continue;
            }
            if directory.is_empty() && name.is_some_and(|name| name == stage::name()) {
                continue;
            }
            if let Some(name) = name.filter(|name| name.starts_with(PARTIAL_PREFIX)) {
                dir.remove(name)
                    .map_err(io_error(format!("remove {}", destination.join(&path).display())))?;
            } else if let Place::New(_) = place {
                remove(&place.path(destination).join(&path))?;
            } else if existing == Existing::Refuse && !is_empty_directory(&dir, name)? {
                return Err(UnpackError::Occupied {
                    destination: destination.to_owned(),
                    example: path.display().to_string(),
                    obstacle: Obstacle::Unlisted,
                });
            }
        }
    }
    Ok(())
}

/// Opens the directory at `path` below `root`, if it is there.
fn open(root: &Dir, path: &str, destination: &Path) -> Result<Option<Dir>, UnpackError> {
    match open_directory(root, path) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(UnpackError::Occupied {
            destination: destination.to_owned(),
            example: path.to_owned(),
            obstacle: Obstacle::Kind,
        }),
        Err(error) => Err(io_error(format!("open {}", destination.join(path).display()))(
            error,
        )),
    }
}

/// A directory with nothing in it is in nobody's way. A name that is not UTF-8 is never one of ours.
fn is_empty_directory(dir: &Dir, name: Option<&str>) -> Result<bool, UnpackError> {
    let Some(name) = name else {
        return Ok(false);
    };
    let empty = match dir.kind(name) {
        Ok(Some(Kind::Directory)) => dir
            .child(name)
            .and_then(|dir| dir.names())
            .map(|names| names.is_empty()),
        Ok(kind) => Ok(kind.is_none()),
        Err(error) => Err(error),
    };
    empty.map_err(io_error(format!("look at {name}")))
}

/// Removes what an interrupted pull of another version left.
fn remove(path: &Path) -> Result<(), UnpackError> {
    let removed = fs::symlink_metadata(path).and_then(|metadata| {
        if metadata.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    });
    removed.map_err(io_error(format!("remove {}", path.display())))
}

/// The files that are not there as the version has them.
pub(super) fn missing<'a>(
    root: &Dir,
    jobs: &[Job<'a>],
    workers: usize,
    existing: Existing,
    destination: &Path,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Job<'a>>, UnpackError> {
    let right = Mutex::new(HashSet::new());
    each(workers, jobs, most_bytes(jobs, workers), &|job, buffer| {
        let path = &job.file.path;
        let found = look(root, job, buffer).map_err(io_error(format!(
            "read {}",
            destination.join(path.as_str()).display()
        )))?;
        let obstacle = match (found, existing) {
            (Found::Same, _) => {
                right
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(path.clone());
                on_bytes(job.file.size);
                return Ok(());
            }
            (Found::Nothing, _) | (Found::Other, Existing::Replace) => return Ok(()),
            (Found::Other, Existing::Refuse) => Obstacle::Differs,
            (Found::Blocked, _) => Obstacle::Kind,
        };
        Err(UnpackError::Occupied {
            destination: destination.to_owned(),
            example: path.to_string(),
            obstacle,
        })
    })?;
    let right = right.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missing = jobs.iter().filter(|job| !right.contains(&job.file.path));
    Ok(missing.copied().collect())
}

enum Found {
    Nothing,
    Same,
    Other,
    Blocked,
}

fn look(root: &Dir, job: &Job<'_>, buffer: &mut Buffer) -> io::Result<Found> {
    let dir = match open_directory(root, parent(&job.file.path)) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Found::Blocked),
        Err(error) => return Err(error),
    };
    let name = file_name(&job.file.path);
    match dir.kind(name)? {
        None => return Ok(Found::Nothing),
        Some(Kind::File(size)) if size == job.file.size => {}
        Some(Kind::Directory) => return Ok(Found::Blocked),
        Some(_) => return Ok(Found::Other),
    }
    let mut file = dir.open_file(name)?.take(job.file.size);
    let mut hasher = Sha256::new();
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(bytes) => hasher.update(&buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let whole = hasher.length() == job.file.size;
    let same = whole && Digest::from_sha256(hasher.finish()) == job.file.digest;
    Ok(if same { Found::Same } else { Found::Other })
}
