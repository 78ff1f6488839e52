//! The wire format of protocol buffers, as far as it takes to walk a file.

use modelkeep_core::ByteRange;

use super::FORMAT;
use crate::{Bytes, Error, Reader, Result};

/// Most fields of a file that are walked over: the largest graphs have a hundred thousand nodes.
const MOST_FIELDS: u64 = 2_000_000;

/// Reads the fields of messages.
pub(super) struct Wire<'a> {
    reader: Reader<'a>,
    size: u64,
    walked: u64,
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// A number, or a number of fixed width as it stands.
    Number(u64),
    /// A text, bytes, a message, or numbers side by side.
    Run(ByteRange),
}

impl Value {
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Run(_) => None,
        }
    }
}

/// The fields of a message that have not been read.
pub(super) struct Message {
    at: u64,
    end: u64,
}

impl<'a> Wire<'a> {
    pub(super) fn new(bytes: &'a dyn Bytes) -> Self {
        Self {
            reader: Reader::new(bytes, FORMAT),
            size: bytes.size(),
            walked: 0,
        }
    }

    /// The message that the file is.
    pub(super) fn whole(&self) -> Message {
        Message {
            at: 0,
            end: self.size,
        }
    }

    /// The next field of a message: its number and value.
    pub(super) fn next(&mut self, message: &mut Message) -> Result<Option<(u64, Value)>> {
        if message.at == message.end {
            return Ok(None);
        }
        self.walked += 1;
        Error::bound(FORMAT, "fields", self.walked, MOST_FIELDS)?;
        self.reader.seek(message.at);
        let tag = self.varint(message.end)?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint(message.end)?),
            1 => Value::Number(u64::from_le_bytes(self.fixed(message.end)?)),
            5 => Value::Number(u32::from_le_bytes(self.fixed(message.end)?).into()),
            2 => {
                let length = self.varint(message.end)?;
                let offset = self.reader.position();
                if length > message.end - offset {
                    return Err(self.malformed("a field is longer than what it lies in"));
                }
                self.reader.seek(offset + length);
                Value::Run(ByteRange { offset, length })
            }
            _ => return Err(self.malformed("a field is of no known kind")),
        };
        message.at = self.reader.position();
        match tag >> 3 {
            0 => Err(self.malformed("a field has the number 0")),
            number => Ok(Some((number, value))),
        }
    }

    /// The message in a field.
    pub(super) fn message(&self, value: Value) -> Result<Message> {
        match value {
            Value::Run(range) => Ok(Message {
                at: range.offset,
                end: range.offset + range.length,
            }),
            Value::Number(_) => Err(self.malformed("a number stands for a message")),
        }
    }

    /// The text in a field.
    pub(super) fn text(&mut self, value: Value, most: u64) -> Result<String> {
        let Value::Run(range) = value else {
            return Err(self.malformed("a number stands for a text"));
        };
        Error::bound(FORMAT, "bytes in one text", range.length, most)?;
        self.reader.seek(range.offset);
        let raw = self.reader.take(range.length)?;
        String::from_utf8(raw).map_err(|_| self.malformed("a text is no UTF-8"))
    }

    /// Adds the numbers of a repeated field, one or many side by side.
    pub(super) fn numbers(&mut self, value: Value, into: &mut Vec<u64>, most: usize) -> Result<()> {
        let Value::Run(range) = value else {
            into.extend(value.number());
            return if into.len() > most {
                Err(self.malformed("a list is too long"))
            } else {
                Ok(())
            };
        };
        let end = range.offset + range.length;
        self.reader.seek(range.offset);
        while self.reader.position() < end {
            let number = self.varint(end)?;
            into.push(number);
            if into.len() > most {
                return Err(self.malformed("a list is too long"));
            }
        }
        Ok(())
    }

    pub(super) fn malformed(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        self.reader.malformed(problem)
    }

    fn varint(&mut self, end: u64) -> Result<u64> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            if self.reader.position() >= end {
                return Err(self.malformed("a number goes past the end of what it lies in"));
            }
            let byte = self.reader.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.malformed("a number does not fit into 64 bits"))
    }

    fn fixed<const N: usize>(&mut self, end: u64) -> Result<[u8; N]> {
        if end - self.reader.position() < N as u64 {
            return Err(self.malformed("a number goes past the end of what it lies in"));
        }
        self.reader.array()
    }
}
