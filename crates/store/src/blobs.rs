use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use modelkeep_core::{
    ALIGNMENT, Buffer, ByteRange, Descriptor, Digest, Hashed, Hasher,
    content::{Arrival, Error, Expect, Result},
};
use modelkeep_disk::{Lock, Reader, Staged, Writer, publish};

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
        Ok(self.size(&blob.digest)? == Some(blob.size))
    }

    /// The size of the blob in bytes, if it is here.
    pub(crate) fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        records::size(&self.keys.blob(digest))
    }

    /// Keeps what lies on the shelf of a blob from being collected; `None` when there is no such shelf.
    pub(crate) fn share(&self, digest: &Digest) -> Result<Option<Lock>> {
        self.shelf(digest, Lock::directory_shared)
    }

    /// Keeps links to what lies on the shelf of a blob from being made or renewed.
    pub(crate) fn lock(&self, digest: &Digest) -> Result<Option<Lock>> {
        self.shelf(digest, Lock::directory)
    }

    fn shelf(&self, digest: &Digest, lock: impl FnOnce(&Path) -> io::Result<Lock>) -> Result<Option<Lock>> {
        let path = self.keys.shelf(digest);
        match lock(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            locked => locked
                .map(Some)
                .map_err(Error::io(format!("lock {}", path.display()))),
        }
    }

    /// Gives a file that is whole the name of its blob, and then calls `link`. When this returns the bytes, the name
    /// and the link are on the disk, in that order.
    ///
    /// What is here already stays; the file is then left where it is.
    pub(crate) fn place(
        &self,
        file: &File,
        from: &Path,
        hashed: &Hashed,
        link: impl Fn() -> Result<()>,
    ) -> Result<()> {
        let path = self.keys.blob(hashed.digest());
        let io = || Error::io(format!("write {}", path.display()));
        publish::create_directories(&self.keys.shelf(hashed.digest())).map_err(io())?;
        let keep = || {
            let _shelf = self.share(hashed.digest())?;
            if self.size(hashed.digest())? != Some(hashed.size()) {
                return Ok(false);
            }
            self.sync(hashed.digest())?;
            link().map(|()| true)
        };
        // The same digest: what has come need not even reach the disk.
        if keep()? {
            return Ok(());
        }
        // Nobody writes to a blob that has a name.
        let mode = file.metadata().map_err(io())?.permissions().mode();
        file.set_permissions(Permissions::from_mode(mode & 0o444))
            .and_then(|()| file.sync_all())
            .map_err(io())?;
        let _shelf = self.share(hashed.digest())?;
        match self.size(hashed.digest())? {
            Some(size) if size != hashed.size() => {
                // Only a broken disk makes such a file.
                fs::rename(from, &path)
                    .and_then(|()| publish::sync_parent(&path))
                    .map_err(io())?;
            }
            _ => publish::move_new(from, &path).map(drop).map_err(io())?,
        }
        link()
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

    /// Gives the blob its name and its link: see [`Blobs::place`].
    pub(crate) fn commit(self, hashed: &Hashed, link: impl Fn() -> Result<()>) -> Result<()> {
        self.arrival.finish(hashed)?;
        self.blobs
            .place(self.staged.file(), self.staged.path(), hashed, link)
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
