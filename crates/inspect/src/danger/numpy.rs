//! Arrays of NumPy: `.npy`.

use super::{Scanner, Severity};
use crate::{Bytes, Error, Part, Reader, Result};

const FORMAT: &str = "NumPy array";

impl Scanner<'_> {
    /// An array of objects is a pickle behind a header.
    pub(super) fn array(&mut self, bytes: &dyn Bytes) -> Result<()> {
        match header(bytes) {
            Ok((header, data)) => {
                if !holds_objects(&header) {
                    return Ok(());
                }
                self.report(
                    Severity::Suspicious,
                    "object-array",
                    "an array of Python objects: it is unpickled with allow_pickle",
                );
                match Part::of(bytes, data, bytes.size() - data) {
                    Some(part) => self.pickles(true, &part),
                    None => Ok(()),
                }
            }
            Err(error) => self.malformed(error),
        }
    }
}

/// The header, and where the data begins (`numpy.lib.format`).
fn header(bytes: &dyn Bytes) -> Result<(String, u64)> {
    let mut reader = Reader::new(bytes, FORMAT);
    reader.skip(6)?;
    let [major, _] = reader.array()?;
    let length = match major {
        1 => u16::from_le_bytes(reader.array()?).into(),
        2 | 3 => u32::from_le_bytes(reader.array()?).into(),
        _ => return Err(reader.malformed(format!("version {major} is not known"))),
    };
    Error::bound(FORMAT, "bytes of header", length, 1 << 20)?;
    let header = reader.take(length)?;
    Ok((String::from_utf8_lossy(&header).into_owned(), reader.position()))
}

/// Whether a type of the header is that of objects: `'|O'`, or `'O'` with any byte order.
fn holds_objects(header: &str) -> bool {
    header
        .split(['\'', '"'])
        .map(|text| text.trim_start_matches(['|', '<', '>', '=', '!']))
        .any(|text| text.strip_prefix('O').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit())))
        // A word that is spelled with escapes is not spelled by numpy.
        || header.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_seen_in_plain_and_structured_types() {
        for header in [
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
            "{'descr': [('a', '<f8'), ('b', 'O')], }",
            "{'descr': '|O8'}",
            r"{'descr': '\x7cO'}",
        ] {
            assert!(holds_objects(header), "{header}");
        }
        for header in ["{'descr': '<f8', 'shape': (1,)}", "{'descr': [('Open', '<f8')]}"] {
            assert!(!holds_objects(header), "{header}");
        }
    }
}
