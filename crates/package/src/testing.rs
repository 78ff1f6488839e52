//! What the tests of this crate share.

use std::{
    collections::HashMap,
    fs,
    io::{Cursor, Read, Write},
    path::Path,
    sync::Mutex,
};

use modelkeep_core::{
    ByteRange, Contents, Descriptor, Digest, Hashed, Limits, Manifest,
    content::{Error, Result, Sink, Source},
    media,
};

use crate::{
    foreign::{self, Described},
    image::{self, ImagePath},
    layout, pack,
    scan::{FileMode, ModelFile, ScanOptions, Stamp},
};

/// A file that is on no disk.
pub(crate) fn model_file(path: &str, size: u64) -> ModelFile {
    ModelFile {
        path: path.parse().unwrap(),
        location: "/nowhere".into(),
        stamp: Stamp {
            size,
            mtime_ns: 0,
            ctime_ns: 0,
            dev: 0,
            ino: 0,
        },
        mode: FileMode::Plain,
    }
}

/// The files of a directory in which nothing is wrong.
pub(crate) fn scan(directory: &Path) -> Vec<ModelFile> {
    let scan = crate::scan::scan(directory, &ScanOptions::default()).unwrap();
    assert_eq!(scan.warnings, []);
    scan.files
}

/// Blobs in memory.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) blobs: HashMap<Digest, Vec<u8>>,
}

impl Memory {
    pub(crate) fn add(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest.clone(), bytes);
        digest
    }
}

impl Source for Memory {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let bytes = self.blobs.get(&blob.digest).ok_or_else(|| Error::NotFound {
            what: blob.digest.to_string(),
            place: "memory".to_owned(),
        })?;
        let start = (range.offset as usize).min(bytes.len());
        Ok(Box::new(Cursor::new(&bytes[start..]).take(range.length)))
    }
}

/// A blob that grows in memory, and checks the order and alignment of what is written.
#[derive(Default)]
pub(crate) struct MemorySink {
    pub(crate) bytes: Mutex<Vec<u8>>,
}

impl Sink for &MemorySink {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut all = self.bytes.lock().unwrap();
        assert_eq!(offset, all.len() as u64);
        assert_eq!(offset % 4096, 0);
        assert_eq!(bytes.as_ptr().addr() % 4096, 0);
        all.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>, _: &Hashed) -> Result<()> {
        Ok(())
    }
}

/// A version of a directory, in memory.
pub(crate) struct Version {
    pub(crate) contents: Contents,
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) memory: Memory,
}

/// An image of these layers.
pub(crate) fn described(layers: &[Descriptor]) -> Described {
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        config: Descriptor::of(media::OCI_CONFIG, b""),
        layers: layers.to_vec(),
        subject: None,
        annotations: Default::default(),
    };
    let config = config.to_string();
    let described = foreign::describe(&manifest, config.as_bytes(), &[], &ImagePath::default());
    described.unwrap().unwrap()
}

/// Packs all of `directory` as a push does.
pub(crate) fn pack(directory: &Path) -> Version {
    pack_files(&scan(directory))
}

pub(crate) fn pack_files(files: &[ModelFile]) -> Version {
    let plans = layout::layout(files, &ImagePath::default(), &Limits::default()).unwrap();
    let mut digests = vec![None; files.len()];
    let mut layers = Vec::new();
    let mut memory = Memory::default();
    for plan in &plans {
        let sink = MemorySink::default();
        let packed = pack::pack_layer(files, plan, Some(&mut &sink), &mut |_: u64| {}).unwrap();
        for (member, digest) in plan.members().iter().zip(&packed.files) {
            digests[member.file] = Some(digest.clone());
        }
        let bytes = sink.bytes.into_inner().unwrap();
        assert_eq!(bytes.len() as u64, plan.size());
        assert_eq!(memory.add(bytes), *packed.hashed.digest());
        layers.push(image::layer_descriptor(files, plan, packed.hashed.digest()));
    }
    let digests: Vec<Digest> = digests.into_iter().map(Option::unwrap).collect();
    let layer_digests: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
    Version {
        contents: image::contents(files, &digests, &plans, &layer_digests).unwrap(),
        layers,
        memory,
    }
}

/// Numbers without a pattern, the same in every run (xorshift64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            self.below(u64::MAX);
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// A tree of files whose sizes lie about the bounds that the layout knows.
pub(crate) fn random_tree(directory: &Path, numbers: &mut Numbers) {
    const NAMES: [&str; 8] = ["a", "b c", "données", "模型", "README.md", "x.bin", "-", "0"];
    const SIZES: [usize; 10] = [0, 1, 511, 512, 513, 4096, 65_535, 65_536, 1 << 20, 8 << 20];
    for n in 0..2 + numbers.below(12) {
        let mut path = directory.to_owned();
        for _ in 0..numbers.below(4) {
            path.push(format!("d{}", NAMES[numbers.below(8) as usize]));
        }
        fs::create_dir_all(&path).unwrap();
        let mut name = format!("{n}{}", NAMES[numbers.below(8) as usize]);
        if numbers.below(4) == 0 {
            name.push_str(&"n".repeat(120));
        }
        let size = SIZES[numbers.below(10) as usize] + numbers.below(2) as usize;
        fs::write(path.join(name), numbers.bytes(size)).unwrap();
    }
}

/// Paths and contents of all files below `directory`.
pub(crate) fn tree(directory: &Path) -> Vec<(String, Vec<u8>)> {
    fn add(directory: &Path, prefix: &str, into: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                add(&entry.path(), &format!("{path}/"), into);
            } else {
                into.push((path, fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    add(directory, "", &mut files);
    files.sort();
    files
}

/// A member of a tar archive as anybody may write it: name, type, where a link leads, bytes.
pub(crate) struct Raw<'a>(
    pub(crate) &'a [u8],
    pub(crate) u8,
    pub(crate) &'a str,
    pub(crate) &'a [u8],
);

/// A regular file.
pub(crate) fn regular<'a>(name: &'a str, content: &'a [u8]) -> Raw<'a> {
    Raw(name.as_bytes(), b'0', "", content)
}

/// An archive whose headers have right checksums, whatever else they say.
pub(crate) fn raw_tar(members: &[Raw<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Raw(name, flag, link, content) in members {
        bytes.extend(raw_header(name, *flag, link, content.len() as u64));
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

pub(crate) fn raw_header(name: &[u8], flag: u8, link: &str, size: u64) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name);
    // What nobody is to take over: every bit of the mode, and an owner.
    header[100..108].copy_from_slice(b"0007777\0");
    header[108..116].copy_from_slice(b"0001750\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[156] = flag;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..263].copy_from_slice(b"ustar\0");
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// A pax record.
pub(crate) fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..)
        .map(|digits| rest + digits)
        .find(|length| rest + length.to_string().len() == *length);
    let mut record = format!("{} {key}=", length.unwrap()).into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A version of somebody else's: its manifest, config, and the blobs.
pub(crate) struct Foreign {
    pub(crate) manifest: Manifest,
    pub(crate) config: String,
    pub(crate) memory: Memory,
}

impl Foreign {
    pub(crate) fn new(config_type: &str, config: &serde_json::Value) -> Self {
        let config = config.to_string();
        Self {
            manifest: Manifest {
                schema_version: 2,
                media_type: None,
                artifact_type: None,
                config: Descriptor::of(config_type, config.as_bytes()),
                layers: Vec::new(),
                subject: None,
                annotations: Default::default(),
            },
            config,
            memory: Memory::default(),
        }
    }

    /// An image whose layers expand to `layers`, packed in turn by gzip, zstd, and not at all.
    pub(crate) fn image(layers: &[Vec<u8>]) -> Self {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let mut image = Self::new(media::OCI_CONFIG, &config);
        for (n, layer) in layers.iter().enumerate() {
            match n % 3 {
                0 => image.layer(media::OCI_LAYER_GZIP, gzip(layer), &[]),
                1 => image.layer(media::OCI_LAYER_ZSTD, zstd(layer), &[]),
                _ => image.layer(media::OCI_LAYER, layer.clone(), &[]),
            }
        }
        image
    }

    pub(crate) fn layer(&mut self, media_type: &str, bytes: Vec<u8>, annotations: &[(&str, &str)]) {
        let mut layer = Descriptor::of(media_type, &bytes);
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        layer.annotations = annotations.iter().map(own).collect();
        self.memory.add(bytes);
        self.manifest.layers.push(layer);
    }

    pub(crate) fn describe(&self) -> std::result::Result<Option<Described>, foreign::DescribeError> {
        foreign::describe(&self.manifest, self.config.as_bytes(), &[], &ImagePath::default())
    }

    pub(crate) fn described(&self) -> Described {
        self.describe().unwrap().unwrap()
    }
}
