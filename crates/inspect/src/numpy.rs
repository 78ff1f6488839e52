//! NumPy: arrays (`.npy`) and archives of them (`.npz`), as `numpy.lib.format` writes them.

use modelkeep_core::ByteRange;

use crate::{
    Bytes, Error, Limits, Reader, Result, Tensor,
    tensor::packed_bytes,
    zip::{self, Content},
};

const FORMAT: &str = "NumPy array";
/// Longest header. NumPy itself reads no more than 10,000 bytes.
const MOST_HEADER: u64 = 64 << 10;

/// Reads the header of an array. The tensor has no name.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Tensor> {
    let mut reader = Reader::new(bytes, FORMAT);
    if &reader.array::<6>()? != b"\x93NUMPY" {
        return Err(Error::malformed(
            FORMAT,
            0,
            "it does not begin with \"\\x93NUMPY\"",
        ));
    }
    let [major, _] = reader.array()?;
    let length = match major {
        1 => u64::from(u16::from_le_bytes(reader.array()?)),
        2 | 3 => u64::from(u32::from_le_bytes(reader.array()?)),
        _ => return Err(reader.malformed(format!("its version {major} is not known"))),
    };
    Error::bound(FORMAT, "bytes of header", length, MOST_HEADER)?;
    let start = reader.position();
    let text = reader.take(length)?;
    let data = reader.position();
    let header = String::from_utf8_lossy(&text);
    let (descr, shape) = Literal::new(&header).header(limits.dimensions).ok_or_else(|| {
        Error::malformed(
            FORMAT,
            start,
            "its header is no dictionary with descr, fortran_order and shape",
        )
    })?;
    let dtype = dtype(&descr);
    let size = packed_bytes(&dtype, &shape);
    if size.is_some_and(|size| size != bytes.size() - data) {
        let problem = format!(
            "it has {} bytes of data, not those of its shape",
            bytes.size() - data
        );
        return Err(Error::malformed(FORMAT, data, problem));
    }
    Ok(Tensor {
        name: String::new(),
        dtype,
        shape,
        range: size.map(|length| ByteRange { offset: data, length }),
    })
}

/// Reads the headers of the arrays of an archive. Each is named as its member, without `.npy`.
///
/// # Errors
/// [`Error`].
pub fn read_archive(bytes: &dyn Bytes, limits: &Limits) -> Result<Vec<Tensor>> {
    let archive = zip::read(bytes, limits)?;
    Error::bound(FORMAT, "members", archive.members.len() as u64, limits.tensors)?;
    let mut tensors = Vec::new();
    for member in archive.members.iter().filter(|member| !member.is_directory()) {
        let Some(content) = member.open(bytes) else {
            return Err(Error::malformed(
                FORMAT,
                member.header,
                format!("{:?} cannot be read", member.name),
            ));
        };
        let mut tensor = read(&content, limits)?;
        tensor.name = member
            .name
            .strip_suffix(".npy")
            .unwrap_or(&member.name)
            .to_owned();
        // What is stored as it is lies in the archive; what is compressed does not.
        tensor.range = match (&content, member.data) {
            (Content::Stored(_), Some(data)) => tensor.range.map(|range| ByteRange {
                offset: data + range.offset,
                ..range
            }),
            _ => None,
        };
        tensors.push(tensor);
    }
    Ok(tensors)
}

/// The name of a type of elements that NumPy has as `<f4`.
fn dtype(descr: &str) -> String {
    let name = match descr.trim_start_matches(['<', '|', '=']) {
        "f2" => "F16",
        "f4" => "F32",
        "f8" => "F64",
        "i1" => "I8",
        "i2" => "I16",
        "i4" => "I32",
        "i8" => "I64",
        "u1" => "U8",
        "u2" => "U16",
        "u4" => "U32",
        "u8" => "U64",
        "b1" => "BOOL",
        "c8" => "C64",
        "c16" => "C128",
        // Objects, texts, records, and numbers the other way round.
        _ => descr,
    };
    name.to_owned()
}

/// The literal of a Python dictionary.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.trim() }
    }

    /// Type and shape. Dimensions are as they are in memory of C; NumPy's order says only how the bytes lie.
    fn header(mut self, dimensions: usize) -> Option<(String, Vec<u64>)> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        self.sign('{')?;
        while self.sign('}').is_none() {
            let key = self.text()?;
            self.sign(':')?;
            let is_new = match key {
                "descr" => descr.replace(self.descr()?).is_none(),
                "fortran_order" => order.replace(self.word()?).is_none(),
                "shape" => shape.replace(self.shape(dimensions)?).is_none(),
                _ => false,
            };
            if !is_new {
                return None;
            }
            if self.sign(',').is_none() {
                self.sign('}')?;
                break;
            }
        }
        order.filter(|order| ["True", "False"].contains(order))?;
        self.rest.is_empty().then_some((descr?, shape?))
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(sign)?.trim_start();
        Some(())
    }

    fn text(&mut self) -> Option<&'a str> {
        let quote = self
            .rest
            .chars()
            .next()
            .filter(|quote| ['\'', '"'].contains(quote))?;
        let (text, rest) = self.rest[1..].split_once(quote)?;
        self.rest = rest.trim_start();
        (!text.contains('\\')).then_some(text)
    }

    fn word(&mut self) -> Option<&'a str> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// A type: a text, or the list of the fields of a record, which is only passed over.
    fn descr(&mut self) -> Option<String> {
        if !self.rest.starts_with('[') {
            return self.text().map(str::to_owned);
        }
        let mut depth = 0_usize;
        while let Some(c) = self.rest.chars().next() {
            match c {
                '[' | '(' => depth += 1,
                ']' | ')' => depth = depth.checked_sub(1)?,
                '\'' | '"' => {
                    self.text()?;
                    continue;
                }
                _ => {}
            }
            self.rest = &self.rest[c.len_utf8()..];
            if depth == 0 {
                self.rest = self.rest.trim_start();
                return Some("record".to_owned());
            }
        }
        None
    }

    fn shape(&mut self, dimensions: usize) -> Option<Vec<u64>> {
        let mut shape = Vec::new();
        self.sign('(')?;
        while self.sign(')').is_none() {
            // NumPy of Python 2 wrote 3L.
            shape.push(self.word()?.trim_end_matches('L').parse().ok()?);
            if shape.len() > dimensions {
                return None;
            }
            if self.sign(',').is_none() {
                self.sign(')')?;
                break;
            }
        }
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    fn read_text(header: &str, data: usize) -> Result<Tensor> {
        read(&file(header, data), &Limits::default())
    }

    #[test]
    fn arrays_of_all_kinds_are_read() {
        for (header, data, dtype, shape) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
                24,
                "F32",
                vec![2, 3],
            ),
            (
                "{'descr': '|b1', 'fortran_order': True, 'shape': (5,)}",
                5,
                "BOOL",
                vec![5],
            ),
            (
                "{\"shape\": (), 'descr': '<i8', 'fortran_order': False}",
                8,
                "I64",
                vec![],
            ),
            (
                "{'descr': '>f4', 'fortran_order': False, 'shape': (2L,), }",
                8,
                ">f4",
                vec![2],
            ),
            (
                "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
                99,
                "|O",
                vec![2],
            ),
            (
                "{'descr': [('a]', '<f4'), ('b', '<i4', (2,))], 'fortran_order': False, 'shape': (1,), }",
                12,
                "record",
                vec![1],
            ),
        ] {
            let tensor = read_text(header, data).unwrap();
            assert_eq!(
                (tensor.dtype.as_str(), &tensor.shape),
                (dtype, &shape),
                "{header}"
            );
            assert_eq!(tensor.range.is_some(), !matches!(dtype, ">f4" | "|O" | "record"));
        }
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        for header in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
            "{'descr': [[[, 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f4\\'', 'fortran_order': False, 'shape': (1,)}",
            "{'x': '<f4', 'fortran_order': False, 'shape': (1,)}",
            &format!(
                "{{'descr': '<f4', 'fortran_order': False, 'shape': ({})}}",
                "1,".repeat(99)
            ),
            &format!(
                "{{'descr': {}, 'fortran_order': False, 'shape': (1,)}}",
                "[".repeat(30_000)
            ),
        ] {
            let found = read_text(header, 4);
            let is_one = header.contains("4611686018427387904");
            // A shape that no array has says nothing about its bytes.
            assert!(
                if is_one {
                    found.unwrap().range.is_none()
                } else {
                    found.is_err()
                },
                "{header}"
            );
        }
        for file in [
            b"\x93NUMPY\x01\x00\xff\xff{}".to_vec(),
            b"\x93NUMPY\x09\x00\x02\x00{}".to_vec(),
            b"PK".to_vec(),
        ] {
            assert!(matches!(
                read(&file, &Limits::default()),
                Err(Error::Malformed { .. })
            ));
        }
        let long = [&b"\x93NUMPY\x02\x00"[..], &u32::MAX.to_le_bytes()].concat();
        assert!(matches!(
            read(&long, &Limits::default()),
            Err(Error::TooMuch { .. })
        ));
    }
}
