//! The files of a model as `inspect` wants them: of a directory, or by ranges out of the layers of a version.

use std::{cell::RefCell, io};

use modelkeep_core::{ByteRange, Contents, Descriptor, content::Source};
use modelkeep_inspect::{Bytes, Disk, Files};
use modelkeep_package::{pack, scan::ModelFile};

/// The files of a scanned directory.
pub(crate) struct Local<'a>(pub(crate) &'a [ModelFile]);

impl Files for Local<'_> {
    fn list(&self) -> Vec<(String, u64)> {
        let files = self.0.iter();
        files
            .map(|file| (file.path.to_string(), file.stamp.size))
            .collect()
    }

    fn open(&self, file: usize) -> io::Result<Box<dyn Bytes + '_>> {
        let opened = pack::open(&self.0[file]).map_err(io::Error::other)?;
        Ok(Box::new(Disk::new(opened)?))
    }
}

/// The files of a version.
pub(crate) struct Layered<'a> {
    source: &'a dyn Source,
    layers: &'a [Descriptor],
    contents: &'a Contents,
}

impl<'a> Layered<'a> {
    /// `layers` are those of the manifest; the list is about them.
    pub(crate) fn new(source: &'a dyn Source, layers: &'a [Descriptor], contents: &'a Contents) -> Self {
        Self {
            source,
            layers,
            contents,
        }
    }
}

impl Files for Layered<'_> {
    fn list(&self) -> Vec<(String, u64)> {
        let files = self.contents.files().iter();
        files.map(|file| (file.path.to_string(), file.size)).collect()
    }

    fn open(&self, file: usize) -> io::Result<Box<dyn Bytes + '_>> {
        let file = &self.contents.files()[file];
        let layer = &self.contents.layers()[file.layer];
        let layer = self.layers.iter().find(|descriptor| descriptor.digest == *layer);
        Ok(Box::new(Run {
            source: self.source,
            layer: layer.ok_or(io::ErrorKind::NotFound)?,
            range: ByteRange {
                offset: file.offset,
                length: file.size,
            },
            window: RefCell::default(),
        }))
    }
}

/// Bytes of the first request. Each that follows on asks for twice as many.
const FIRST: u64 = 64 << 10;
/// Most bytes of one request.
const MOST: u64 = 4 << 20;

/// A file in a layer, read ahead: to a registry, each read would be a request.
struct Run<'a> {
    source: &'a dyn Source,
    layer: &'a Descriptor,
    range: ByteRange,
    window: RefCell<Window>,
}

#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Run<'_> {
    fn fetch(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let range = ByteRange {
            offset: self.range.offset + offset,
            length: into.len() as u64,
        };
        let mut reader = self.source.open(self.layer, range).map_err(io::Error::other)?;
        reader.read_exact(into)
    }
}

impl Bytes for Run<'_> {
    fn size(&self) -> u64 {
        self.range.length
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let wanted = into.len() as u64;
        let end = offset.checked_add(wanted).filter(|&end| end <= self.range.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if wanted >= MOST {
            return self.fetch(offset, into);
        }
        let mut window = self.window.borrow_mut();
        let held = window.start..window.start + window.bytes.len() as u64;
        if offset < held.start || end > held.end {
            let is_next = (held.start..=held.end).contains(&offset) && !window.bytes.is_empty();
            let ahead = if is_next {
                2 * window.bytes.len() as u64
            } else {
                FIRST
            };
            // No more than `MOST`, or what is wanted: fits.
            let length = ahead.min(MOST).max(wanted).min(self.range.length - offset);
            let mut bytes = std::mem::take(&mut window.bytes);
            bytes.resize(length as usize, 0);
            self.fetch(offset, &mut bytes)?;
            *window = Window { start: offset, bytes };
        }
        let from = (offset - window.start) as usize;
        into.copy_from_slice(&window.bytes[from..from + into.len()]);
        Ok(())
    }
}
