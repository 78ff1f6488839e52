//! safetensors: a length, a header in JSON, and the tensors side by side.

use std::{collections::BTreeMap, fmt};

use modelkeep_core::ByteRange;
use serde::{
    Deserialize,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    Bytes, Error, Limits, Reader, Result, json,
    tensor::{Tensor, packed_bytes},
};

const FORMAT: &str = "safetensors";

/// What the header of a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Safetensors {
    /// The tensors, in the order in which they lie in the file.
    pub tensors: Vec<Tensor>,
    /// Texts of the one who wrote the file.
    pub metadata: BTreeMap<String, String>,
}

/// Reads the header. What it says about the bytes holds: the tensors fill the file from the header to the end, without a
/// gap, and each has the length of its shape.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Safetensors> {
    let mut reader = Reader::new(bytes, FORMAT);
    let length = u64::from_le_bytes(reader.array()?);
    if length > reader.left() {
        return Err(Error::malformed(
            FORMAT,
            0,
            format!(
                "the header would have {length} bytes, and the file has {}",
                bytes.size()
            ),
        ));
    }
    Error::bound(FORMAT, "bytes of header", length, limits.header_bytes)?;
    let text = reader.take(length)?;
    if text.first() != Some(&b'{') {
        return Err(Error::malformed(FORMAT, 8, "the header does not begin with '{'"));
    }
    let header = json::visit(&text, FORMAT, 8, Entries(limits))?;
    drop(text);
    Error::bound(FORMAT, "tensors", header.count, limits.tensors)?;
    if let Some(name) = header.twice {
        return Err(Error::malformed(FORMAT, 8, format!("{name:?} is there twice")));
    }
    let mut entries = header.tensors;
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let start = 8 + length;
    let mut end = 0;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let [from, to] = entry.data_offsets;
        if from != end || to < from {
            let problem =
                format!("{name:?} lies from {from} to {to}, and the tensor before it ends at {end}");
            return Err(Error::malformed(FORMAT, 8, problem));
        }
        if packed_bytes(&entry.dtype, &entry.shape) != Some(to - from) {
            let problem = format!(
                "{name:?} of shape {:?} and dtype {:?} does not have {} bytes",
                entry.shape,
                entry.dtype,
                to - from
            );
            return Err(Error::malformed(FORMAT, 8, problem));
        }
        end = to;
        tensors.push(Tensor {
            name,
            dtype: entry.dtype,
            shape: entry.shape,
            // `end` never passes the end of the file, or the next check says so.
            range: Some(ByteRange {
                offset: start.saturating_add(from),
                length: to - from,
            }),
        });
    }
    if start.checked_add(end) != Some(bytes.size()) {
        let problem = format!(
            "the tensors have {end} bytes, and {} come after the header",
            bytes.size() - start
        );
        return Err(Error::malformed(FORMAT, start, problem));
    }
    Ok(Safetensors {
        tensors,
        metadata: header.metadata,
    })
}

/// The index of a model in several files: which file holds which tensor.
#[derive(Debug, Deserialize)]
pub(crate) struct ShardIndex {
    pub(crate) weight_map: BTreeMap<String, String>,
}

pub(crate) fn read_index(bytes: &dyn Bytes, limits: &Limits) -> Result<ShardIndex> {
    json::read(bytes, "index of safetensors", limits)
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    #[serde(deserialize_with = "json::shape")]
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

#[derive(Default)]
struct Header {
    tensors: Vec<(String, Entry)>,
    /// How many tensors there are; past the limit they are only counted.
    count: u64,
    metadata: BTreeMap<String, String>,
    /// A name that is there twice. Readers disagree about which one counts.
    twice: Option<String>,
}

struct Entries<'a>(&'a Limits);

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
        let mut header = Header::default();
        let mut seen = std::collections::HashSet::new();
        while header.count < self.0.tensors {
            let Some(name) = map.next_key::<String>()? else {
                return Ok(header);
            };
            if !seen.insert(blake3::hash(name.as_bytes())) {
                header.twice = Some(name);
                map.next_value::<IgnoredAny>()?;
            } else if name == "__metadata__" {
                header.metadata = map.next_value()?;
            } else {
                header.count += 1;
                header.tensors.push((name, map.next_value()?));
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            header.count += 1;
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    fn read_text(header: &str, data: usize) -> Result<Safetensors> {
        read(&file(header, data), &Limits::default())
    }

    #[test]
    fn tensors_come_in_the_order_of_their_bytes() {
        let header = r#"{"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},"__metadata__":{"format":"pt"},
            "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}, "e":{"dtype":"I64","shape":[0,7],"data_offsets":[16,16]}}   "#;
        let read = read_text(header, 16).unwrap();
        assert_eq!(read.metadata["format"], "pt");
        let names: Vec<_> = read
            .tensors
            .iter()
            .map(|t| (t.name.as_str(), t.elements()))
            .collect();
        assert_eq!(names, [("a", Some(1)), ("b", Some(6)), ("e", Some(0))]);
        let start = 8 + header.len() as u64;
        assert_eq!(
            read.tensors[1].range,
            Some(ByteRange {
                offset: start + 4,
                length: 12
            })
        );
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        let cases = [
            ("not JSON", "{".to_owned()),
            ("no object", "[]".to_owned()),
            ("blank first", format!(" {}", one("U8", "[4]", "[0,4]"))),
            ("deep", format!("{{\"a\":{}", "[".repeat(100_000))),
            ("unknown dtype", one("F33", "[4]", "[0,4]")),
            ("another length", one("F32", "[4]", "[0,4]")),
            ("an overflow", one("F32", "[18446744073709551615,4611686018427387904]", "[0,4]")),
            ("a negative side", one("U8", "[-4]", "[0,4]")),
            ("a fraction", one("U8", "[4.0]", "[0,4]")),
            ("backwards", one("U8", "[4]", "[4,0]")),
            ("a gap at the beginning", one("U8", "[3]", "[1,4]")),
            ("past the end", one("U8", "[5]", "[0,5]")),
            ("not to the end", one("U8", "[3]", "[0,3]")),
            ("half a byte", one("F4", "[7]", "[0,4]")),
            ("no shape", r#"{"a":{"dtype":"U8","data_offsets":[0,4]}}"#.to_owned()),
            ("a name twice", r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}"#.to_owned()),
            ("an overlap", r#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#.to_owned()),
            ("a hole", r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#.to_owned()),
            ("metadata of numbers", r#"{"__metadata__":{"a":1},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#.to_owned()),
            ("many dimensions", one("U8", &format!("[4{}]", ",1".repeat(99)), "[0,4]")),
        ];
        for (what, header) in cases {
            assert!(
                matches!(read_text(&header, 4), Err(Error::Malformed { .. })),
                "{what}"
            );
        }
    }

    #[test]
    fn a_header_of_gigabytes_takes_no_memory() {
        struct Huge;
        impl Bytes for Huge {
            fn size(&self) -> u64 {
                8 << 30
            }
            fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
                assert!(
                    offset < 8 || into.len() < 100_000,
                    "{} bytes are read",
                    into.len()
                );
                into.fill(0);
                into[..8].copy_from_slice(&(4_u64 << 30).to_le_bytes());
                Ok(())
            }
        }
        assert!(matches!(
            read(&Huge, &Limits::default()),
            Err(Error::TooMuch { .. })
        ));
        for length in [u64::MAX, u64::MAX - 7, 1 << 62] {
            let mut file = length.to_le_bytes().to_vec();
            file.extend_from_slice(b"{}");
            assert!(matches!(
                read(&file, &Limits::default()),
                Err(Error::Malformed { .. })
            ));
        }
        assert!(read(&vec![1, 2], &Limits::default()).is_err());
    }

    #[test]
    fn more_tensors_than_the_limit_are_not_read() {
        let limits = Limits {
            tensors: 1,
            ..Limits::default()
        };
        let header = r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
        assert!(matches!(
            read(&file(header, 0), &limits),
            Err(Error::TooMuch { found: 2, .. })
        ));
    }
}
