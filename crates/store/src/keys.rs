//! The layout: the only place that builds a path of the store or takes one apart.

use std::path::{Path, PathBuf};

use modelkeep_core::{Digest, RepoName, Tag};

/// The version of the layout that this code writes, and the newest that it reads.
pub(crate) const VERSION: u64 = 1;

/// Paths of a store.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    root: PathBuf,
}

impl Keys {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Says that the directory is a store, and of which version.
    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    /// Files of living processes.
    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("v1/staging")
    }

    /// Uploads that go on over many requests.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("v1/uploads")
    }

    /// Blobs that were found damaged, under the digests that they should have.
    pub(crate) fn damaged(&self) -> PathBuf {
        self.root.join("v1/damaged")
    }

    pub(crate) fn damaged_blob(&self, digest: &Digest) -> PathBuf {
        self.damaged().join(encode_digest(digest))
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("v1/blobs")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.shelf(digest).join(digest.hex())
    }

    /// The directory that a blob shares with others.
    pub(crate) fn shelf(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
        self.root.join(format!("v1/blobs/{algorithm}/{}", &hex[..2]))
    }

    /// The digest of the blob that lies at `algorithm/prefix/hex`, if one can lie there.
    pub(crate) fn parse_blob(algorithm: &str, prefix: &str, hex: &str) -> Option<Digest> {
        let digest = format!("{algorithm}:{hex}").parse().ok()?;
        hex.starts_with(prefix).then_some(digest)
    }

    pub(crate) fn repositories(&self) -> PathBuf {
        self.root.join("v1/repos")
    }

    pub(crate) fn repository(&self, name: &RepoName) -> RepositoryKeys {
        RepositoryKeys {
            directory: joined(&self.root, ["v1/repos", name.as_str()]),
        }
    }
}

/// Paths of a repository. Its own names begin with `_`, which no part of a repository's name does, so that `a` and
/// `a/b` can both be repositories.
#[derive(Clone, Debug)]
pub(crate) struct RepositoryKeys {
    directory: PathBuf,
}

impl RepositoryKeys {
    /// The record whose presence makes the directory a repository.
    pub(crate) fn record(&self) -> PathBuf {
        self.directory.join("_repository")
    }

    /// What is said of the repository.
    pub(crate) fn description(&self) -> PathBuf {
        self.directory.join("_description")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.directory.join("_lock")
    }

    pub(crate) fn links(&self) -> PathBuf {
        self.directory.join("_blobs")
    }

    pub(crate) fn link(&self, digest: &Digest) -> PathBuf {
        self.links().join(encode_digest(digest))
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.directory.join("_manifests")
    }

    pub(crate) fn manifest(&self, digest: &Digest) -> PathBuf {
        self.manifests().join(encode_digest(digest))
    }

    pub(crate) fn subjects(&self) -> PathBuf {
        self.directory.join("_subject")
    }

    /// The manifests that say something about `subject`.
    pub(crate) fn subject(&self, subject: &Digest) -> PathBuf {
        self.subjects().join(encode_digest(subject))
    }

    pub(crate) fn referrer(&self, subject: &Digest, referrer: &Digest) -> PathBuf {
        self.subject(subject).join(encode_digest(referrer))
    }

    pub(crate) fn tags(&self) -> PathBuf {
        self.directory.join("_tags")
    }

    pub(crate) fn tag(&self, tag: &Tag) -> PathBuf {
        joined(&self.directory, ["_tags", &encode_tag(tag)])
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.directory.join("_history")
    }

    pub(crate) fn entry(&self, height: u64) -> PathBuf {
        self.history().join(format!("{height:08}"))
    }
}

/// A path in one allocation: each request makes some.
fn joined(base: &Path, parts: [&str; 2]) -> PathBuf {
    let length = base.as_os_str().len() + parts[0].len() + parts[1].len() + 2;
    let mut path = PathBuf::with_capacity(length);
    path.push(base);
    path.extend(parts);
    path
}

fn encode_digest(digest: &Digest) -> String {
    format!("{}.{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest whose file has this name, if one can.
pub(crate) fn parse_digest(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.split_once('.')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// The height whose entry has this name, if one can.
pub(crate) fn parse_height(name: &str) -> Option<u64> {
    let height = name.parse().ok()?;
    // One height, one name.
    (format!("{height:08}") == name && height > 0).then_some(height)
}

/// Tags are case sensitive and some disks are not: the name is the tag in lower case, and if that changes it, `+`
/// and the positions of the capitals as a hexadecimal number whose bit 0 is the first letter. (A tag has 128
/// characters at most; to mark each capital by itself could make a name longer than the 255 bytes that disks take.)
fn encode_tag(tag: &Tag) -> String {
    let capitals = tag
        .as_str()
        .bytes()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_uppercase())
        .fold(0u128, |capitals, (n, _)| capitals | 1 << n);
    let lower = tag.as_str().to_ascii_lowercase();
    match capitals {
        0 => lower,
        _ => format!("{lower}+{capitals:x}"),
    }
}

/// The tag whose record has this name, if one can.
pub(crate) fn parse_tag(name: &str) -> Option<Tag> {
    let (lower, capitals) = match name.split_once('+') {
        Some((lower, hex)) => (lower, u128::from_str_radix(hex, 16).ok()?),
        None => (name, 0),
    };
    let text: String = lower
        .chars()
        .enumerate()
        .map(|(n, letter)| match n {
            0..128 if capitals >> n & 1 == 1 => letter.to_ascii_uppercase(),
            _ => letter,
        })
        .collect();
    let tag: Tag = text.parse().ok()?;
    // One tag, one name: whatever else would decode to the same tag was not written here.
    (encode_tag(&tag) == name).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_back_from_names_that_differ_without_case() {
        let longest = "Z".repeat(128);
        let tags = ["1.0", "v1", "V1", "RC-x", "rc-X", "_A", "a.B-c_D", &longest];
        let mut names: Vec<String> = tags
            .iter()
            .map(|tag| {
                let tag: Tag = tag.parse().unwrap();
                let name = encode_tag(&tag);
                assert_eq!(parse_tag(&name), Some(tag));
                assert!(name.len() < 255);
                name.to_lowercase()
            })
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), tags.len());
    }

    #[test]
    fn names_that_no_tag_is_kept_under_are_not_tags() {
        for name in [
            "V1", "v1+", "v1+0", "v1+2", "v1+01", "v1+1+1", "v1++1", "a/b", "", "+1", "é+1",
        ] {
            assert_eq!(parse_tag(name), None, "{name}");
        }
    }

    #[test]
    fn a_blob_lies_where_its_digest_says() {
        let digest = Digest::of(b"abc");
        let hex = digest.hex();
        let path = Keys::new(Path::new("/store")).blob(&digest);
        assert_eq!(path, Path::new("/store/v1/blobs/sha256/ba").join(hex));
        assert_eq!(Keys::parse_blob("sha256", "ba", hex), Some(digest.clone()));
        assert_eq!(Keys::parse_blob("sha256", "bb", hex), None);
        assert_eq!(Keys::parse_blob("md5", "ba", hex), None);
        assert_eq!(parse_digest(&encode_digest(&digest)), Some(digest));
        assert_eq!(parse_digest("sha256"), None);
    }
}
