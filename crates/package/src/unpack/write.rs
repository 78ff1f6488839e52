use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use modelkeep_core::{Buffer, ByteRange, Digest, FileEntry, Hasher, content::Source};
use modelkeep_disk::{Dir, Writer};

use super::{
    Job, UnpackError, io_error,
    place::{file_name, make_parent, open_directory},
};
use crate::{scan::PARTIAL_PREFIX, stream::BUFFER};

/// Mode of a file before the umask.
pub(super) const MODE: u32 = 0o644;
/// Most bytes that are read at once: they are hashed next, and should still be in the processor's cache.
pub(super) const READ: usize = 256 << 10;

/// Parts of a file below this are not worth to be kept: a multiple of what is written at once.
const KEPT: u64 = BUFFER as u64;

/// Under which name a file is written before it is whole. It is the same in every process, so that what a killed one
/// wrote is gone on with.
pub(super) fn partial_name(file: &FileEntry) -> String {
    let identity = Digest::of(format!("{} {}", file.digest, file.path).as_bytes());
    format!("{PARTIAL_PREFIX}{}", &identity.hex()[..32])
}

/// Writes one file under a name of its own, and renames it when it is whole, right and on the disk. Says how many
/// bytes were written; what was there of it is read and not written.
pub(super) fn write(
    source: &dyn Source,
    job: &Job<'_>,
    root: &Dir,
    buffer: &mut Buffer,
    on_bytes: &dyn Fn(u64),
) -> Result<u64, UnpackError> {
    let path = &job.file.path;
    let failed = || io_error(format!("write {path}"));
    let dir = make_parent(root, path).map_err(failed())?;
    let temporary = partial_name(job.file);
    let mut at = 0;
    let mut written = 0;
    let mut shown = 0;
    loop {
        let (file, there) = open_partial(&dir, &temporary, job.file.size).map_err(failed())?;
        let mut progress = |bytes: u64| {
            at += bytes;
            // What is done a second time is no progress.
            on_bytes(at.max(shown) - shown);
            shown = shown.max(at);
        };
        let copied = copy(source, job, &file, there, buffer, &mut progress);
        written += at.saturating_sub(there);
        let copied = copied
            .and_then(|()| file.sync_all().map_err(failed()))
            .and_then(|()| dir.rename(&temporary, file_name(path)).map_err(failed()));
        match copied {
            Ok(()) => return Ok(written),
            // What a power cut left need not be what was written: all of it anew, then.
            Err(UnpackError::Damaged { .. }) if there > 0 => {
                dir.remove(&temporary).map_err(failed())?;
                at = 0;
            }
            Err(error) => {
                let is_cut_off = matches!(error, UnpackError::Source { .. } | UnpackError::Read { .. });
                if !is_cut_off || at < KEPT {
                    // The first error is the one to tell; a leftover is known by its name.
                    let _ = dir.remove(&temporary);
                }
                return Err(error);
            }
        }
    }
}

/// The file that is written to, and how much of it an earlier process wrote.
fn open_partial(dir: &Dir, name: &str, size: u64) -> io::Result<(File, u64)> {
    match dir.open_own(name) {
        Ok(file) => {
            let there = file.metadata()?.len();
            if there >= KEPT && there <= size {
                return Ok((file, there - there % KEPT));
            }
            dir.remove(name)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Somebody else put it there.
        Err(_) => dir.remove(name)?,
    }
    Ok((dir.create_new(name, MODE)?, 0))
}

fn copy(
    source: &dyn Source,
    job: &Job<'_>,
    file: &File,
    there: u64,
    buffer: &mut Buffer,
    on_bytes: &mut dyn FnMut(u64),
) -> Result<(), UnpackError> {
    let (entry, layer) = (job.file, job.layer());
    let path = &entry.path;
    let failed = || io_error(format!("write {path}"));
    let mut hasher = Hasher::new(entry.digest.algorithm());
    let mut at = 0;
    while at < there {
        let most = usize::try_from(there - at).unwrap_or(READ).min(READ);
        let came = match file.read_at(&mut buffer[..most], at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            came => came.map_err(io_error(format!("read {path}")))?,
        };
        if came == 0 {
            return Err(length_error(job, "fewer"));
        }
        hasher.update(&buffer[..came]);
        at += came as u64;
        on_bytes(came as u64);
    }
    let range = ByteRange {
        offset: entry.offset + there,
        length: entry.size - there,
    };
    let mut reader = source.open(layer, range).map_err(|source| UnpackError::Source {
        path: path.clone(),
        source,
    })?;
    let mut writer = Writer::new(file, entry.size).map_err(failed())?;
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
