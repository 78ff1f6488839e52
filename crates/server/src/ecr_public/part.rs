//! The input of `UploadLayerPart`, which is one long base64 text with a few short members around it, taken apart without
//! holding the text.

use std::io::Read;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};

use super::ApiError;

/// The member that holds the bytes.
const BLOB: &[u8] = b"layerPartBlob";
/// The most that the other members have.
const ENVELOPE_BYTES: usize = 16 << 10;
const BUFFER_BYTES: usize = 64 << 10;
/// Characters that are decoded at once: whole groups of four.
const BLOCK: usize = 64 << 10;

/// Reads a JSON object, hands what the string `layerPartBlob` at its top holds to `blob`, and gives the object with that
/// string empty. What is no JSON is for the parser of the rest to find.
pub(super) fn split(
    reader: &mut dyn Read,
    blob: &mut dyn FnMut(&[u8]) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let mut scanner = Scanner::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = reader.read(&mut buffer);
        let read = read.map_err(modelkeep_core::content::Error::io(
            "read the body of a request again",
        ))?;
        if read == 0 {
            return Ok(scanner.envelope);
        }
        scanner.take(&buffer[..read], blob)?;
    }
}

/// Where the scanner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    /// In a string; behind a backslash or not.
    Text { escaped: bool },
    /// In the string that is taken out; behind a backslash or not.
    Blob { escaped: bool },
}

#[derive(Debug, Default)]
struct Scanner {
    envelope: Vec<u8>,
    place: Place,
    depth: u32,
    /// The next string at the top is a member's name.
    name_next: bool,
    /// Where in the envelope the string at hand begins, if it is such a name.
    name_from: Option<usize>,
    /// The value that comes next is what is taken out.
    blob_next: bool,
}

impl Scanner {
    fn take(
        &mut self,
        mut bytes: &[u8],
        blob: &mut dyn FnMut(&[u8]) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.place {
                Place::Blob { escaped: false } => {
                    let stop = |byte: &u8| *byte == b'"' || *byte == b'\\';
                    let plain = bytes.iter().position(stop).unwrap_or(bytes.len());
                    if plain > 0 {
                        blob(&bytes[..plain])?;
                        bytes = &bytes[plain..];
                        continue;
                    }
                    if byte == b'"' {
                        self.keep(byte)?;
                        self.place = Place::Between;
                    } else {
                        self.place = Place::Blob { escaped: true };
                    }
                }
                Place::Blob { escaped: true } => {
                    // Of the characters of base64, some clients escape this one.
                    if byte != b'/' {
                        return Err(not_base64());
                    }
                    blob(b"/")?;
                    self.place = Place::Blob { escaped: false };
                }
                Place::Text { escaped } => {
                    self.keep(byte)?;
                    self.place = match byte {
                        b'"' if !escaped => {
                            self.end_of_text();
                            Place::Between
                        }
                        b'\\' if !escaped => Place::Text { escaped: true },
                        _ => Place::Text { escaped: false },
                    };
                }
                Place::Between => {
                    self.keep(byte)?;
                    self.between(byte);
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    fn between(&mut self, byte: u8) {
        match byte {
            b'"' if self.blob_next => {
                self.blob_next = false;
                self.place = Place::Blob { escaped: false };
            }
            b'"' => {
                let is_name = self.depth == 1 && self.name_next;
                self.name_from = is_name.then_some(self.envelope.len());
                self.place = Place::Text { escaped: false };
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.name_next = byte == b'{';
                self.blob_next = false;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' => self.name_next = true,
            b':' => self.name_next = false,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            // A value that is no text.
            _ => self.blob_next = false,
        }
    }

    fn end_of_text(&mut self) {
        if let Some(from) = self.name_from.take() {
            self.blob_next = &self.envelope[from..self.envelope.len() - 1] == BLOB;
        }
    }

    fn keep(&mut self, byte: u8) -> Result<(), ApiError> {
        if self.envelope.len() == ENVELOPE_BYTES {
            let message = "the members besides layerPartBlob are too long";
            return Err(ApiError::new("SerializationException", message));
        }
        self.envelope.push(byte);
        Ok(())
    }
}

/// Base64 that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// What is not decoded yet; at least the last four characters, which may be padded.
    pending: Vec<u8>,
    decoded: Vec<u8>,
}

impl Decoder {
    /// Takes a piece, and hands on what it decodes to.
    pub(super) fn take(
        &mut self,
        mut piece: &[u8],
        bytes: &mut dyn FnMut(&[u8]) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        while !piece.is_empty() {
            let taken = piece.len().min(BLOCK + 4 - self.pending.len());
            self.pending.extend_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            if self.pending.len() == BLOCK + 4 {
                self.decode(&STANDARD_NO_PAD, BLOCK, bytes)?;
            }
        }
        Ok(())
    }

    /// Takes the end.
    pub(super) fn finish(
        mut self,
        bytes: &mut dyn FnMut(&[u8]) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let length = self.pending.len();
        self.decode(&STANDARD, length, bytes)
    }

    fn decode(
        &mut self,
        engine: &impl Engine,
        length: usize,
        bytes: &mut dyn FnMut(&[u8]) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        self.decoded.clear();
        let decoded = engine.decode_vec(&self.pending[..length], &mut self.decoded);
        decoded.map_err(|_| not_base64())?;
        self.pending.drain(..length);
        bytes(&self.decoded)
    }
}

fn not_base64() -> ApiError {
    ApiError::new("SerializationException", "layerPartBlob is not base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, so that every state is met at the end of a buffer.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            out[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn taken_apart(text: &str) -> Result<(String, String), ApiError> {
        let mut blob = Vec::new();
        let envelope = split(&mut Slowly(text.as_bytes()), &mut |piece| {
            blob.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((
            String::from_utf8(envelope).unwrap(),
            String::from_utf8(blob).unwrap(),
        ))
    }

    #[test]
    fn the_blob_is_taken_out_wherever_it_stands() {
        for (text, envelope, blob) in [
            (
                r#"{"layerPartBlob":"AA==","b":1}"#,
                r#"{"layerPartBlob":"","b":1}"#,
                "AA==",
            ),
            (
                "{\"a\": {\"x\":[\"y\"]}, \n\"layerPartBlob\" :\t\"A\\/8=\" }",
                "{\"a\": {\"x\":[\"y\"]}, \n\"layerPartBlob\" :\t\"\" }",
                "A/8=",
            ),
            (
                r#"{"layerPartBlob":null,"b":"x"}"#,
                r#"{"layerPartBlob":null,"b":"x"}"#,
                "",
            ),
            // Names that are values, or lie deeper, are none.
            (
                r#"{"a":"layerPartBlob","b":"x"}"#,
                r#"{"a":"layerPartBlob","b":"x"}"#,
                "",
            ),
            (
                r#"{"a":{"layerPartBlob":"x"}}"#,
                r#"{"a":{"layerPartBlob":"x"}}"#,
                "",
            ),
            (
                r#"{"a":["layerPartBlob","x"]}"#,
                r#"{"a":["layerPartBlob","x"]}"#,
                "",
            ),
            (
                r#"{"a\"":"\\","layerPartBlob":"BB"}"#,
                r#"{"a\"":"\\","layerPartBlob":""}"#,
                "BB",
            ),
            (
                r#"{"layerPartBlob":{"b":"x"}}"#,
                r#"{"layerPartBlob":{"b":"x"}}"#,
                "",
            ),
        ] {
            let (found, text_of) = taken_apart(text).unwrap();
            assert_eq!((found.as_str(), text_of.as_str()), (envelope, blob), "{text}");
        }
        assert!(taken_apart(r#"{"layerPartBlob":"\u0041"}"#).is_err());
        assert!(taken_apart(&format!("{{\"a\":\"{}\"}}", "x".repeat(ENVELOPE_BYTES))).is_err());
    }

    fn decoded(text: &[u8], piece: usize) -> Result<Vec<u8>, ApiError> {
        let (mut decoder, mut bytes) = (Decoder::default(), Vec::new());
        let mut keep = |decoded: &[u8]| {
            bytes.extend_from_slice(decoded);
            Ok(())
        };
        for piece in text.chunks(piece) {
            decoder.take(piece, &mut keep)?;
        }
        decoder.finish(&mut keep)?;
        Ok(bytes)
    }

    #[test]
    fn base64_in_pieces_is_what_it_is_in_one() {
        for length in [
            0,
            1,
            2,
            3,
            4,
            100,
            BLOCK / 4 * 3 - 1,
            BLOCK / 4 * 3,
            BLOCK / 4 * 3 + 5,
            200_000,
        ] {
            let bytes: Vec<u8> = (0..length).map(|n| (n * 7 % 251) as u8).collect();
            let text = STANDARD.encode(&bytes);
            for piece in [1, 3, 1000, 70_000] {
                assert_eq!(
                    decoded(text.as_bytes(), piece).unwrap(),
                    bytes,
                    "{length} by {piece}"
                );
            }
        }
        let padded = format!("AA=={}", "A".repeat(BLOCK));
        for wrong in ["A", "AAA", "AA=A", "A\n==", "AAAA=", "====", padded.as_str()] {
            assert!(
                decoded(wrong.as_bytes(), 3).is_err(),
                "{}",
                &wrong[..4.min(wrong.len())]
            );
        }
    }
}
