use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use modelkeep_core::{
    ALIGNMENT, Algorithm, Buffer, Digest, Hashed, Hasher,
    content::{Error, Result},
    sha256::Sha256,
};
use modelkeep_disk::{Reader, Writer};

use super::{Upload, UploadError, buffers::Lent, hex, resume};
use crate::records;

/// What every upload has for itself, so that a thousand slow ones fit into memory. A multiple of [`ALIGNMENT`].
const OWN: usize = 16 << 10;
/// Who fills [`OWN`] in this time is fast enough to be lent a buffer.
const FAST: Duration = Duration::from_millis(10);
/// Who does not fill what was lent in this time must give it back.
const SLOW: Duration = Duration::from_secs(1);
/// Smaller blobs are neither written directly nor is room taken for them before they come.
const WORTH_IT: u64 = 1 << 20;

/// An upload that this process writes to, and no other.
///
/// Bytes are hashed as they come. As long as they come fast they go to the disk by the mebibyte, past the page cache,
/// from a buffer that the uploads of this process share; when they come slowly, or all of those are lent, by 16 KiB.
/// Dropping it gives up what has come since the last [`Writing::save`], and the lock.
pub struct Writing {
    upload: Upload,
    /// Locked.
    file: File,
    /// Made when there is a first full buffer: most blobs are smaller.
    writer: Option<Writer>,
    own: Buffer,
    /// Used instead of `own`.
    lent: Option<Lent>,
    /// Where in the file the buffer begins: a multiple of [`ALIGNMENT`].
    base: u64,
    /// How much of the buffer there is.
    filled: usize,
    /// Since when it is being filled.
    since: Instant,
    hasher: Sha256,
    /// The disk has refused something: what was hashed is not all there.
    failed: bool,
}

impl Writing {
    pub(super) fn new(upload: Upload, file: File) -> std::result::Result<Self, UploadError> {
        let path = upload.place.data();
        let io = || Error::io(format!("write {}", path.display()));
        let offset = upload.state.offset;
        let hasher = resume(&upload.place.state(), &upload.state)?;
        let found = file.metadata().map_err(io())?.len();
        if found < offset {
            let expected = format!("{offset} bytes");
            let (what, found) = (path.display().to_string(), format!("{found} bytes"));
            return Err(Error::Damaged {
                what,
                expected,
                found,
            }
            .into());
        }
        // What came after the record was never hashed, or its hash died with its process.
        file.set_len(offset).map_err(io())?;
        let filled = (offset % ALIGNMENT as u64) as usize;
        let mut own = Buffer::new(OWN);
        file.read_exact_at(&mut own[..filled], offset - filled as u64)
            .map_err(io())?;
        Ok(Self {
            upload,
            file,
            writer: None,
            own,
            lent: None,
            base: offset - filled as u64,
            filled,
            since: Instant::now(),
            hasher,
            failed: false,
        })
    }

    /// The upload that is written to.
    #[must_use]
    pub fn upload(&self) -> &Upload {
        &self.upload
    }

    /// How many bytes have come, saved or not.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + self.filled as u64
    }

    /// Takes room for `bytes` more, so that a full disk is noticed before they have come.
    ///
    /// # Errors
    /// [`Error::Io`], whose source is [`ErrorKind::StorageFull`] when there is no room and
    /// [`ErrorKind::FileTooLarge`] when no file can be so large.
    pub fn expect(&mut self, bytes: u64) -> Result<()> {
        let size = self.offset().saturating_add(bytes);
        if size <= WORTH_IT {
            return Ok(());
        }
        let io = self.io();
        self.writer().and_then(|writer| writer.reserve(size)).map_err(io)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; what has come since the last save is lost then.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.space();
            let taken = space.len().min(bytes.len());
            space[..taken].copy_from_slice(&bytes[..taken]);
            self.advance(taken)?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Room for the next bytes, never none: who can read them into a given place saves a copy. They count when
    /// [`Writing::advance`] is called.
    pub fn space(&mut self) -> &mut [u8] {
        let filled = self.filled;
        &mut self.buffer()[filled..]
    }

    /// Takes the first `length` bytes of [`Writing::space`].
    ///
    /// # Errors
    /// As [`Writing::write`].
    pub fn advance(&mut self, length: usize) -> Result<()> {
        let (begin, end) = (self.filled, self.filled + length);
        let buffer = match &self.lent {
            Some(lent) => &lent[..],
            None => &self.own[..],
        };
        self.hasher.update(&buffer[begin..end]);
        let is_full = end == buffer.len();
        self.filled = end;
        match (is_full, self.since.elapsed()) {
            (false, took) if took > SLOW => self.rest(),
            (false, _) => Ok(()),
            (true, took) if took < FAST && self.is_lent_another() => Ok(()),
            (true, _) => self.put(end),
        }
    }

    /// Whether a buffer is lent to this upload, which is to [rest](Writing::rest) when nothing comes for a while.
    #[must_use]
    pub fn holds_memory(&self) -> bool {
        self.lent.is_some()
    }

    /// Gives back what was lent: bytes come slowly, or not at all. What has come is written, as far as whole blocks
    /// go, and not made durable.
    ///
    /// # Errors
    /// As [`Writing::write`].
    pub fn rest(&mut self) -> Result<()> {
        if self.lent.is_some() {
            self.put(self.filled - self.filled % ALIGNMENT)?;
            let lent = self.lent.take().expect("it was there three lines above");
            self.own[..self.filled].copy_from_slice(&lent[..self.filled]);
        }
        Ok(())
    }

    /// Goes on in a lent buffer, if there is one and this is not one already.
    fn is_lent_another(&mut self) -> bool {
        if self.lent.is_none()
            && let Some(mut lent) = self.upload.repository.buffers.lend()
        {
            lent[..self.filled].copy_from_slice(&self.own[..self.filled]);
            self.lent = Some(lent);
            self.since = Instant::now();
            return true;
        }
        false
    }

    fn buffer(&mut self) -> &mut [u8] {
        match &mut self.lent {
            Some(lent) => lent,
            None => &mut self.own,
        }
    }

    /// Writes the first `length` bytes of the buffer, a multiple of [`ALIGNMENT`], and takes them out of it.
    fn put(&mut self, length: usize) -> Result<()> {
        self.refuse_if_failed()?;
        // Until it is written.
        self.failed = true;
        self.write_out(length)?;
        self.failed = false;
        let filled = self.filled;
        self.buffer().copy_within(length..filled, 0);
        self.base += length as u64;
        self.filled -= length;
        self.since = Instant::now();
        Ok(())
    }

    /// Writes the first `length` bytes of the buffer to their place: directly if that is worth it.
    fn write_out(&mut self, length: usize) -> Result<()> {
        let base = self.base;
        let direct = self.lent.is_some() && base + length as u64 >= WORTH_IT;
        if direct {
            let io = self.io();
            self.writer().map(drop).map_err(io)?;
        }
        let bytes = match &self.lent {
            Some(lent) => &lent[..length],
            None => &self.own[..length],
        };
        let written = match &mut self.writer {
            Some(writer) if direct => writer.write_at(base, bytes),
            _ => self.file.write_all_at(bytes, base),
        };
        written.map_err(self.io())
    }

    fn refuse_if_failed(&self) -> Result<()> {
        if self.failed {
            return Err(self.io()(io::Error::other("a write before this one failed")));
        }
        Ok(())
    }

    /// Makes all that has come durable, so that the upload goes on from here whatever happens.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&mut self) -> Result<()> {
        self.flush()?;
        if self.offset() == self.upload.state.offset {
            return Ok(());
        }
        self.file.sync_data().map_err(self.io())?;
        let state = &mut self.upload.state;
        state.least = state.least.into_iter().chain(state.last).min();
        state.last = Some(self.base + self.filled as u64 - state.offset);
        self.upload.state.offset = self.offset();
        self.upload.state.sha256 = hex(&self.hasher.export());
        let record = records::json(&self.upload.state);
        let staging = self.upload.repository.store.staging();
        records::replace(&staging, &self.upload.place.state(), &record)
    }

    /// Makes a blob of what has come, which the repository may read, and gives its size in bytes. The upload is no
    /// more then.
    ///
    /// # Errors
    /// [`UploadError::Digest`] when it is not `digest`; the upload is no more then either. [`UploadError::Content`]
    /// when the disk refuses; it can be tried again from the last save.
    pub fn finish(mut self, digest: &Digest) -> std::result::Result<u64, UploadError> {
        self.flush()?;
        let hashed = match digest.algorithm() {
            Algorithm::Sha256 => Hashed::from_sha256(self.hasher.clone()),
            algorithm => self.hash_again(algorithm)?,
        };
        if hashed.digest() != digest {
            self.upload.place.remove()?;
            return Err(UploadError::Digest {
                expected: digest.clone(),
                found: hashed.digest().clone(),
            });
        }
        let repository = &self.upload.repository;
        repository
            .blobs
            .place(&self.file, &self.upload.place.data(), &hashed, || {
                repository.link(digest)
            })?;
        self.upload.place.remove()?;
        Ok(hashed.size())
    }

    /// Gives up what has come since the last save, and its room on the disk. The upload goes on from there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn give_up(self) -> Result<()> {
        let saved = self.upload.state.offset;
        self.file.set_len(saved).map_err(self.io())
    }

    /// Ends the upload; what has come is removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn cancel(self) -> Result<()> {
        self.upload.place.remove()
    }

    /// Writes what is in the buffer. It stays there: its last block is not full, and is written again when it is.
    fn flush(&mut self) -> Result<()> {
        self.refuse_if_failed()?;
        self.write_out(self.filled)
    }

    /// Reads all that was written. Only sha512 needs it, which hardly any client uses, and which none announces.
    fn hash_again(&mut self, algorithm: Algorithm) -> Result<Hashed> {
        let path = self.upload.place.data();
        let io = || Error::io(format!("read {}", path.display()));
        let file = self.file.try_clone().map_err(io())?;
        // Small reads are left to the page cache, which reads ahead.
        let direct_bytes = if self.lent.is_some() { self.offset() } else { 0 };
        let mut reader = Reader::new(file, direct_bytes);
        let mut hasher = Hasher::new(algorithm);
        let buffer = self.buffer();
        let mut offset = 0;
        loop {
            match reader.read_at(offset, buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(length) => {
                    hasher.update(&buffer[..length]);
                    offset += length as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io()(error)),
            }
        }
    }

    fn writer(&mut self) -> io::Result<&mut Writer> {
        if self.writer.is_none() {
            self.writer = Some(Writer::growing(&self.file)?);
        }
        Ok(self.writer.as_mut().expect("it was made a line above"))
    }

    fn io(&self) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::io(format!("write {}", self.upload.place.data().display()))
    }
}
