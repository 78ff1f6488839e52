//! JSON of foreign files, within limits. serde_json nests 128 deep at most and ends with an error there.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error as _, SeqAccess, Visitor};

use crate::{Bytes, Error, Limits, Reader, Result};

/// A whole file, if it is not too large to be read.
pub(crate) fn whole(bytes: &dyn Bytes, format: &'static str, limits: &Limits) -> Result<Vec<u8>> {
    Error::bound(format, "bytes", bytes.size(), limits.header_bytes)?;
    Reader::new(bytes, format).take(bytes.size())
}

/// Reads a document that serde knows. `offset` is where it begins in the file.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8], format: &'static str, offset: u64) -> Result<T> {
    serde_json::from_slice(text).map_err(wrong(text, format, offset))
}

/// Shows the object that a document is to a visitor.
pub(crate) fn visit<'de, V: Visitor<'de>>(
    text: &'de [u8],
    format: &'static str,
    offset: u64,
    visitor: V,
) -> Result<V::Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = deserializer.deserialize_map(visitor);
    value
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(wrong(text, format, offset))
}

fn wrong<'a>(
    text: &'a [u8],
    format: &'static str,
    offset: u64,
) -> impl FnOnce(serde_json::Error) -> Error + 'a {
    move |error| {
        let place = byte_of(text, error.line(), error.column());
        Error::malformed(format, offset + place, error.to_string())
    }
}

/// Most dimensions of a tensor that a header may give.
const DIMENSIONS: usize = 32;

/// The dimensions of a tensor. A list of millions of them is not kept.
pub(crate) fn shape<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<u64>, D::Error> {
    struct Sides;
    impl<'de> Visitor<'de> for Sides {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {DIMENSIONS} whole numbers")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> std::result::Result<Vec<u64>, A::Error> {
            let mut sides = Vec::new();
            while let Some(side) = sequence.next_element()? {
                if sides.len() == DIMENSIONS {
                    return Err(A::Error::invalid_length(DIMENSIONS + 1, &self));
                }
                sides.push(side);
            }
            Ok(sides)
        }
    }
    deserializer.deserialize_seq(Sides)
}

/// Reads a small file.
pub(crate) fn read<T: DeserializeOwned>(
    bytes: &dyn Bytes,
    format: &'static str,
    limits: &Limits,
) -> Result<T> {
    parse(&whole(bytes, format, limits)?, format, 0)
}

fn byte_of(text: &[u8], line: usize, column: usize) -> u64 {
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let before: usize = lines.by_ref().take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)) as u64
}
