//! The files of a model as `inspect` wants them: of a directory, or by ranges out of the layers of a version.

use std::{cell::RefCell, io};

use modelkeep_core::{ByteRange, Descriptor, content::Source};
use modelkeep_inspect::{Bytes, Disk, Files};
use modelkeep_package::{
    foreign::{Coding, Part, Placed, copy_out},
    pack,
    scan::ModelFile,
};

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
    parts: &'a [Part],
    files: &'a [Placed],
}

impl<'a> Layered<'a> {
    /// `parts` are those of the version, and the files lie in them.
    pub(crate) fn new(source: &'a dyn Source, parts: &'a [Part], files: &'a [Placed]) -> Self {
        Self { source, parts, files }
    }
}

impl Files for Layered<'_> {
    fn list(&self) -> Vec<(String, u64)> {
        let files = self.files.iter();
        files.map(|file| (file.path.to_string(), file.size)).collect()
    }

    fn open(&self, file: usize) -> io::Result<Box<dyn Bytes + '_>> {
        let file = &self.files[file];
        let part = &self.parts[file.part];
        if part.coding() != Coding::Plain {
            // All before it has to be expanded: once, then, and not for every run of bytes.
            let mut copy = tempfile::tempfile()?;
            copy_out(self.source, part, file, &mut copy).map_err(io::Error::other)?;
            return Ok(Box::new(Disk::new(copy)?));
        }
        Ok(Box::new(Run {
            source: self.source,
            layer: &part.layer,
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

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        sync::atomic::{AtomicU64, Ordering},
    };

    use modelkeep_core::{content, media};
    use modelkeep_inspect::{Limits, Survey};
    use modelkeep_package::foreign::Holds;

    use super::*;

    /// A layer in memory, and how many times and bytes were asked of it.
    struct Layer {
        bytes: Vec<u8>,
        requests: AtomicU64,
        sent: AtomicU64,
    }

    impl Source for Layer {
        fn open<'a>(
            &'a self,
            _: &Descriptor,
            range: ByteRange,
        ) -> content::Result<Box<dyn Read + Send + 'a>> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.sent.fetch_add(range.length, Ordering::Relaxed);
            let start = range.offset as usize;
            Ok(Box::new(&self.bytes[start..start + range.length as usize]))
        }
    }

    /// A layer of which one file, behind 1,000 bytes, is `bytes`.
    fn layer(bytes: &[u8]) -> (Layer, Vec<Part>, Vec<Placed>) {
        let whole = [&[9; 1_000], bytes, &[9; 1_000]].concat();
        let part = Part {
            layer: Descriptor::of(media::OCI_LAYER, &whole),
            diff_id: None,
            holds: Holds::Archive(Coding::Plain),
        };
        let file = Placed {
            path: "model.safetensors".parse().unwrap(),
            size: bytes.len() as u64,
            digest: None,
            part: 0,
            offset: 1_000,
        };
        let layer = Layer {
            bytes: whole,
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        };
        (layer, vec![part], vec![file])
    }

    #[test]
    fn a_file_in_a_layer_is_read_ahead_and_gives_its_own_bytes() {
        let bytes: Vec<u8> = (0..20_u32 << 20).map(|n| (n % 251) as u8).collect();
        let (source, parts, files) = layer(&bytes);
        let files = Layered::new(&source, &parts, &files);
        let file = files.open(0).unwrap();
        for (offset, length) in [
            (0, 8),
            (8, 100),
            (70_000, 10),
            (60_000, 9 << 20),
            (19 << 20, 1 << 20),
            (20 << 20, 0),
        ] {
            let mut into = vec![0; length];
            file.read_at(offset as u64, &mut into).unwrap();
            assert!(into == bytes[offset..offset + length], "{length} at {offset}");
        }
        for (offset, length) in [(20 << 20, 1), (u64::MAX, 2), ((20 << 20) - 1, 2)] {
            assert!(file.read_at(offset, &mut vec![0; length]).is_err());
        }
        source.requests.store(0, Ordering::Relaxed);
        let file = files.open(0).unwrap();
        for offset in (0..20 << 20).step_by(1 << 10) {
            file.read_at(offset, &mut [0; 1 << 10]).unwrap();
        }
        let requests = source.requests.load(Ordering::Relaxed);
        assert!(requests < 15, "{requests} requests for 20,480 reads");
    }

    #[test]
    fn the_headers_of_a_version_without_a_record_are_read_without_its_weights() {
        let header = r#"{"w":{"dtype":"U8","shape":[8388608],"data_offsets":[0,8388608]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + (8 << 20), 7);
        let (source, parts, files) = layer(&bytes);
        let files = Layered::new(&source, &parts, &files);
        let record = Survey::new(&files, &Limits::default())
            .unwrap()
            .finish(&Default::default());
        assert_eq!(record.parameters, Some(8 << 20));
        assert_eq!(record.tensors.unwrap().rows[0].hash, None);
        let sent = source.sent.load(Ordering::Relaxed);
        assert!(sent <= FIRST, "{sent} bytes for a header");
    }
}
