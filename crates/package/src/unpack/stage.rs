//! Layers that have to be read from their first byte to their last. Their files are written under numbers, in a
//! directory of their own, so that no name out of an archive touches the disk before all of it has been read, verified
//! and judged.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use modelkeep_core::{Buffer, Contents, Digest, FileEntry, ModelPath, sha256::Sha256};
use modelkeep_disk::{Dir, Kind, Writer};

use super::{
    Call, Job, UnpackError, each, io_error,
    place::{file_name, make_parent},
    write::{MODE, READ},
};
use crate::{
    archive::{self, Expanded, LayerError, too_much},
    foreign::{Holds, Part},
    scan::PARTIAL_PREFIX,
    stream::BUFFER,
    tar::read::{Members, Stream},
};

/// The directory of files that wait, in the root of the destination.
pub(super) fn name() -> String {
    format!("{PARTIAL_PREFIX}layers")
}

/// Where files of layers wait until all layers have been read.
pub(super) struct Stage {
    dir: Dir,
    next: AtomicU64,
    /// Under which number each file waits.
    files: HashMap<ModelPath, u64>,
}

impl Stage {
    /// Makes an empty one in `root`.
    pub(super) fn new(root: &Dir) -> Result<Self, UnpackError> {
        sweep(root)?;
        let dir = root.child_or_new(&name());
        Ok(Self {
            dir: dir.map_err(io_error(format!("make {}", name())))?,
            next: AtomicU64::new(0),
            files: HashMap::new(),
        })
    }

    /// Reads all layers of a version whose files nobody has listed, and lists them. Those that are included wait then.
    pub(super) fn read_all(&mut self, call: &Call<'_>) -> Result<Contents, UnpackError> {
        let parts: Vec<usize> = (0..call.described.parts.len()).collect();
        let read = Mutex::new(Vec::new());
        each(call.workers(), &parts, BUFFER, &|&place, buffer| {
            let part = &call.described.parts[place];
            let found = self
                .read(call, part, buffer)
                .map_err(|source| UnpackError::Layer {
                    layer: part.layer.digest.clone(),
                    source,
                })?;
            read.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((place, found));
            Ok(())
        })?;
        let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
        read.sort_unstable_by_key(|(place, _)| *place);
        let (changes, layers): (Vec<_>, Vec<Digest>) = read
            .into_iter()
            .map(|(place, (change, digest))| ((place, change), digest))
            .unzip();
        let files = archive::overlay(changes, call.described.rule())
            .map_err(|source| UnpackError::Layers { source })?;
        let mut entries = Vec::new();
        for (layer, found) in files {
            let Taken { digest, waits } = found.taken;
            if let Some(number) = waits {
                self.files.insert(found.path.clone(), number);
            }
            entries.push(FileEntry {
                path: found.path,
                size: found.size,
                digest,
                layer,
                offset: found.offset,
            });
        }
        Ok(Contents::new(layers, entries)?)
    }

    fn read(
        &self,
        call: &Call<'_>,
        part: &Part,
        buffer: &mut Buffer,
    ) -> Result<(archive::Change<Taken>, Digest), LayerError> {
        if let (Holds::File(path), true) = (&part.holds, part.is_verified_file()) {
            let digest = part.layer.digest.clone();
            let taken = Taken {
                digest: digest.clone(),
                waits: None,
            };
            return Ok((
                archive::Change::file(path.clone(), part.layer.size, taken),
                digest,
            ));
        }
        let mut expanded = Expanded::open(call.source, part, call.on_bytes)?;
        let most = expanded.left();
        let mut take = |path: &ModelPath, size: u64, reader: &mut dyn Read| {
            if size > most {
                return Err(LayerError::Read(too_much(most)));
            }
            let waits = (call.include)(path).then(|| self.next.fetch_add(1, Ordering::Relaxed));
            let digest = match waits {
                Some(number) => self.keep(number, path, size, reader, buffer)?,
                None => copy(path, size, reader, buffer, None)?,
            };
            Ok(Taken { digest, waits })
        };
        let change = match &part.holds {
            Holds::File(path) => {
                let taken = take(path, part.layer.size, &mut expanded)?;
                archive::Change::file(path.clone(), part.layer.size, taken)
            }
            Holds::Archive(_) => {
                let mut members = Members::unbounded(Stream(&mut expanded));
                archive::read(&mut members, call.described.rule(), &mut take)?
            }
        };
        Ok((change, expanded.finish()?))
    }

    /// Reads the layers of files that are listed, and verifies both. The files wait then.
    pub(super) fn read_listed(&mut self, call: &Call<'_>, jobs: &[Job<'_>]) -> Result<(), UnpackError> {
        let mut by_part: HashMap<&Digest, (&Part, Vec<&FileEntry>)> = HashMap::new();
        for job in jobs {
            let of_part = by_part.entry(&job.part.layer.digest);
            of_part.or_insert_with(|| (job.part, Vec::new())).1.push(job.file);
        }
        let mut parts: Vec<_> = by_part.into_values().collect();
        for (_, files) in &mut parts {
            files.sort_unstable_by_key(|file| file.offset);
        }
        let waiting = Mutex::new(HashMap::new());
        each(call.workers(), &parts, BUFFER, &|(part, files), buffer| {
            let failed = |source| UnpackError::Layer {
                layer: part.layer.digest.clone(),
                source,
            };
            let mut expanded = Expanded::open(call.source, part, call.on_bytes).map_err(failed)?;
            let mut at = 0;
            for file in files {
                if file.size > expanded.left() {
                    return Err(UnpackError::Place(file.path.clone()));
                }
                // No two overlap; where a file without bytes lies, nobody checks and nothing depends on.
                if file.size > 0 {
                    pass(&mut expanded, file.offset - at).map_err(|source| failed(source.into()))?;
                    at = file.offset + file.size;
                }
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let found = self.keep(number, &file.path, file.size, &mut expanded, buffer);
                let found = found.map_err(failed)?;
                if found != file.digest {
                    return Err(UnpackError::Damaged {
                        path: file.path.clone(),
                        expected: file.digest.clone(),
                        found,
                    });
                }
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.insert(file.path.clone(), number);
            }
            expanded.finish().map(|_| ()).map_err(failed)
        })?;
        self.files
            .extend(waiting.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn keep(
        &self,
        number: u64,
        path: &ModelPath,
        size: u64,
        reader: &mut dyn Read,
        buffer: &mut Buffer,
    ) -> Result<Digest, LayerError> {
        let failed = |source| LayerError::Write {
            path: path.clone(),
            source,
        };
        let file = self.dir.create_new(&number.to_string(), MODE).map_err(failed)?;
        let mut writer = Writer::new(&file, size).map_err(failed)?;
        let digest = copy(path, size, reader, buffer, Some(&mut writer))?;
        file.sync_all().map_err(failed)?;
        Ok(digest)
    }

    /// Gives the files of `jobs`, which wait, their names; answers their bytes.
    pub(super) fn place(&self, root: &Dir, jobs: &[Job<'_>]) -> Result<u64, UnpackError> {
        let mut bytes = 0;
        for job in jobs {
            let path = &job.file.path;
            let number = self
                .files
                .get(path)
                .ok_or_else(|| UnpackError::Place(path.clone()))?;
            let placed = make_parent(root, path)
                .and_then(|dir| self.dir.rename_into(&number.to_string(), &dir, file_name(path)));
            placed.map_err(io_error(format!("write {path}")))?;
            bytes += job.file.size;
        }
        Ok(bytes)
    }
}

/// A file of a layer that has been read.
#[derive(Debug)]
struct Taken {
    digest: Digest,
    /// Its number, unless it was not asked for.
    waits: Option<u64>,
}

/// Removes what waits in `root`, also from processes that were killed.
pub(super) fn sweep(root: &Dir) -> Result<(), UnpackError> {
    let name = name();
    let failed = || io_error(format!("remove {name}"));
    match root.kind(&name).map_err(failed())? {
        None => Ok(()),
        Some(Kind::Directory) => {
            let dir = root.child(&name).map_err(failed())?;
            for file in dir.names().map_err(failed())? {
                let removed = match file.to_str() {
                    Some(file) => dir.remove(file),
                    None => Err(ErrorKind::InvalidData.into()),
                };
                removed.map_err(io_error(format!(
                    "remove {}",
                    Path::new(&name).join(&file).display()
                )))?;
            }
            drop(dir);
            root.remove_directory(&name).map_err(failed())
        }
        Some(_) => root.remove(&name).map_err(failed()),
    }
}

fn pass(reader: &mut dyn Read, bytes: u64) -> io::Result<()> {
    match io::copy(&mut reader.take(bytes), &mut io::sink())? {
        passed if passed < bytes => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Reads `size` bytes, hashes them and writes them to `writer`, if there is one.
fn copy(
    path: &ModelPath,
    size: u64,
    reader: &mut dyn Read,
    buffer: &mut Buffer,
    mut writer: Option<&mut Writer>,
) -> Result<Digest, LayerError> {
    let mut hasher = Sha256::new();
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(buffer.len());
        for piece in buffer[..length].chunks_mut(READ) {
            reader.read_exact(piece)?;
            hasher.update(piece);
        }
        if let Some(writer) = &mut writer {
            let written = writer.write_at(at, &buffer[..length]);
            written.map_err(|source| LayerError::Write {
                path: path.clone(),
                source,
            })?;
        }
        at += length as u64;
    }
    Ok(Digest::from_sha256(hasher.finish()))
}

#[cfg(test)]
mod tests;
