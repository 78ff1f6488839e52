//! A directory in the OCI image layout (image-spec, `image-layout.md`), which skopeo, podman and others read.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Hashed, Index, Limits, Tag, annotation,
    content::{Error, Expect, Need, Result, Sink, Source, Target},
    manifest::to_json,
    media,
};
use modelkeep_disk::{Dir, Staged, Writer, publish};

const VERSION_FILE: &str = "oci-layout";
const INDEX_FILE: &str = "index.json";
const VERSION: &str = "1.0.0";
/// Where blobs are written before they are whole.
const PARTIAL: &str = ".modelkeep-partial";
const MOST_INDEX_BYTES: u64 = 4 << 20;

/// A layout that is being written. No other process of Modelkeep writes to it meanwhile.
#[derive(Debug)]
pub struct OciLayout {
    path: PathBuf,
    index: Index,
    _locked: Dir,
}

impl OciLayout {
    /// Opens the layout in `directory`, or begins one if that is empty or not there.
    ///
    /// # Errors
    /// [`Error::Malformed`] when something else is in the directory, or another process writes to it; [`Error::Io`].
    pub fn create(directory: &Path) -> Result<Self> {
        let failed = || Error::io(format!("make the OCI layout {}", directory.display()));
        publish::create_directories(directory).map_err(failed())?;
        let locked = Dir::open(directory).map_err(failed())?;
        if !locked.try_lock().map_err(failed())? {
            return Err(refused(directory, "another process is writing to it"));
        }
        let index = read_index(directory)?;
        let partial = directory.join(PARTIAL);
        for directory in [&partial, &directory.join("blobs/sha256")] {
            publish::create_directories(directory).map_err(failed())?;
        }
        Staged::sweep(&partial).map_err(failed())?;
        Ok(Self {
            path: directory.to_owned(),
            index,
            _locked: locked,
        })
    }

    /// Names `manifest`, whose blobs have all been written, `name`; what had that name loses it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self, manifest: &Descriptor, name: &Tag) -> Result<()> {
        let is_other = |entry: &Descriptor| {
            entry.annotations.get(annotation::REF_NAME).map(String::as_str) != Some(name.as_str())
        };
        self.index.manifests.retain(is_other);
        let mut entry = manifest.clone();
        entry
            .annotations
            .insert(annotation::REF_NAME.to_owned(), name.to_string());
        self.index.manifests.push(entry);
        let version = format!("{{\"imageLayoutVersion\":\"{VERSION}\"}}");
        for (file, bytes) in [
            (VERSION_FILE, version.into_bytes()),
            (INDEX_FILE, to_json(&self.index)),
        ] {
            let path = self.path.join(file);
            publish::replace(&path, &bytes).map_err(Error::io(format!("write {}", path.display())))?;
        }
        let partial = self.path.join(PARTIAL);
        fs::remove_dir(&partial).map_err(Error::io(format!("remove {}", partial.display())))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        let directory = self.path.join("blobs").join(digest.algorithm().as_str());
        directory.join(digest.hex())
    }
}

fn refused(directory: &Path, reason: &str) -> Error {
    Error::Malformed {
        what: directory.display().to_string(),
        reason: reason.to_owned(),
    }
}

/// The index of a layout that is there, or an empty one.
fn read_index(directory: &Path) -> Result<Index> {
    let Some(version) = read_small(&directory.join(VERSION_FILE))? else {
        let names = fs::read_dir(directory)
            .and_then(|entries| {
                entries
                    .map(|entry| Ok(entry?.file_name()))
                    .collect::<io::Result<Vec<_>>>()
            })
            .map_err(Error::io(format!("list {}", directory.display())))?;
        if names.iter().any(|name| name != "blobs" && name != PARTIAL) {
            return Err(refused(directory, "it is not empty and not an OCI layout"));
        }
        return Ok(Index {
            schema_version: 2,
            media_type: Some(media::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        });
    };
    #[derive(serde::Deserialize)]
    struct Layout {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let malformed = |error: serde_json::Error| refused(directory, &error.to_string());
    let layout: Layout = serde_json::from_slice(&version).map_err(malformed)?;
    if layout.version != VERSION {
        return Err(refused(
            directory,
            &format!("its layout version is {:?}", layout.version),
        ));
    }
    match read_small(&directory.join(INDEX_FILE))? {
        Some(index) => serde_json::from_slice(&index).map_err(malformed),
        None => Err(refused(directory, "it has no index.json")),
    }
}

fn read_small(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = || Error::io(format!("read {}", path.display()));
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.map_err(failed())?,
    };
    let mut bytes = Vec::new();
    let length = file
        .take(MOST_INDEX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed())?;
    if length as u64 > MOST_INDEX_BYTES {
        return Err(refused(path, "it has more than 4 MiB"));
    }
    Ok(Some(bytes))
}

impl Source for OciLayout {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let path = self.blob(&blob.digest);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound {
                    what: blob.digest.to_string(),
                    place: self.path.display().to_string(),
                });
            }
            result => result.map_err(Error::io(format!("open {}", path.display())))?,
        };
        file.seek(SeekFrom::Start(range.offset))
            .map_err(Error::io(format!("read {}", path.display())))?;
        Ok(Box::new(file.take(range.length)))
    }
}

impl Target for OciLayout {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn need(&self, blob: &Descriptor) -> Result<Need> {
        let path = self.blob(&blob.digest);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() == blob.size => Ok(Need::Nothing),
            Ok(_) => Ok(Need::From(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Need::From(0)),
            Err(error) => Err(Error::io(format!("look at {}", path.display()))(error)),
        }
    }

    fn begin<'a>(&'a self, expect: Expect<'_>) -> Result<Box<dyn Sink + 'a>> {
        let failed = || Error::io(format!("write to {}", self.path.display()));
        let staged = Staged::create(&self.path.join(PARTIAL)).map_err(failed())?;
        let writer = Writer::new(staged.file(), expect.size()).map_err(failed())?;
        Ok(Box::new(Blob {
            layout: self,
            expected: match expect {
                Expect::Known(descriptor) => Some(descriptor.digest.clone()),
                Expect::Unknown { .. } => None,
            },
            size: expect.size(),
            written: 0,
            staged,
            writer,
        }))
    }
}

/// A blob on its way into the layout.
struct Blob<'a> {
    layout: &'a OciLayout,
    expected: Option<Digest>,
    size: u64,
    written: u64,
    staged: Staged,
    writer: Writer,
}

impl Sink for Blob<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.writer
            .write_at(offset, bytes)
            .map_err(Error::io(format!("write to {}", self.layout.path.display())))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()> {
        let what = "the blob being written";
        if let Some(expected) = self.expected.filter(|expected| expected != hashed.digest()) {
            return Err(Error::damaged(what, &expected, hashed.digest()));
        }
        if self.written != self.size || hashed.size() != self.size {
            return Err(Error::Damaged {
                what: what.to_owned(),
                expected: format!("{} bytes", self.size),
                found: format!("{} bytes", self.written),
            });
        }
        let path = self.layout.blob(hashed.digest());
        let failed = || Error::io(format!("write {}", path.display()));
        if let Some(parent) = path.parent() {
            publish::create_directories(parent).map_err(failed())?;
        }
        // Replaced rather than kept: what is there may be of the wrong size.
        self.staged.replace(&path).map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    fn put(layout: &OciLayout, bytes: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media::OCI_MANIFEST, bytes);
        let mut sink = layout.begin(Expect::Known(&descriptor)).unwrap();
        sink.write(0, bytes).unwrap();
        sink.commit(&Memory::hash(bytes)).unwrap();
        descriptor
    }

    fn names(path: &Path) -> Vec<String> {
        let bytes = fs::read(path.join(INDEX_FILE)).unwrap();
        let index: Index = serde_json::from_slice(&bytes).unwrap();
        let name = |entry: Descriptor| entry.annotations[annotation::REF_NAME].clone();
        index.manifests.into_iter().map(name).collect()
    }

    #[test]
    fn versions_gather_in_a_layout_and_keep_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/layout");
        for (name, content) in [("1.0", "a"), ("1.1", "b"), ("1.0", "c")] {
            let layout = OciLayout::create(&path).unwrap();
            let descriptor = put(&layout, content.as_bytes());
            assert_eq!(layout.need(&descriptor).unwrap(), Need::Nothing);
            assert_eq!(layout.fetch(&descriptor, 100).unwrap(), content.as_bytes());
            layout.finish(&descriptor, &name.parse().unwrap()).unwrap();
        }
        assert_eq!(names(&path), ["1.1", "1.0"]);
        let mut there: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        there.sort();
        assert_eq!(there, ["blobs", "index.json", "oci-layout"]);
        assert_eq!(
            fs::read_to_string(path.join(VERSION_FILE)).unwrap(),
            r#"{"imageLayoutVersion":"1.0.0"}"#
        );
    }

    #[test]
    fn what_is_not_what_it_should_be_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let layout = OciLayout::create(directory.path()).unwrap();
        let expected = Descriptor::of(media::OCI_LAYER, b"right");
        for bytes in [&b"wrong"[..], b"righ"] {
            let mut sink = layout.begin(Expect::Known(&expected)).unwrap();
            sink.write(0, bytes).unwrap();
            assert!(matches!(
                sink.commit(&Memory::hash(bytes)),
                Err(Error::Damaged { .. })
            ));
        }
        let mut sink = layout.begin(Expect::Unknown { size: 5 }).unwrap();
        sink.write(0, b"righ").unwrap();
        assert!(matches!(
            sink.commit(&Memory::hash(b"right")),
            Err(Error::Damaged { .. })
        ));
        assert_eq!(layout.need(&expected).unwrap(), Need::From(0));
        assert!(matches!(
            layout.fetch(&expected, 100),
            Err(Error::NotFound { .. })
        ));
    }

    #[test]
    fn a_directory_with_other_files_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.tex"), "").unwrap();
        assert!(matches!(
            OciLayout::create(directory.path()),
            Err(Error::Malformed { .. })
        ));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_layout_of_another_version_is_left_alone_and_a_busy_one_too() {
        let directory = tempfile::tempdir().unwrap();
        let layout = OciLayout::create(directory.path()).unwrap();
        assert!(matches!(
            OciLayout::create(directory.path()),
            Err(Error::Malformed { .. })
        ));
        drop(layout);
        OciLayout::create(directory.path()).unwrap();
        fs::write(
            directory.path().join(VERSION_FILE),
            r#"{"imageLayoutVersion":"2.0.0"}"#,
        )
        .unwrap();
        assert!(matches!(
            OciLayout::create(directory.path()),
            Err(Error::Malformed { .. })
        ));
    }
}
