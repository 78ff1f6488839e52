use std::io::{self, ErrorKind, Read};

use modelkeep_core::{ByteRange, Contents, Descriptor, Digest, ModelPath, content::Source};

use super::{Coding, LayerError, members};
use crate::{
    foreign::{Described, Holds, Part},
    tar::read::{Input, Members},
};

/// A file of a version, and where its bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its path in the model.
    pub path: ModelPath,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest, where it is known without reading the file.
    pub digest: Option<Digest>,
    /// Which part of the version holds it.
    pub part: usize,
    /// Where its first byte lies in the uncompressed layer.
    pub offset: u64,
}

/// The files of a version, as far as they are known without reading layers whole: from `contents`, which is about it,
/// or from the headers of archives that are not compressed, read by ranges. `None` when a layer is compressed.
///
/// # Errors
/// Why a layer is not read, and its digest.
pub fn list(
    source: &dyn Source,
    described: &Described,
    contents: Option<&Contents>,
) -> Result<Option<Vec<Placed>>, (Digest, LayerError)> {
    if let Some(contents) = contents {
        return Ok(Some(listed(described, contents)));
    }
    if described.parts.iter().any(|part| part.coding() != Coding::Plain) {
        return Ok(None);
    }
    let rule = described.rule();
    let mut changes = Vec::new();
    for (place, part) in described.parts.iter().enumerate() {
        let change = match &part.holds {
            Holds::File(path) => members::Change::file(path.clone(), part.layer.size, ()),
            Holds::Archive(_) => {
                let mut members = Members::unbounded(Ranged::new(source, &part.layer));
                members::read(&mut members, rule, &mut |_, _, _| Ok(()))
                    .map_err(|error| (part.layer.digest.clone(), error))?
            }
        };
        changes.push((place, change));
    }
    let files = members::overlay(changes, rule).map_err(|error| {
        let last = described.parts.last().map(|part| part.layer.digest.clone());
        (last.unwrap_or_else(|| Digest::of(b"")), error)
    })?;
    let place = |(part, found): (usize, members::Found<()>)| Placed {
        digest: match &described.parts[part] {
            Part {
                holds: Holds::File(_),
                layer,
                ..
            } => Some(layer.digest.clone()),
            _ => None,
        },
        path: found.path,
        size: found.size,
        part,
        offset: found.offset,
    };
    Ok(Some(files.into_iter().map(place).collect()))
}

/// The files of a contents list; those of layers that the version does not have are left out.
fn listed(described: &Described, contents: &Contents) -> Vec<Placed> {
    let places = described.places(contents);
    let files = contents.files().iter();
    files
        .filter_map(|file| {
            Some(Placed {
                path: file.path.clone(),
                size: file.size,
                digest: Some(file.digest.clone()),
                part: places[file.layer]?,
                offset: file.offset,
            })
        })
        .collect()
}

/// Bytes of the first request. Each that follows on asks for twice as many.
const FIRST: u64 = 64 << 10;
/// Most bytes of one request.
const MOST: u64 = 1 << 20;

/// A layer whose headers are read, and whose files are passed over.
struct Ranged<'a> {
    source: &'a dyn Source,
    layer: &'a Descriptor,
    at: u64,
    /// Where the bytes that are held begin.
    start: u64,
    held: Vec<u8>,
}

impl<'a> Ranged<'a> {
    fn new(source: &'a dyn Source, layer: &'a Descriptor) -> Self {
        Self {
            source,
            layer,
            at: 0,
            start: 0,
            held: Vec::new(),
        }
    }

    fn fetch(&mut self) -> io::Result<()> {
        let end = self.start + self.held.len() as u64;
        let ahead = match self.held.len() as u64 {
            held if self.at == end && held > 0 => (2 * held).min(MOST),
            _ => FIRST,
        };
        let range = ByteRange {
            offset: self.at,
            length: ahead.min(self.layer.size.saturating_sub(self.at)),
        };
        self.held.clear();
        self.start = self.at;
        if range.length > 0 {
            let reader = self.source.open(self.layer, range).map_err(io::Error::other)?;
            reader.take(range.length).read_to_end(&mut self.held)?;
        }
        Ok(())
    }
}

impl Read for Ranged<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let end = self.start + self.held.len() as u64;
        if self.at >= end || self.at < self.start {
            self.fetch()?;
        }
        let from = usize::try_from(self.at - self.start).map_err(|_| ErrorKind::UnexpectedEof)?;
        let held = &self.held[from..];
        let came = held.len().min(into.len());
        into[..came].copy_from_slice(&held[..came]);
        self.at += came as u64;
        Ok(came)
    }
}

impl Input for Ranged<'_> {
    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        let end = self.at.checked_add(bytes).filter(|&end| end <= self.layer.size);
        self.at = end.ok_or(ErrorKind::UnexpectedEof)?;
        Ok(())
    }
}
