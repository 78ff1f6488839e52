use super::{FORMAT, Value};
use crate::{Bytes, Error, Limits, Reader, Result};

/// Most elements of a list of metadata: vocabularies have some 250,000.
const MOST_ELEMENTS: u64 = 4 << 20;
/// Most bytes before the tensors, so that no file keeps us reading: real ones have 20 MB.
const MOST_BYTES: u64 = 256 << 20;

/// The numbers and texts of a file, in the order of bytes that it has.
pub(super) struct Wire<'a> {
    reader: Reader<'a>,
    version: u32,
    is_big_endian: bool,
    /// Bytes of texts that were kept.
    kept: u64,
}

impl<'a> Wire<'a> {
    pub(super) fn open(bytes: &'a dyn Bytes) -> Result<Self> {
        let mut reader = Reader::new(bytes, FORMAT);
        if &reader.array::<4>()? != b"GGUF" {
            return Err(Error::malformed(FORMAT, 0, "it does not begin with \"GGUF\""));
        }
        let raw = reader.array()?;
        let (little, big) = (u32::from_le_bytes(raw), u32::from_be_bytes(raw));
        // Versions are small: where the low half is empty, the bytes are the other way round.
        let is_big_endian = little.trailing_zeros() >= 16;
        let version = if is_big_endian { big } else { little };
        if !(1..=3).contains(&version) {
            return Err(Error::malformed(
                FORMAT,
                4,
                format!("its version {version} is not known"),
            ));
        }
        Ok(Self {
            reader,
            version,
            is_big_endian,
            kept: 0,
        })
    }

    pub(super) fn version(&self) -> u32 {
        self.version
    }

    pub(super) fn position(&self) -> u64 {
        self.reader.position()
    }

    pub(super) fn malformed(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        self.reader.malformed(problem)
    }

    /// Makes sure that what was kept so far is not too much.
    pub(super) fn within(&self, limits: &Limits) -> Result<()> {
        Error::bound(FORMAT, "bytes of texts", self.kept, limits.header_bytes)?;
        Error::bound(FORMAT, "bytes of metadata", self.position(), MOST_BYTES)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        let raw = self.reader.array()?;
        Ok(if self.is_big_endian {
            u32::from_be_bytes(raw)
        } else {
            u32::from_le_bytes(raw)
        })
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        let raw = self.reader.array()?;
        Ok(if self.is_big_endian {
            u64::from_be_bytes(raw)
        } else {
            u64::from_le_bytes(raw)
        })
    }

    /// A length: of 32 bits in version 1.
    pub(super) fn count(&mut self) -> Result<u64> {
        match self.version {
            1 => self.u32().map(u64::from),
            _ => self.u64(),
        }
    }

    /// A text that must be one, and short.
    pub(super) fn name(&mut self, limits: &Limits) -> Result<String> {
        match self.text(limits)? {
            Value::Text(name) => Ok(name),
            _ => Err(self.malformed("a name is too long, or no UTF-8")),
        }
    }

    pub(super) fn value(&mut self, kind: u32, limits: &Limits) -> Result<Value> {
        let swap = self.is_big_endian;
        // Sizes of the scalars, by the numbers that types have.
        let width = match scalar_width(kind) {
            Some(width) => width,
            None if kind == 8 => return self.text(limits),
            None if kind == 9 => return self.list(0, limits),
            None => return Err(self.malformed(format!("a value is of the unknown type {kind}"))),
        };
        let mut raw = [0_u8; 8];
        self.reader.fill(&mut raw[..width])?;
        if swap {
            raw[..width].reverse();
        }
        let unsigned = u64::from_le_bytes(raw);
        let shift = 64 - 8 * width as u32;
        let signed = (unsigned << shift).cast_signed() >> shift;
        Ok(match kind {
            0 | 2 | 4 | 10 => Value::Unsigned(unsigned),
            1 | 3 | 5 | 11 => Value::Signed(signed),
            6 => Value::Float(f64::from(f32::from_bits(unsigned as u32))),
            12 => Value::Float(f64::from_bits(unsigned)),
            _ if unsigned <= 1 => Value::Bool(unsigned == 1),
            _ => return Err(self.malformed("a value is neither true nor false")),
        })
    }

    fn text(&mut self, limits: &Limits) -> Result<Value> {
        let bytes = self.count()?;
        if bytes > limits.text_bytes {
            self.reader.skip(bytes)?;
            return Ok(Value::LongText { bytes });
        }
        let raw = self.reader.take(bytes)?;
        self.kept += bytes;
        Ok(String::from_utf8(raw).map_or(Value::LongText { bytes }, Value::Text))
    }

    fn list(&mut self, depth: usize, limits: &Limits) -> Result<Value> {
        let mut hasher = blake3::Hasher::new();
        let elements = self.elements(depth, limits, &mut hasher)?;
        Ok(Value::List {
            elements,
            fingerprint: hasher.finalize().to_hex().to_string(),
        })
    }

    /// Passes over the elements of a list, and says how many there are.
    fn elements(&mut self, depth: usize, limits: &Limits, hasher: &mut blake3::Hasher) -> Result<u64> {
        if depth == limits.depth {
            return Err(self.malformed("lists lie too deep in lists"));
        }
        let kind = self.u32()?;
        let elements = self.count()?;
        Error::bound(FORMAT, "elements in a list", elements, MOST_ELEMENTS)?;
        self.within(limits)?;
        hasher.update(&kind.to_le_bytes());
        hasher.update(&elements.to_le_bytes());
        match (kind, scalar_width(kind)) {
            (_, Some(width)) => self.pass(elements * width as u64, hasher)?,
            (8, _) => {
                for _ in 0..elements {
                    let bytes = self.count()?;
                    hasher.update(&bytes.to_le_bytes());
                    self.pass(bytes, hasher)?;
                }
            }
            (9, _) => {
                for _ in 0..elements {
                    self.within(limits)?;
                    self.elements(depth + 1, limits, hasher)?;
                }
            }
            _ => return Err(self.malformed(format!("a list is of the unknown type {kind}"))),
        }
        Ok(elements)
    }

    fn pass(&mut self, bytes: u64, hasher: &mut blake3::Hasher) -> Result<()> {
        if bytes > self.reader.left() {
            return Err(self.malformed("a value goes past the end of the file"));
        }
        let mut left = bytes;
        let mut piece = [0; 4096];
        while left > 0 {
            let length = piece.len().min(usize::try_from(left).unwrap_or(piece.len()));
            self.reader.fill(&mut piece[..length])?;
            hasher.update(&piece[..length]);
            left -= length as u64;
        }
        Ok(())
    }
}

/// Bytes of a scalar of a type, by its number.
fn scalar_width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
