//! The contents list of a version, and its content root.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{Digest, InvalidDigest, InvalidPath, ModelPath, sha256::Sha256};

/// The contents list of a version: where every file lies, so that any one can be read by range out of its layer.
///
/// It is kept in the label [`Contents::LABEL`] of the image config, and so is bound by digest to the version.
/// `docs/reference/contents.md` describes the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    layers: Vec<Digest>,
    files: Vec<FileEntry>,
}

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path in the model.
    pub path: ModelPath,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 digest of its bytes.
    pub digest: Digest,
    /// Which of the list's layers holds it.
    pub layer: usize,
    /// Where its first byte lies in the uncompressed layer.
    pub offset: u64,
}

/// A contents list that is refused.
#[derive(Debug, thiserror::Error)]
pub enum MalformedContents {
    /// Not the JSON that the format says.
    #[error("the contents list is not what its format says")]
    Json(#[from] serde_json::Error),
    /// Written by a newer Modelkeep.
    #[error("the contents list has format {0}, and this modelkeep reads 1: use a newer one")]
    Newer(u64),
    /// A path that must not touch a disk.
    #[error("the contents list names a path that is refused")]
    Path(#[from] InvalidPath),
    /// A text that is no digest.
    #[error("the contents list has a digest that is none")]
    Digest(#[from] InvalidDigest),
    /// The same path twice, or out of order.
    #[error("the contents list is not in strict order at {0}")]
    Order(ModelPath),
    /// A path that is both a file and a directory.
    #[error("the contents list has {0} as a file and as a directory")]
    FileAndDirectory(String),
    /// A position that no layer has.
    #[error("the contents list places {0} where no layer is")]
    Place(ModelPath),
    /// The files are not those that the root was made of.
    #[error("the contents list has the root {stated}, but its files make {computed}")]
    Root {
        /// What the list says.
        stated: Digest,
        /// What its files make.
        computed: Digest,
    },
}

/// The JSON of format 1. Rows are arrays, because a list of thousands of files has to fit into an image config.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    format: u64,
    root: Digest,
    layers: Vec<Digest>,
    #[serde(borrow)]
    files: Vec<Row<'a>>,
}

/// Path, size, SHA-256 in hexadecimal digits, layer, offset.
#[derive(Serialize, Deserialize)]
struct Row<'a>(
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    u64,
    #[serde(borrow)] std::borrow::Cow<'a, str>,
    usize,
    u64,
);

impl Contents {
    /// The label of the image config that holds the list.
    pub const LABEL: &'static str = "dev.modelkeep.contents";

    /// A list of `files`, which are put in order.
    ///
    /// # Errors
    /// As [`Contents::parse`].
    pub fn new(layers: Vec<Digest>, mut files: Vec<FileEntry>) -> Result<Self, MalformedContents> {
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let contents = Self { layers, files };
        contents.check()?;
        Ok(contents)
    }

    /// Reads the JSON text of a list and checks all of it; the text may come from anyone.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn parse(text: &str) -> Result<Self, MalformedContents> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let Format { format } = serde_json::from_str(text)?;
        if format != 1 {
            return Err(MalformedContents::Newer(format));
        }
        let document: Document<'_> = serde_json::from_str(text)?;
        let files = document
            .files
            .into_iter()
            .map(|Row(path, size, hex, layer, offset)| {
                Ok(FileEntry {
                    path: path.parse()?,
                    size,
                    digest: format!("sha256:{hex}").parse()?,
                    layer,
                    offset,
                })
            })
            .collect::<Result<Vec<_>, MalformedContents>>()?;
        let contents = Self {
            layers: document.layers,
            files,
        };
        contents.check()?;
        let computed = contents.root();
        if computed != document.root {
            return Err(MalformedContents::Root {
                stated: document.root,
                computed,
            });
        }
        Ok(contents)
    }

    fn check(&self) -> Result<(), MalformedContents> {
        let paths: HashSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        for file in &self.files {
            if let Some(parent) = file.path.parents().find(|parent| paths.contains(parent)) {
                return Err(MalformedContents::FileAndDirectory(parent.to_owned()));
            }
            if file.layer >= self.layers.len() || file.offset.checked_add(file.size).is_none() {
                return Err(MalformedContents::Place(file.path.clone()));
            }
        }
        match self.files.windows(2).find(|pair| pair[0].path >= pair[1].path) {
            Some(pair) => Err(MalformedContents::Order(pair[1].path.clone())),
            None => Ok(()),
        }
    }

    /// The list as JSON text: the same list gives the same text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let files = self.files.iter();
        let document = Document {
            format: 1,
            root: self.root(),
            layers: self.layers.clone(),
            files: files
                .map(|file| {
                    Row(
                        file.path.as_str().into(),
                        file.size,
                        file.digest.hex().into(),
                        file.layer,
                        file.offset,
                    )
                })
                .collect(),
        };
        serde_json::to_string(&document).expect("texts and numbers become JSON")
    }

    /// The content root: one digest over all paths and file digests, whatever the layers.
    ///
    /// It is the SHA-256 of what `sha256sum` prints for the files in byte order of their paths:
    /// `LC_ALL=C; find * -type f | sort | xargs sha256sum | sha256sum`.
    #[must_use]
    pub fn root(&self) -> Digest {
        root(self.files.iter().map(|file| (&file.path, &file.digest)))
    }

    /// The files, in byte order of their paths.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The layers that hold the files.
    #[must_use]
    pub fn layers(&self) -> &[Digest] {
        &self.layers
    }

    /// Bytes of all files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }
}

/// The content root of files given in byte order of their paths; see [`Contents::root`].
pub fn root<'a>(files: impl IntoIterator<Item = (&'a ModelPath, &'a Digest)>) -> Digest {
    let mut hasher = Sha256::new();
    for (path, digest) in files {
        for part in [digest.hex(), "  ", path.as_str(), "\n"] {
            hasher.update(part.as_bytes());
        }
    }
    Digest::from_sha256(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, layer: usize, offset: u64) -> FileEntry {
        FileEntry {
            path: path.parse().unwrap(),
            size: 3,
            digest: Digest::of(b"abc"),
            layer,
            offset,
        }
    }

    fn list() -> Contents {
        let layers = vec![Digest::of(b"0"), Digest::of(b"1")];
        Contents::new(layers, vec![entry("b/c", 1, 512), entry("a", 0, 4096)]).unwrap()
    }

    #[test]
    fn a_list_reads_what_it_wrote() {
        let list = list();
        assert_eq!(Contents::parse(&list.to_json()).unwrap(), list);
        assert_eq!(list.files()[0].path.as_str(), "a");
        assert_eq!(list.size(), 6);
    }

    #[test]
    fn the_root_is_that_of_a_sha256sum_listing() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let listing = format!("{abc}  a\n{abc}  b/c\n");
        assert_eq!(list().root(), Digest::of(listing.as_bytes()));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        let good = list().to_json();
        let changed = |from: &str, to: &str| Contents::parse(&good.replacen(from, to, 1)).unwrap_err();
        assert!(matches!(
            changed("\"format\":1", "\"format\":2"),
            MalformedContents::Newer(2)
        ));
        assert!(matches!(changed("\"a\"", "\"../a\""), MalformedContents::Path(_)));
        assert!(matches!(changed("\"a\"", "\"z\""), MalformedContents::Order(_)));
        assert!(matches!(
            changed("\"a\"", "\"b\""),
            MalformedContents::FileAndDirectory(_)
        ));
        assert!(matches!(
            changed("\"a\"", "\"aa\""),
            MalformedContents::Root { .. }
        ));
        assert!(matches!(
            changed(",1,512]", ",2,512]"),
            MalformedContents::Place(_)
        ));
        assert!(matches!(
            changed(",1,512]", ",1,18446744073709551615]"),
            MalformedContents::Place(_)
        ));
        assert!(matches!(changed("{", "["), MalformedContents::Json(_)));
    }
}
