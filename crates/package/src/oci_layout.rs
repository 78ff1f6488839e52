//! A directory in the OCI image layout (image-spec, `image-layout.md`), which skopeo, podman and others read and write.

mod write;

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Document, Index, Limits, annotation,
    content::{Error, Result, Source},
    media,
};
use modelkeep_disk::Dir;
pub use write::OciLayoutWriter;

const VERSION_FILE: &str = "oci-layout";
const INDEX_FILE: &str = "index.json";
const VERSION: &str = "1.0.0";
const MOST_INDEX_BYTES: u64 = 4 << 20;
/// Most manifests of a layout that are read to find those that say something about another.
const MOST_MANIFESTS: usize = 10_000;

/// Which image of a layout is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The only one.
    Only,
    /// That of this name.
    Name(String),
    /// That of this digest.
    Digest(Digest),
}

/// A layout that is read. What lies in it may come from anybody: no link is followed, and what is read is to be
/// verified by whoever reads it.
#[derive(Debug)]
pub struct OciLayout {
    path: PathBuf,
    directory: Dir,
    index: Index,
}

impl OciLayout {
    /// Opens the layout in `directory`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is none; [`Error::Io`].
    pub fn open(directory: &Path) -> Result<Self> {
        let dir = Dir::open(directory)
            .map_err(Error::io(format!("open the OCI layout {}", directory.display())))?;
        let index = read_index(&dir, directory)?
            .ok_or_else(|| refused(directory, "it is no OCI layout: it has no oci-layout"))?;
        Ok(Self {
            path: directory.to_owned(),
            directory: dir,
            index,
        })
    }

    /// The image or index that is meant.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not there; [`Error::Malformed`] when there are several, or it is no manifest.
    pub fn find(&self, named: &Named) -> Result<Descriptor> {
        let matches = |entry: &&Descriptor| match named {
            Named::Only => media::is_manifest(&entry.media_type),
            Named::Name(name) => ref_name(entry) == Some(name.as_str()),
            Named::Digest(digest) => entry.digest == *digest,
        };
        let mut found: Vec<&Descriptor> = self.index.manifests.iter().filter(matches).collect();
        if *named == Named::Only && found.iter().any(|entry| ref_name(entry).is_some()) {
            // What only says something about another has no name of its own.
            found.retain(|entry| ref_name(entry).is_some());
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        found.dedup_by(|a, b| a.digest == b.digest);
        let what = || match named {
            Named::Only => "an image".to_owned(),
            Named::Name(name) => format!("the image {name}"),
            Named::Digest(digest) => digest.to_string(),
        };
        match found.as_slice() {
            [only] if media::is_manifest(&only.media_type) => Ok(Descriptor::plain(
                &only.media_type,
                only.digest.clone(),
                only.size,
            )),
            [only] => {
                let kind = only.media_type.chars().take(100).collect::<String>();
                Err(refused(&self.path, &format!("{} is {kind}, no image", what())))
            }
            [] => Err(Error::NotFound {
                what: what(),
                place: format!("{}, which has {}", self.path.display(), self.listed()),
            }),
            _ => Err(refused(
                &self.path,
                &format!("it has several images: name one of {}", self.listed()),
            )),
        }
    }

    /// The names of its images, for people.
    fn listed(&self) -> String {
        let names: Vec<&str> = self.index.manifests.iter().filter_map(|e| ref_name(e)).collect();
        match names.as_slice() {
            [] => "none with a name".to_owned(),
            names => names.join(", ").chars().take(400).collect(),
        }
    }

    /// The manifests of the index that say something about `subject`, each with its artifact type and annotations.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the index lists too many manifests to look at; [`Error::Io`].
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let entries = self.index.manifests.iter();
        let manifests: Vec<&Descriptor> = entries.filter(|e| media::is_manifest(&e.media_type)).collect();
        if manifests.len() > MOST_MANIFESTS {
            return Err(refused(&self.path, "its index lists too many manifests"));
        }
        let mut found = Vec::new();
        for entry in manifests {
            let bytes = match self.fetch(entry, Limits::default().manifest_bytes) {
                Ok(bytes) => bytes,
                // A layout need not hold all that its index lists.
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let Ok(document) = Document::parse(&entry.media_type, &bytes) else {
                continue;
            };
            if document.subject().is_some_and(|about| about.digest == *subject) {
                let plain = Descriptor::plain(&entry.media_type, entry.digest.clone(), entry.size);
                found.push(document.referrer(plain));
            }
        }
        Ok(found)
    }

    /// The file of a blob and its size, if there is one.
    fn blob(&self, digest: &Digest) -> Result<Option<(std::fs::File, u64)>> {
        let algorithm = digest.algorithm().as_str();
        let opened = self
            .directory
            .child("blobs")
            .and_then(|blobs| blobs.child(algorithm))
            .and_then(|shelf| shelf.open_file(digest.hex()))
            .and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((size, file)) => Ok(Some((file, size))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::InvalidInput) => {
                let reason = format!("its {digest} is a link, or no file");
                Err(refused(&self.path, &reason))
            }
            Err(error) => Err(Error::io(format!("open {digest} in {}", self.path.display()))(
                error,
            )),
        }
    }
}

impl Source for OciLayout {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let Some((mut file, size)) = self.blob(&blob.digest)? else {
            return Err(Error::NotFound {
                what: blob.digest.to_string(),
                place: self.path.display().to_string(),
            });
        };
        let failed = || Error::io(format!("read {}", blob.digest));
        if range.end().is_none_or(|end| end > size) {
            return Err(failed()(io::Error::new(
                ErrorKind::InvalidInput,
                format!("the range ends after its {size} bytes"),
            )));
        }
        file.seek(SeekFrom::Start(range.offset)).map_err(failed())?;
        Ok(Box::new(file.take(range.length)))
    }
}

fn ref_name(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(annotation::REF_NAME).map(String::as_str)
}

fn refused(directory: &Path, reason: &str) -> Error {
    Error::Malformed {
        what: directory.display().to_string(),
        reason: reason.to_owned(),
    }
}

fn empty_index() -> Index {
    Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// The index of the layout in `directory`; `None` when nothing says that it is one.
fn read_index(directory: &Dir, path: &Path) -> Result<Option<Index>> {
    #[derive(serde::Deserialize)]
    struct Layout {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let malformed = |error: serde_json::Error| refused(path, &error.to_string());
    let Some(version) = read_small(directory, path, VERSION_FILE)? else {
        return Ok(None);
    };
    let layout: Layout = serde_json::from_slice(&version).map_err(malformed)?;
    if layout.version != VERSION {
        return Err(refused(
            path,
            &format!("its layout version is {:?}", layout.version),
        ));
    }
    match read_small(directory, path, INDEX_FILE)? {
        Some(index) => serde_json::from_slice(&index).map(Some).map_err(malformed),
        None => Err(refused(path, "it has no index.json")),
    }
}

fn read_small(directory: &Dir, path: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let file = match directory.open_file(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            return Err(refused(path, &format!("its {name} is a link, or no file")));
        }
        result => result.map_err(Error::io(format!("read {}", path.join(name).display())))?,
    };
    let mut bytes = Vec::new();
    let length = file
        .take(MOST_INDEX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io(format!("read {}", path.join(name).display())))?;
    if length as u64 > MOST_INDEX_BYTES {
        return Err(refused(&path.join(name), "it has more than 4 MiB"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
