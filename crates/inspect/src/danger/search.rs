//! Formats that are only searched: HDF5 for configs of Keras, ONNX for paths.

use super::Scanner;
use crate::{Bytes, Error, Reader, Result, danger::documents::quoted};

const PIECE: u64 = 1 << 20;
/// Longest name that is read out of a config.
const NAME: usize = 256;

impl Scanner<'_> {
    /// Keras keeps its config as JSON in an attribute. The file is searched for it: an attribute lies in one piece,
    /// and is never compressed.
    pub(super) fn hdf5(&mut self, bytes: &dyn Bytes) -> Result<()> {
        let mut reader = Reader::new(bytes, "HDF5");
        let mut piece = Vec::new();
        let mut module: Option<String> = None;
        while reader.left() > 0 {
            let kept = piece.len().min(NAME);
            piece.drain(..piece.len() - kept);
            let count = reader.left().min(PIECE);
            piece.extend(reader.take(count)?);
            let is_last = reader.left() == 0;
            // What begins in the last bytes is seen whole in the next piece.
            let end = if is_last {
                piece.len()
            } else {
                piece.len() - NAME.min(piece.len())
            };
            for at in 0..end {
                if piece[at] != b'"' {
                    continue;
                }
                if let Some(value) = value_of(&piece[at..], b"\"module\"") {
                    module = Some(value);
                } else if let Some(class) = value_of(&piece[at..], b"\"class_name\"") {
                    // Keras 3 writes the module before the class.
                    self.keras_object(&class, module.take().as_deref(), None);
                }
            }
        }
        Ok(())
    }

    /// Tensors of ONNX may lie in other files, which are named by path.
    pub(super) fn onnx(&mut self, bytes: &dyn Bytes) -> Result<()> {
        let mut reader = Reader::new(bytes, ONNX);
        let mut walk = Onnx {
            paths: Vec::new(),
            messages: 0,
        };
        let end = bytes.size();
        match walk.message(&mut reader, end, Message::Model, 0) {
            Ok(()) => {}
            Err(error @ Error::Read { .. }) => return Err(error),
            Err(error) => self.malformed(error)?,
        }
        for path in walk.paths {
            let has_drive = path.as_bytes().get(1) == Some(&b':');
            let leads_out = path.starts_with(['/', '\\'])
                || has_drive
                || path.contains("://")
                || path.split(['/', '\\']).any(|part| part == "..");
            if leads_out {
                self.dangerous(
                    "leads-out",
                    format!("tensors that lie at {path:?}, outside of the model"),
                );
            }
        }
        Ok(())
    }
}

/// The text after a key and a colon.
fn value_of(text: &[u8], key: &[u8]) -> Option<String> {
    let rest = text.strip_prefix(key)?.trim_ascii_start();
    let rest = rest.strip_prefix(b":")?.trim_ascii_start();
    quoted(&rest[..rest.len().min(NAME)])
}

const ONNX: &str = "ONNX model";
/// Deepest graph in a graph.
const DEPTH: usize = 64;
/// Most messages of a model that are looked at.
const MESSAGES: u64 = 20_000_000;

/// The messages of `onnx.proto` that lead to an external path.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Function,
    Training,
    External,
}

struct Onnx {
    paths: Vec<String>,
    messages: u64,
}

impl Onnx {
    fn message(&mut self, reader: &mut Reader<'_>, end: u64, kind: Message, depth: usize) -> Result<()> {
        self.messages += 1;
        Error::bound(ONNX, "messages", self.messages, MESSAGES)?;
        Error::bound(ONNX, "messages in messages", depth as u64, DEPTH as u64)?;
        let (mut key, mut value) = (None, None);
        while reader.position() < end {
            let tag = varint(reader)?;
            let length = match tag & 7 {
                0 => {
                    varint(reader)?;
                    continue;
                }
                1 => 8,
                2 => varint(reader)?,
                5 => 4,
                wire => return Err(reader.malformed(format!("wire type {wire} is not known"))),
            };
            let inner = reader
                .position()
                .checked_add(length)
                .filter(|&inner| inner <= end);
            let inner = inner.ok_or_else(|| reader.malformed("a field is longer than its message"))?;
            let next = match (kind, tag >> 3) {
                _ if tag & 7 != 2 => None,
                (Message::Model, 7) => Some(Message::Graph),
                (Message::Model, 20) => Some(Message::Training),
                (Message::Model, 25) => Some(Message::Function),
                (Message::Training, 1 | 2) => Some(Message::Graph),
                (Message::Graph, 1) | (Message::Function, 7) => Some(Message::Node),
                (Message::Graph, 5) => Some(Message::Tensor),
                (Message::Graph, 15) => Some(Message::Sparse),
                (Message::Node, 5) | (Message::Function, 11) => Some(Message::Attribute),
                (Message::Attribute, 5 | 10) => Some(Message::Tensor),
                (Message::Attribute, 6 | 11) => Some(Message::Graph),
                (Message::Attribute, 22 | 23) => Some(Message::Sparse),
                (Message::Sparse, 1 | 2) => Some(Message::Tensor),
                (Message::Tensor, 13) => Some(Message::External),
                (Message::External, field @ (1 | 2)) => {
                    let bytes = reader.take(length.min(4096))?;
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if field == 1 {
                        key = Some(text);
                    } else {
                        value = Some(text);
                    }
                    None
                }
                _ => None,
            };
            match next {
                Some(next) => self.message(reader, inner, next, depth + 1)?,
                None => reader.seek(inner),
            }
        }
        if key.as_deref() == Some("location")
            && let Some(path) = value
            && !self.paths.contains(&path)
            && self.paths.len() < 1000
        {
            self.paths.push(path);
        }
        Ok(())
    }
}

fn varint(reader: &mut Reader<'_>) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = reader.byte()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(reader.malformed("a number is longer than 64 bits"))
}
