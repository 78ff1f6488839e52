//! An archive that comes as a stream, such as a docker daemon sends: read once, layers handed on as they come.

use std::{
    collections::HashMap,
    io::{self, Read},
};

use modelkeep_core::{
    Algorithm, Buffer, Descriptor, Digest, Hasher,
    content::{Error, Expect, Need, Result, Target},
    media,
};

use super::{
    MOST_DOCUMENT_BYTES,
    compose::{self, INDEX, LIST},
};
use crate::{
    image::Blob,
    tar::read::{Kind, Members, Stream, target as target_of},
};

/// Bytes of small members that are kept until the list at the end of the archive says what they are.
const KEPT: u64 = 16 << 20;
/// Bytes that are read at once.
const PIECE: usize = 1 << 20;

/// An image whose layers have arrived. Config and manifest are still to be written.
#[derive(Debug)]
pub struct Received {
    /// The image config.
    pub config: Blob,
    /// The manifest.
    pub manifest: Blob,
    /// Layers that were written, and their bytes.
    pub written: (u64, u64),
    /// Layers that the target had.
    pub reused: u64,
}

/// Reads the archive of one image from `stream`, which `place` describes, and writes its layers to `target` as they
/// come.
///
/// A list at the end of the archive says which members are layers, so all that look like layers are written, and small
/// documents are kept in memory. What the name of a member says that it is, and the target has, is passed over. With
/// `all_there` the caller knows that the target has all layers of the image: then none is written, and none is hashed.
///
/// # Errors
/// [`Error::Malformed`] and [`Error::Damaged`] when the archive is not what it should be; what the target says.
pub fn receive(
    stream: impl Read,
    place: &str,
    target: &dyn Target,
    all_there: bool,
    on_bytes: &dyn Fn(u64),
) -> Result<Received> {
    let mut coming = Coming {
        members: Members::new(Stream(stream)),
        place,
        target,
        all_there,
        on_bytes,
        buffer: Buffer::new(PIECE),
        documents: HashMap::new(),
        kept: 0,
        layers: HashMap::new(),
        links: HashMap::new(),
        written: (0, 0),
        reused: 0,
    };
    while let Some(member) = coming.members.next().map_err(|error| coming.broken(error))? {
        match member.kind {
            Kind::File(size) => coming.file(member.name, size)?,
            Kind::Link { to, symbolic } => {
                if let Some(to) = target_of(&member.name, &to, symbolic) {
                    coming.links.insert(member.name, to);
                }
            }
            Kind::Directory | Kind::Other(_) => {}
        }
    }
    coming.finish()
}

/// What a member came to.
struct Layer {
    media_type: &'static str,
    /// `None` when nobody hashed it, because the target has all layers.
    digest: Option<Digest>,
    size: u64,
}

struct Coming<'a, R> {
    members: Members<Stream<R>>,
    place: &'a str,
    target: &'a dyn Target,
    all_there: bool,
    on_bytes: &'a dyn Fn(u64),
    buffer: Buffer,
    documents: HashMap<String, Vec<u8>>,
    kept: u64,
    layers: HashMap<String, Layer>,
    links: HashMap<String, String>,
    written: (u64, u64),
    reused: u64,
}

impl<R: Read> Coming<'_, R> {
    fn broken(&self, error: io::Error) -> Error {
        super::broken(self.place.to_owned(), error)
    }

    fn malformed(&self, reason: String) -> Error {
        Error::Malformed {
            what: self.place.to_owned(),
            reason,
        }
    }

    /// Reads the next bytes of the member, as many as there is room for.
    fn fill(&mut self, most: u64) -> Result<usize> {
        let most = usize::try_from(most).map_or(PIECE, |most| most.min(PIECE));
        let read = self.members.read_exact(&mut self.buffer[..most]);
        read.map_err(|error| self.broken(error))?;
        Ok(most)
    }

    fn file(&mut self, name: String, size: u64) -> Result<()> {
        let first = self.fill(size)?;
        let beginning = &self.buffer[..first];
        let text = beginning.iter().find(|byte| !byte.is_ascii_whitespace());
        if size <= MOST_DOCUMENT_BYTES && matches!(text, Some(b'{' | b'[')) {
            return self.keep(name, size, first);
        }
        if !is_layer(&name, size) {
            return Ok(());
        }
        let media_type = compose::layer_type(beginning);
        let claimed = compose::claimed(&name);
        if self.all_there && media_type == media::OCI_LAYER {
            let digest = claimed;
            self.pass(name, media_type, digest, size);
            return Ok(());
        }
        if let Some(digest) = &claimed {
            let layer = Descriptor::plain(media_type, digest.clone(), size);
            if self.target.need(&layer)? == Need::Nothing {
                self.pass(name, media_type, claimed, size);
                return Ok(());
            }
        }
        let known = claimed.map(|digest| Descriptor::plain(media_type, digest, size));
        let algorithm = known
            .as_ref()
            .map_or(Algorithm::Sha256, |known| known.digest.algorithm());
        let mut sink = self.target.begin(match &known {
            Some(known) => Expect::Known(known),
            None => Expect::Unknown { size },
        })?;
        let mut hasher = Hasher::new(algorithm);
        let (mut at, mut filled) = (0, first);
        loop {
            let piece = &self.buffer[..filled];
            hasher.update(piece);
            sink.write(at, piece)?;
            (self.on_bytes)(filled as u64);
            at += filled as u64;
            if at == size {
                break;
            }
            filled = self.fill(size - at)?;
        }
        let hashed = hasher.finish();
        sink.commit(&hashed)?;
        self.written.0 += 1;
        self.written.1 += size;
        let digest = Some(hashed.digest().clone());
        self.layers.insert(
            name,
            Layer {
                media_type,
                digest,
                size,
            },
        );
        Ok(())
    }

    fn pass(&mut self, name: String, media_type: &'static str, digest: Option<Digest>, size: u64) {
        (self.on_bytes)(size);
        self.reused += 1;
        self.layers.insert(
            name,
            Layer {
                media_type,
                digest,
                size,
            },
        );
    }

    fn keep(&mut self, name: String, size: u64, first: usize) -> Result<()> {
        self.kept += size;
        if self.kept > KEPT {
            return Err(self.malformed(format!("it has more than {KEPT} bytes of documents")));
        }
        let mut bytes = self.buffer[..first].to_vec();
        while (bytes.len() as u64) < size {
            let filled = self.fill(size - bytes.len() as u64)?;
            bytes.extend_from_slice(&self.buffer[..filled]);
        }
        self.documents.insert(name, bytes);
        Ok(())
    }

    fn name<'n>(&'n self, name: &'n str) -> &'n str {
        let is_here = self.layers.contains_key(name) || self.documents.contains_key(name);
        match self.links.get(name) {
            Some(to) if !is_here => to,
            _ => name,
        }
    }

    /// Puts the image together, as the list of the archive says.
    fn finish(self) -> Result<Received> {
        let malformed = |reason| self.malformed(reason);
        let missing = |name: &str| self.malformed(format!("it has no {name}"));
        let list = self.documents.get(LIST).ok_or_else(|| missing(LIST))?;
        let entry = compose::entry(list, None, &malformed)?;
        let bytes = self.documents.get(self.name(&entry.config));
        let bytes = bytes.ok_or_else(|| missing(&entry.config))?.clone();
        let parsed = compose::config(&bytes, entry.layers.len(), &malformed)?;
        let config = Blob {
            descriptor: Descriptor::of(media::OCI_CONFIG, &bytes),
            bytes,
        };
        let mut layers = Vec::new();
        let mut small = Vec::new();
        for (member, diff_id) in entry.layers.iter().zip(&parsed.rootfs.diff_ids) {
            let name = self.name(member);
            let layer = match (self.layers.get(name), self.documents.get(name)) {
                (Some(layer), _) => {
                    let digest = layer.digest.as_ref().unwrap_or(diff_id);
                    Descriptor::plain(layer.media_type, digest.clone(), layer.size)
                }
                // A layer that looked like a document.
                (None, Some(bytes)) => {
                    small.push(bytes);
                    Descriptor::of(media::OCI_LAYER, bytes)
                }
                (None, None) => return Err(missing(member)),
            };
            if layer.media_type == media::OCI_LAYER && layer.digest != *diff_id {
                let what = format!("the layer {member}");
                return Err(Error::damaged(what, diff_id, &layer.digest));
            }
            layers.push(layer);
        }
        for bytes in small {
            self.target.put(media::OCI_LAYER, bytes)?;
        }
        let blob = |blob: &Descriptor| {
            let name = format!("blobs/{}/{}", blob.digest.algorithm().as_str(), blob.digest.hex());
            self.documents.get(&name).cloned()
        };
        let index = self.documents.get(INDEX).map(Vec::as_slice);
        let manifest = compose::manifest(&config, &parsed, &layers, index, &blob);
        Ok(Received {
            config,
            manifest,
            written: self.written,
            reused: self.reused,
        })
    }
}

/// Whether a member may be a layer, by its name: documents, versions and directories are not.
fn is_layer(name: &str, size: u64) -> bool {
    size > 0 && (name.ends_with(".tar") || name.starts_with("blobs/"))
}
