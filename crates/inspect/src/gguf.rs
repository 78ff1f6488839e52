//! GGUF 1 to 3: metadata, descriptions of tensors, and the tensors (`docs/gguf.md` of ggml).

mod types;
mod wire;

use std::collections::{BTreeMap, HashSet};

use modelkeep_core::ByteRange;

pub use types::file_type;
use wire::Wire;

use crate::{Bytes, Error, Limits, Result, Tensor, tensor::elements};

const FORMAT: &str = "GGUF";
/// Where data begins, and each tensor in it, unless the file says otherwise.
const ALIGNMENT: u64 = 32;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number that is not negative.
    Unsigned(u64),
    /// Another whole number.
    Signed(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// A text that is too long to be kept, or no UTF-8.
    LongText {
        /// Its length in bytes.
        bytes: u64,
    },
    /// A list, of which only its length and a fingerprint of its elements are kept.
    List {
        /// How many elements it has.
        elements: u64,
        /// BLAKE3 of the elements as they are in the file.
        fingerprint: String,
    },
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one that is not negative.
    #[must_use]
    pub fn unsigned(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(number) => Some(number),
            Self::Signed(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }
}

/// What the header of a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gguf {
    /// Which version of the format it is.
    pub version: u32,
    /// The metadata.
    pub metadata: BTreeMap<String, Value>,
    /// The tensors, in the order in which the file describes them.
    pub tensors: Vec<Tensor>,
}

/// Reads metadata and descriptions of tensors. What they say about the bytes holds: each tensor lies in the file where
/// it may begin, and has no byte in common with another.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Gguf> {
    let mut wire = Wire::open(bytes)?;
    let tensors = wire.count()?;
    Error::bound(FORMAT, "tensors", tensors, limits.tensors)?;
    let entries = wire.count()?;
    Error::bound(FORMAT, "entries of metadata", entries, limits.entries)?;
    let metadata = metadata(&mut wire, entries, limits)?;
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT,
        Some(value) => value
            .unsigned()
            .filter(|alignment| alignment.is_power_of_two() && *alignment <= 1 << 20)
            .ok_or_else(|| wire.malformed("general.alignment is no power of two"))?,
    };
    let mut names = HashSet::new();
    let mut described = Vec::new();
    for _ in 0..tensors {
        let tensor = describe(&mut wire, limits)?;
        if !names.insert(blake3::hash(tensor.0.name.as_bytes())) {
            return Err(wire.malformed(format!("the tensor {:?} is there twice", tensor.0.name)));
        }
        wire.within(limits)?;
        described.push(tensor);
    }
    let start = wire.position().next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(described.len());
    for (mut tensor, offset, length) in described {
        if !offset.is_multiple_of(alignment) {
            return Err(wire.malformed(format!(
                "{:?} begins at {offset}, which is not aligned",
                tensor.name
            )));
        }
        let range = start
            .checked_add(offset)
            .map(|offset| ByteRange { offset, length });
        if range
            .and_then(ByteRange::end)
            .is_none_or(|end| end > bytes.size())
        {
            return Err(wire.malformed(format!("{:?} does not lie in the file", tensor.name)));
        }
        tensor.range = range;
        tensors.push(tensor);
    }
    if let Some(name) = overlap(&tensors) {
        return Err(wire.malformed(format!("{name:?} lies over another tensor")));
    }
    Ok(Gguf {
        version: wire.version(),
        metadata,
        tensors,
    })
}

fn metadata(wire: &mut Wire<'_>, entries: u64, limits: &Limits) -> Result<BTreeMap<String, Value>> {
    let mut metadata = BTreeMap::new();
    for _ in 0..entries {
        let key = wire.name(limits)?;
        let kind = wire.u32()?;
        let value = wire.value(kind, limits)?;
        wire.within(limits)?;
        if metadata.contains_key(&key) {
            return Err(wire.malformed(format!("the key {key:?} is there twice")));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

/// A tensor, where it begins in the data, and its length.
fn describe(wire: &mut Wire<'_>, limits: &Limits) -> Result<(Tensor, u64, u64)> {
    let name = wire.name(limits)?;
    let dimensions = wire.u32()?;
    if dimensions as usize > limits.dimensions {
        return Err(wire.malformed(format!("{name:?} has {dimensions} dimensions")));
    }
    let mut shape = Vec::with_capacity(dimensions as usize);
    for _ in 0..dimensions {
        shape.push(wire.count()?);
    }
    // The first dimension is the one whose elements lie side by side.
    let row = shape.first().copied().unwrap_or(1);
    shape.reverse();
    let kind = wire.u32()?;
    let Some((dtype, block, block_bytes)) = types::tensor_type(kind) else {
        return Err(wire.malformed(format!("{name:?} is of the unknown type {kind}")));
    };
    let length = elements(&shape)
        .filter(|_| row.is_multiple_of(block))
        .and_then(|elements| (elements / block).checked_mul(block_bytes))
        .ok_or_else(|| wire.malformed(format!("{name:?} of shape {shape:?} cannot be of {dtype}")))?;
    let offset = wire.u64()?;
    let tensor = Tensor {
        name,
        dtype: dtype.to_owned(),
        shape,
        range: None,
    };
    Ok((tensor, offset, length))
}

/// The name of a tensor that has a byte in common with another.
fn overlap(tensors: &[Tensor]) -> Option<&str> {
    let mut places: Vec<(u64, u64, &str)> = tensors
        .iter()
        .filter_map(|tensor| {
            let range = tensor.range.filter(|range| range.length > 0)?;
            Some((range.offset, range.end()?, tensor.name.as_str()))
        })
        .collect();
    places.sort_unstable();
    let mut pairs = places.windows(2);
    pairs.find(|pair| pair[1].0 < pair[0].1).map(|pair| pair[1].2)
}

#[cfg(test)]
mod tests;
