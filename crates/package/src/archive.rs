//! A layer that others packed, read from its first byte to its last: the one thing that can be done with an archive
//! whose members nobody has listed, or that is compressed.
//!
//! What comes out is believed only after [`Expanded::finish`]: then the layer was what its digest says, and so was what
//! it expanded to, where that is stated.

mod members;
mod ranged;
mod zstd;

use std::{
    cell::RefCell,
    io::{self, BufReader, Read},
    rc::Rc,
};

use flate2::read::MultiGzDecoder;
use modelkeep_core::{
    Algorithm, ByteRange, Digest, Hasher, InvalidPath, ModelPath,
    content::{self, Source},
    media,
};

use crate::foreign::Part;

pub(crate) use members::{Change, Rule, overlay, read};
pub use ranged::{Placed, list};

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Plain,
    /// RFC 1952
    Gzip,
    /// RFC 8878
    Zstd,
}

impl Coding {
    /// That of a layer of an image, by the OCI name of its media type.
    pub(crate) fn of_layer(media_type: &str) -> Option<Self> {
        match media::oci_layer(media_type) {
            media::OCI_LAYER => Some(Self::Plain),
            media::OCI_LAYER_GZIP => Some(Self::Gzip),
            media::OCI_LAYER_ZSTD => Some(Self::Zstd),
            _ => None,
        }
    }

    /// That of an archive whose media type ends with `suffix`.
    pub(crate) fn of_suffix(suffix: &str) -> Option<Self> {
        match suffix {
            "tar" => Some(Self::Plain),
            "tar+gzip" => Some(Self::Gzip),
            "tar+zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why a layer that others packed is not read.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The end that holds it does not give it.
    #[error("cannot open it")]
    Source(#[from] content::Error),
    /// It stopped, or is not what its media type says.
    #[error("it cannot be read to its end")]
    Read(#[from] io::Error),
    /// It is not what its digest says.
    #[error("it is damaged: expected {expected}, found {found}")]
    Damaged {
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// It has fewer bytes than its descriptor says.
    #[error("it should have {expected} bytes, and has {found}")]
    Length {
        /// How many the descriptor says.
        expected: u64,
        /// How many came.
        found: u64,
    },
    /// It does not expand to what the config says.
    #[error("it expands to {found}, and the config says {expected}")]
    DiffId {
        /// What the config says.
        expected: Digest,
        /// What it expands to.
        found: Digest,
    },
    /// A member that is no file and no directory.
    #[error("{name:?} in it is {what}, and a model has files and directories only")]
    Kind {
        /// Its name.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// A name that must not touch a disk.
    #[error("it has a member that is refused")]
    Path(#[from] InvalidPath),
    /// A name that more than one place could be meant by.
    #[error("the name {name:?} in it is refused: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// The same path twice.
    #[error("{0} comes twice in it")]
    Twice(ModelPath),
    /// More members than a model may have.
    #[error("more than {0} of its members are of the model")]
    TooMany(usize),
    /// A file could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: ModelPath,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Up to here no ratio is too good.
const UNSUSPECTED: u64 = 256 << 20;
/// Bytes out of one byte in, past which what is large is no model.
const MOST_RATIO: u64 = 200;
/// Bytes that are asked for at once.
const PIECE: usize = 128 << 10;

/// A layer as it comes, and what it expands to.
pub(crate) struct Expanded<'a> {
    part: &'a Part,
    decoder: Box<dyn Read + 'a>,
    packed: Rc<RefCell<Tally>>,
    /// What it expands to; `None` where that is the layer itself.
    plain: Option<Hasher>,
    size: u64,
    most: u64,
}

/// The hash of bytes that went by.
struct Tally {
    hasher: Hasher,
    size: u64,
}

impl Tally {
    fn new(algorithm: Algorithm) -> Self {
        Self {
            hasher: Hasher::new(algorithm),
            size: 0,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }
}

/// Bytes that are hashed as they are read.
struct Counted<'a> {
    input: Box<dyn Read + Send + 'a>,
    tally: Rc<RefCell<Tally>>,
    on_bytes: &'a dyn Fn(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let came = self.input.read(into)?;
        self.tally.borrow_mut().add(&into[..came]);
        (self.on_bytes)(came as u64);
        Ok(came)
    }
}

impl<'a> Expanded<'a> {
    /// Opens a layer; `on_bytes` is told of its bytes as they come.
    pub(crate) fn open(
        source: &'a dyn Source,
        part: &'a Part,
        on_bytes: &'a dyn Fn(u64),
    ) -> Result<Self, LayerError> {
        let layer = &part.layer;
        let range = ByteRange {
            offset: 0,
            length: layer.size,
        };
        let packed = Rc::new(RefCell::new(Tally::new(layer.digest.algorithm())));
        let counted = Counted {
            input: source.open(layer, range)?,
            tally: Rc::clone(&packed),
            on_bytes,
        };
        let buffered = BufReader::with_capacity(PIECE, counted);
        let decoder: Box<dyn Read + 'a> = match part.coding() {
            Coding::Plain => Box::new(buffered),
            Coding::Gzip => Box::new(MultiGzDecoder::new(buffered)),
            Coding::Zstd => Box::new(zstd::Frames::new(buffered)),
        };
        let algorithm = part.diff_id.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let is_itself = part.coding() == Coding::Plain && algorithm == layer.digest.algorithm();
        Ok(Self {
            part,
            decoder,
            packed,
            plain: (!is_itself).then(|| Hasher::new(algorithm)),
            size: 0,
            most: match part.coding() {
                Coding::Plain => layer.size,
                _ => layer.size.saturating_mul(MOST_RATIO).max(UNSUSPECTED),
            },
        })
    }

    /// How many bytes may still come.
    pub(crate) fn left(&self) -> u64 {
        self.most - self.size
    }

    /// Reads what is left, and answers the digest of what the layer expanded to.
    pub(crate) fn finish(mut self) -> Result<Digest, LayerError> {
        io::copy(&mut self, &mut io::sink())?;
        let Self {
            part,
            packed,
            plain,
            decoder,
            ..
        } = self;
        drop(decoder);
        let packed = Rc::into_inner(packed).expect("the reader is gone").into_inner();
        let layer = &part.layer;
        if packed.size != layer.size {
            return Err(LayerError::Length {
                expected: layer.size,
                found: packed.size,
            });
        }
        let found = packed.hasher.finish().digest().clone();
        if found != layer.digest {
            let expected = layer.digest.clone();
            return Err(LayerError::Damaged { expected, found });
        }
        let plain = plain.map_or_else(|| found.clone(), |plain| plain.finish().digest().clone());
        match &part.diff_id {
            Some(expected) if *expected != plain => Err(LayerError::DiffId {
                expected: expected.clone(),
                found: plain,
            }),
            _ => Ok(plain),
        }
    }
}

impl Read for Expanded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let came = self.decoder.read(into)?;
        if came as u64 > self.left() {
            return Err(too_much(self.most));
        }
        if let Some(plain) = &mut self.plain {
            plain.update(&into[..came]);
        }
        self.size += came as u64;
        Ok(came)
    }
}

/// Writes a file that lies in a layer, compressed or not, to `out`. Its bytes are those of `file.digest`, if that is
/// known; the rest of the layer is not read, and not verified.
///
/// # Errors
/// [`LayerError`]; some of the file may have been written then.
pub fn copy_out(
    source: &dyn Source,
    part: &Part,
    file: &Placed,
    out: &mut dyn io::Write,
) -> Result<(), LayerError> {
    let mut expanded = Expanded::open(source, part, &|_| {})?;
    let mut skipped = (&mut expanded).take(file.offset);
    if io::copy(&mut skipped, &mut io::sink())? < file.offset {
        return Err(LayerError::Read(io::ErrorKind::UnexpectedEof.into()));
    }
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut left = file.size;
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        expanded.read_exact(&mut piece[..length])?;
        hasher.update(&piece[..length]);
        out.write_all(&piece[..length])
            .map_err(|source| LayerError::Write {
                path: file.path.clone(),
                source,
            })?;
        left -= length as u64;
    }
    let found = hasher.finish().digest().clone();
    match &file.digest {
        Some(expected) if *expected != found => Err(LayerError::Damaged {
            expected: expected.clone(),
            found,
        }),
        _ => Ok(()),
    }
}

/// So little that is to become so much is a bomb.
pub(crate) fn too_much(most: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it expands to more than {most} bytes, as only what is made to fill a disk does"),
    )
}

#[cfg(test)]
mod tests;
