//! Reading files, once, into layers.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use modelkeep_core::{
    Buffer, Digest, Hashed, ModelPath,
    content::{self, Sink},
    sha256::{Sha256, update_both},
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{
    layout::LayerPlan,
    scan::{ModelFile, Stamp},
    stream::{READ, Stream},
};

/// A layer that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedLayer {
    /// Digest and size of the layer, for [`Sink::commit`].
    pub hashed: Hashed,
    /// The digests of its files, in the order of [`LayerPlan::members`].
    pub files: Vec<Digest>,
}

/// Why a file was not read into its layer.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is not what it was when the directory was scanned.
    #[error("{0} changed while it was read")]
    Changed(ModelPath),
    /// The operating system refused.
    #[error("cannot read {path}")]
    Read {
        /// Where the file is.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The sink refused.
    #[error("cannot write the layer with {path}")]
    Write {
        /// The file that was being read.
        path: ModelPath,
        /// What the sink said.
        #[source]
        source: content::Error,
    },
}

/// Sees the bytes of files while they are read into a layer, so that nobody has to read them a second time.
pub trait Watch {
    /// Takes the next bytes of a file, which is named by its place among the files. They come in order and none is left
    /// out; the files come one after the other.
    fn bytes(&mut self, file: usize, bytes: &[u8]);
}

/// Only counts.
impl<F: FnMut(u64)> Watch for F {
    fn bytes(&mut self, _: usize, bytes: &[u8]) {
        self(bytes.len() as u64);
    }
}

/// Opens a file that was scanned, for reading.
///
/// # Errors
/// [`PackError::Changed`] when it is not what it was; [`PackError::Read`].
pub fn open(file: &ModelFile) -> Result<File, PackError> {
    Opened::open(file).map(|opened| opened.file)
}

/// Reads the files of `plan` and writes their layer to `sink`; without one, the layer is only hashed. `watch` sees the
/// bytes of files as they come.
///
/// Every file is read once. Writes are of 1 MiB, aligned in memory and in the layer, but for the last.
///
/// # Errors
/// [`PackError`]; what the sink got is then worth nothing.
pub fn pack_layer(
    files: &[ModelFile],
    plan: &LayerPlan,
    mut sink: Option<&mut (dyn Sink + '_)>,
    watch: &mut dyn Watch,
) -> Result<PackedLayer, PackError> {
    let mut write = |offset: u64, bytes: &[u8]| match &mut sink {
        Some(sink) => sink.write(offset, bytes),
        None => Ok(()),
    };
    let mut layer = Layer {
        stream: Stream::new(plan.size(), &mut write),
        hasher: Sha256::new(),
    };
    let mut digests = Vec::with_capacity(plan.members().len());
    let mut head = plan.head();
    for member in plan.members() {
        let file = &files[member.file];
        head.extend_from_slice(&plan.before(member, file));
        layer.put(&head).map_err(refused(file))?;
        // A raw layer has one digest, which is that of its file.
        let mut hasher = (!plan.is_raw()).then(Sha256::new);
        layer.put_file(member.file, file, hasher.as_mut(), watch)?;
        digests.extend(hasher.map(|hasher| Digest::from_sha256(hasher.finish())));
        head.clear();
        head.extend_from_slice(plan.after(file.stamp.size));
    }
    let last = plan.members().last().map(|member| &files[member.file]);
    head.extend_from_slice(plan.end());
    let finished = layer.put(&head).and_then(|()| layer.stream.finish());
    if let (Err(error), Some(last)) = (finished, last) {
        return Err(refused(last)(error));
    }
    let hashed = Hashed::from_sha256(layer.hasher);
    if plan.is_raw() {
        digests.push(hashed.digest().clone());
    }
    Ok(PackedLayer {
        hashed,
        files: digests,
    })
}

/// Reads a file that was scanned, and gives the digest of its bytes. `on_bytes` is told how many came, as they come.
///
/// # Errors
/// [`PackError::Read`]; [`PackError::Changed`] when it is not what was scanned.
pub fn hash_file(file: &ModelFile, on_bytes: &mut dyn FnMut(u64)) -> Result<Digest, PackError> {
    let mut opened = Opened::open(file)?;
    let mut hasher = Sha256::new();
    let mut buffer = Buffer::new(READ);
    let mut left = file.stamp.size;
    while left > 0 {
        let room = usize::try_from(left).map_or(READ, |left| left.min(READ));
        let came = opened.read(&mut buffer[..room])?;
        hasher.update(&buffer[..came]);
        left -= came as u64;
        on_bytes(came as u64);
    }
    opened.finish()?;
    Ok(Digest::from_sha256(hasher.finish()))
}

/// A piece of a layer.
pub enum Piece<'a> {
    /// Headers and padding.
    Bytes(&'a [u8]),
    /// `length` bytes of a file, from `offset` on.
    File {
        /// The file, open for reading.
        file: &'a File,
        /// The first byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
    },
}

/// Gives the layer of `plan` from its byte `from` on to `take`, in order and unread: for a layer whose digest is known.
/// Whoever takes it must be able to find out that it was another one.
///
/// # Errors
/// [`PackError`].
pub fn feed_layer(
    files: &[ModelFile],
    plan: &LayerPlan,
    from: u64,
    take: &mut dyn FnMut(Piece<'_>) -> content::Result<()>,
) -> Result<(), PackError> {
    let mut at = 0;
    let bytes = |at: &mut u64, bytes: &[u8], take: &mut dyn FnMut(Piece<'_>) -> content::Result<()>| {
        let length = bytes.len() as u64;
        let known = from.saturating_sub(*at).min(length);
        *at += length;
        match &bytes[usize::try_from(known).unwrap_or(bytes.len())..] {
            [] => Ok(()),
            rest => take(Piece::Bytes(rest)),
        }
    };
    let mut head = plan.head();
    for member in plan.members() {
        let file = &files[member.file];
        let size = file.stamp.size;
        head.extend_from_slice(&plan.before(member, file));
        bytes(&mut at, &head, take).map_err(refused(file))?;
        let offset = from.saturating_sub(at).min(size);
        if offset < size {
            let opened = Opened::open(file)?;
            let piece = Piece::File {
                file: &opened.file,
                offset,
                length: size - offset,
            };
            take(piece).map_err(refused(file))?;
            opened.check()?;
        }
        at += size;
        head.clear();
        head.extend_from_slice(plan.after(size));
    }
    head.extend_from_slice(plan.end());
    let last = plan.members().last().map(|member| &files[member.file]);
    match (bytes(&mut at, &head, take), last) {
        (Err(error), Some(last)) => Err(refused(last)(error)),
        _ => Ok(()),
    }
}

struct Layer<'a> {
    stream: Stream<'a, content::Error>,
    hasher: Sha256,
}

impl Layer<'_> {
    fn put(&mut self, bytes: &[u8]) -> content::Result<()> {
        self.hasher.update(bytes);
        self.stream.put(bytes)
    }

    /// Reads a file into the layer; its bytes go through `hasher` too.
    fn put_file(
        &mut self,
        place: usize,
        file: &ModelFile,
        mut hasher: Option<&mut Sha256>,
        watch: &mut dyn Watch,
    ) -> Result<(), PackError> {
        let mut opened = Opened::open(file)?;
        let mut left = file.stamp.size;
        while left > 0 {
            let room = self.stream.room(left);
            let came = opened.read(room)?;
            match &mut hasher {
                Some(hasher) => update_both(hasher, &mut self.hasher, &room[..came]),
                None => self.hasher.update(&room[..came]),
            }
            watch.bytes(place, &room[..came]);
            self.stream.advance(came).map_err(refused(file))?;
            left -= came as u64;
        }
        opened.finish()
    }
}

fn refused(file: &ModelFile) -> impl FnOnce(content::Error) -> PackError {
    let path = file.path.clone();
    move |source| PackError::Write { path, source }
}

/// A file that is open for reading, and is the one that was scanned.
pub(crate) struct Opened<'a> {
    file: File,
    scanned: &'a ModelFile,
}

impl<'a> Opened<'a> {
    pub(crate) fn open(scanned: &'a ModelFile) -> Result<Self, PackError> {
        // Without NONBLOCK, opening a pipe that was put there since would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&scanned.location, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => {
                return Err(PackError::Changed(scanned.path.clone()));
            }
            Err(error) => return Err(unreadable(scanned)(error.into())),
        };
        let opened = Self { file, scanned };
        opened.check()?;
        Ok(opened)
    }

    /// Reads some bytes, of which there must be at least one.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, PackError> {
        match read_some(&mut self.file, into).map_err(unreadable(self.scanned))? {
            0 => Err(PackError::Changed(self.scanned.path.clone())),
            came => Ok(came),
        }
    }

    /// Makes sure that the file ends here, and that nobody wrote to it since it was scanned.
    fn finish(mut self) -> Result<(), PackError> {
        let more = read_some(&mut self.file, &mut [0]).map_err(unreadable(self.scanned))?;
        if more > 0 {
            return Err(PackError::Changed(self.scanned.path.clone()));
        }
        self.check()
    }

    fn check(&self) -> Result<(), PackError> {
        let metadata = self.file.metadata().map_err(unreadable(self.scanned))?;
        if metadata.is_file() && Stamp::of(&metadata) == self.scanned.stamp {
            Ok(())
        } else {
            Err(PackError::Changed(self.scanned.path.clone()))
        }
    }
}

fn unreadable(file: &ModelFile) -> impl FnOnce(io::Error) -> PackError {
    let path = file.location.clone();
    move |source| PackError::Read { path, source }
}

fn read_some(file: &mut File, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
