use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
};

use modelkeep_core::{Buffer, ByteRange, Hasher, content::Source};
use modelkeep_disk::{Dir, Writer, unique};

use super::{
    Job, UnpackError, io_error,
    place::{file_name, make_parent, open_directory},
};
use crate::scan::PARTIAL_PREFIX;

/// Mode of a file before the umask.
const MODE: u32 = 0o644;
/// Most bytes that are read at once: they are hashed next, and should still be in the processor's cache.
const READ: usize = 256 << 10;

/// Writes one file under a name of its own, and renames it when it is whole, right and on the disk.
pub(super) fn write(
    source: &dyn Source,
    job: &Job<'_>,
    root: &Dir,
    buffer: &mut Buffer,
    on_bytes: &dyn Fn(u64),
) -> Result<(), UnpackError> {
    let path = &job.file.path;
    let failed = || io_error(format!("write {path}"));
    let dir = make_parent(root, path).map_err(failed())?;
    let temporary = format!("{PARTIAL_PREFIX}{}", unique());
    let file = dir.create_new(&temporary, MODE).map_err(failed())?;
    let written = copy(source, job, &file, buffer, on_bytes)
        .and_then(|()| file.sync_all().map_err(failed()))
        .and_then(|()| dir.rename(&temporary, file_name(path)).map_err(failed()));
    if written.is_err() {
        // The first error is the one to tell; a leftover is known by its name.
        let _ = dir.remove(&temporary);
    }
    written
}

fn copy(
    source: &dyn Source,
    job: &Job<'_>,
    file: &File,
    buffer: &mut Buffer,
    on_bytes: &dyn Fn(u64),
) -> Result<(), UnpackError> {
    let Job { file: entry, layer } = job;
    let path = &entry.path;
    let failed = || io_error(format!("write {path}"));
    let range = ByteRange {
        offset: entry.offset,
        length: entry.size,
    };
    let mut reader = source.open(layer, range).map_err(|source| UnpackError::Source {
        path: path.clone(),
        source,
    })?;
    let mut writer = Writer::new(file, entry.size).map_err(failed())?;
    let mut hasher = Hasher::new(entry.digest.algorithm());
    let mut at = 0;
    while at < entry.size {
        let length = usize::try_from(entry.size - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let mut filled = 0;
        while filled < length {
            let room = &mut buffer[filled..length.min(filled + READ)];
            let came = read(&mut reader, room, job)?;
            if came == 0 {
                return Err(length_error(job, "fewer"));
            }
            hasher.update(&room[..came]);
            filled += came;
            on_bytes(came as u64);
        }
        writer.write_at(at, &buffer[..length]).map_err(failed())?;
        at += length as u64;
    }
    if read(&mut reader, &mut [0], job)? > 0 {
        return Err(length_error(job, "more"));
    }
    let found = hasher.finish();
    if *found.digest() != entry.digest {
        return Err(UnpackError::Damaged {
            path: path.clone(),
            expected: entry.digest.clone(),
            found: found.digest().clone(),
        });
    }
    Ok(())
}

fn read(reader: &mut dyn Read, into: &mut [u8], job: &Job<'_>) -> Result<usize, UnpackError> {
    loop {
        match reader.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => {
                return result.map_err(|source| UnpackError::Read {
                    path: job.file.path.clone(),
                    source,
                });
            }
        }
    }
}

fn length_error(job: &Job<'_>, problem: &'static str) -> UnpackError {
    UnpackError::Length {
        path: job.file.path.clone(),
        expected: job.file.size,
        problem,
    }
}

/// Syncs the names of the files, and of the directories above them.
pub(super) fn sync_directories(root: &Dir, jobs: &[Job<'_>]) -> Result<(), UnpackError> {
    let parents: BTreeSet<&str> = jobs.iter().flat_map(|job| job.file.path.parents()).collect();
    for parent in parents {
        let synced = open_directory(root, parent).and_then(|dir| dir.sync());
        synced.map_err(io_error(format!("sync {parent}")))?;
    }
    root.sync().map_err(io_error("sync the directory"))
}
