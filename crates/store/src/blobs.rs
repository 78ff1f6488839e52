use std::{
    fs::{File, Permissions},
    io::{self, ErrorKind, Read},
    os::unix::fs::PermissionsExt,
};

use modelkeep_core::{
    ALIGNMENT, Buffer, ByteRange, Descriptor, Digest, Hashed, Hasher,
    content::{Arrival, Error, Expect, Result},
};
use modelkeep_disk::{Reader, Staged, Writer, publish};

use crate::{keys::Keys, records};

const BUFFER: usize = 1 << 20;

/// The blobs of all repositories.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    keys: Keys,
}

impl Blobs {
    pub(crate) fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// Whether the blob is here with the size that its descriptor says.
    pub(crate) fn has(&self, blob: &Descriptor) -> Result<bool> {
        Ok(records::size(&self.keys.blob(&blob.digest))? == Some(blob.size))
    }

    /// Makes sure that the name of a blob that is here is on the disk: its writer may have died, or not yet come, to
    /// sync it.
    pub(crate) fn sync(&self, digest: &Digest) -> Result<()> {
        let path = self.keys.blob(digest);
        publish::sync_parent(&path).map_err(Error::io(format!("sync {}", path.display())))
    }

    /// Opens `range` of a blob that a repository says is here.
    pub(crate) fn open(&self, blob: &Descriptor, range: ByteRange) -> Result<Section> {
        let path = self.keys.blob(&blob.digest);
        let io = || Error::io(format!("read {}", path.display()));
        let wrong = |found| Error::Damaged {
            what: blob.digest.to_string(),
            expected: format!("{} bytes", blob.size),
            found,
        };
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(wrong("no file".to_owned())),
            file => file.map_err(io())?,
        };
        let size = file.metadata().map_err(io())?.len();
        if size != blob.size {
            return Err(wrong(format!("{size} bytes")));
        }
        if range.end().is_none_or(|end| end > size) {
            let reason = format!("{} bytes at {} of {size}", range.length, range.offset);
            return Err(io()(io::Error::new(ErrorKind::InvalidInput, reason)));
        }
        Ok(Section {
            reader: Reader::new(file, range.length),
            offset: range.offset,
            left: range.length,
        })
    }

    /// Reads and hashes the blob, and returns its size.
    pub(crate) fn check(&self, digest: &Digest) -> Result<u64> {
        let path = self.keys.blob(digest);
        let io = || Error::io(format!("read {}", path.display()));
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NotFound {
                    what: digest.to_string(),
                    place: "the store".to_owned(),
                });
            }
            file => file.map_err(io())?,
        };
        let size = file.metadata().map_err(io())?.len();
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = Buffer::new(BUFFER);
        let mut reader = Reader::new(file, size);
        let mut offset = 0;
        loop {
            match reader.read_at(offset, &mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    hasher.update(&buffer[..length]);
                    offset += length as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io()(error)),
            }
        }
        let found = hasher.finish();
        if found.digest() != digest {
            return Err(Error::damaged(path.display().to_string(), digest, found.digest()));
        }
        Ok(found.size())
    }

    /// All blobs and their sizes, in the order of their digests.
    pub(crate) fn list(&self) -> Result<impl Iterator<Item = Result<(Digest, u64)>> + use<>> {
        let root = self.keys.blobs();
        let mut shelves = Vec::new();
        for algorithm in records::list(&root)? {
            let prefixes = records::list(&root.join(&algorithm))?;
            shelves.extend(prefixes.into_iter().map(|prefix| (algorithm.clone(), prefix)));
        }
        let shelf = move |(algorithm, prefix): (String, String)| {
            let directory = root.join(&algorithm).join(&prefix);
            let read = records::list(&directory).map(|names| {
                let blob = |name: String| {
                    let path = directory.join(&name);
                    let digest = Keys::parse_blob(&algorithm, &prefix, &name)
                        .ok_or_else(|| records::foreign(path.clone()))?;
                    // Collected meanwhile, if it has no size.
                    Ok(records::size(&path)?.map(|size| (digest, size)))
                };
                names
                    .into_iter()
                    .filter_map(|name| blob(name).transpose())
                    .collect()
            });
            read.unwrap_or_else(|error| vec![Err(error)])
        };
        Ok(shelves.into_iter().flat_map(shelf))
    }

    /// Begins to write a blob.
    pub(crate) fn begin(&self, expect: &Expect<'_>) -> Result<Incoming> {
        let io = || {
            Error::io(format!(
                "write {} bytes to {}",
                expect.size(),
                self.keys.staging().display()
            ))
        };
        let staged = Staged::create(&self.keys.staging()).map_err(io())?;
        Ok(Incoming {
            writer: Writer::new(staged.file(), expect.size()).map_err(io())?,
            staged,
            arrival: Arrival::new(expect),
            blobs: self.clone(),
        })
    }
}

/// A blob being written, still without a name.
pub(crate) struct Incoming {
    writer: Writer,
    staged: Staged,
    arrival: Arrival,
    blobs: Blobs,
}

impl Incoming {
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.arrival.add(ByteRange {
            offset,
            length: bytes.len() as u64,
        })?;
        let written = self.writer.write_at(offset, bytes);
        written.map_err(Error::io(format!("write {}", self.staged.path().display())))
    }

    /// Gives the blob its name. When this returns its bytes and its name are on the disk, in that order.
    pub(crate) fn commit(self, hashed: &Hashed) -> Result<()> {
        self.arrival.finish(hashed)?;
        let path = self.blobs.keys.blob(hashed.digest());
        let io = || Error::io(format!("write {}", path.display()));
        match records::size(&path)? {
            // The same digest: what is here stays, and what has come need not even reach the disk.
            Some(size) if size == hashed.size() => self.blobs.sync(hashed.digest()),
            // Only a broken disk makes such a file.
            Some(_) => self
                .finished()
                .and_then(|staged| staged.replace(&path))
                .map_err(io()),
            None => {
                let directory = path.parent().expect("blobs lie in a directory");
                publish::create_directories(directory).map_err(io())?;
                let published = self.finished().and_then(|staged| staged.publish(&path));
                published.map(drop).map_err(io())
            }
        }
    }

    /// The file as it shall stay: nobody writes to a blob that has a name.
    fn finished(self) -> io::Result<Staged> {
        let file = self.staged.file();
        let mode = file.metadata()?.permissions().mode();
        file.set_permissions(Permissions::from_mode(mode & 0o444))?;
        Ok(self.staged)
    }
}

/// A run of bytes of a file, which ends with an error if the file ends first.
pub(crate) struct Section {
    reader: Reader,
    offset: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        // Past the end of the run too, if that makes it a whole number of blocks, which can be read directly.
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = left
            .checked_next_multiple_of(ALIGNMENT)
            .unwrap_or(left)
            .min(buffer.len());
        let length = self.reader.read_at(self.offset, &mut buffer[..most])?.min(left);
        if length == 0 {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the file became shorter",
            ));
        }
        self.offset += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}
