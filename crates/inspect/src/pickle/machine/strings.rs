//! Strings and numbers of any length, and what lies in them.

use std::rc::Rc;

use modelkeep_core::ByteRange;

use super::{Machine, Value, text};
use crate::Result;

/// Embedded strings that are remembered.
const MOST_EMBEDDED: usize = 1000;
/// Most of an embedded text.
const EMBEDDED_TEXT: u64 = 1 << 20;

impl Machine<'_, '_> {
    /// A line without its end; `None` when it is too long to be kept.
    pub(super) fn line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Some(Vec::new());
        loop {
            let byte = self.reader.byte()?;
            if byte == b'\n' {
                return Ok(line);
            }
            match &mut line {
                Some(kept) if (kept.len() as u64) < self.bounds.text_bytes => kept.push(byte),
                _ => line = None,
            }
        }
    }

    pub(super) fn length4(&mut self) -> Result<u64> {
        Ok(u32::from_le_bytes(self.reader.array()?).into())
    }

    pub(super) fn length4_signed(&mut self) -> Result<u64> {
        let length = i32::from_le_bytes(self.reader.array()?);
        u64::try_from(length).map_err(|_| self.reader.malformed("a negative length"))
    }

    pub(super) fn length8(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.reader.array()?))
    }

    pub(super) fn long(&mut self, length: u64) -> Result<()> {
        let value = match length {
            0..=8 => {
                let bytes = self.reader.take(length)?;
                let sign = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                let mut number = [if sign { 0xff } else { 0 }; 8];
                number[..bytes.len()].copy_from_slice(&bytes);
                Value::Int(i64::from_le_bytes(number))
            }
            9..=32 => Value::Long(self.reader.take(length)?.into()),
            _ => {
                self.reader.skip(length)?;
                Value::Unknown
            }
        };
        self.push(value)
    }

    pub(super) fn text(&mut self, length: u64, encoding: Encoding) -> Result<()> {
        let start = self.reader.position();
        let head = self.head(length)?;
        if length > self.bounds.text_bytes {
            if encoding == Encoding::Utf8 && is_pickled_text(&head) && length <= EMBEDDED_TEXT {
                self.reader.seek(start);
                let bytes = self.reader.take(length)?;
                self.embed_text(&String::from_utf8_lossy(&bytes));
            } else {
                self.embed(&head, start, length);
                self.reader.seek(start);
                self.reader.skip(length)?;
            }
            return self.push(Value::Unknown);
        }
        self.reader.seek(start);
        let bytes = self.reader.take(length)?;
        let text: Rc<str> = match encoding {
            Encoding::Latin1 => {
                self.embed(&head, start, length);
                text::latin_1(&bytes).into()
            }
            Encoding::Utf8 => String::from_utf8_lossy(&bytes).into(),
        };
        if is_pickled_text(text.as_bytes()) && encoding == Encoding::Utf8 {
            self.embed_text(&text);
        }
        self.push(Value::Text(text))
    }

    pub(super) fn bytes(&mut self, length: u64) -> Result<()> {
        let start = self.reader.position();
        let head = self.head(length)?;
        self.embed(&head, start, length);
        self.reader.seek(start);
        self.reader.skip(length)?;
        self.push(Value::Bytes(length))
    }

    /// The first bytes of a string. The whole of it must be there.
    fn head(&mut self, length: u64) -> Result<Vec<u8>> {
        let start = self.reader.position();
        self.reader.skip(length)?;
        self.reader.seek(start);
        self.reader.take(length.min(4))
    }

    fn embed(&mut self, head: &[u8], offset: u64, length: u64) {
        let is_pickle = matches!(head, [0x80, 2..=5, ..]);
        if (is_pickle || head.starts_with(b"PK\x03\x04")) && self.trace.embedded.len() < MOST_EMBEDDED {
            self.trace.embedded.push(ByteRange { offset, length });
        }
    }

    fn embed_text(&mut self, text: &str) {
        let held: usize = self.trace.embedded_texts.iter().map(Vec::len).sum();
        if held + text.len() <= EMBEDDED_TEXT as usize
            && let Some(bytes) = text::to_latin_1(text)
        {
            self.trace.embedded_texts.push(bytes);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Latin1,
    Utf8,
}

/// Whether a text in UTF-8 begins with the characters of the opcode PROTO.
fn is_pickled_text(text: &[u8]) -> bool {
    matches!(text, [0xc2, 0x80, 2..=5, ..])
}
