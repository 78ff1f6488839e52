use std::path::{Path, PathBuf};

/// A snapshot in a cache of the Hugging Face Hub: `models--ORG--NAME/snapshots/REVISION`, whose files are symlinks to
/// `models--ORG--NAME/blobs` (huggingface_hub, "Understand caching").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The name of the repository on the Hub, `ORG/NAME`.
    pub repository: String,
    /// The commit, 40 hexadecimal digits.
    pub revision: String,
    blobs: PathBuf,
}

impl Snapshot {
    /// The snapshot that `directory` is, if it is one. Names decide.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Self> {
        let directory = std::fs::canonicalize(directory).ok()?;
        let revision = directory.file_name()?.to_str()?;
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if revision.len() != 40 || !revision.bytes().all(is_digit) {
            return None;
        }
        let snapshots = directory.parent()?;
        let home = snapshots.parent()?;
        let repository = home.file_name()?.to_str()?.strip_prefix("models--")?;
        let names: Vec<&str> = repository.split("--").collect();
        let is_name = |name: &&str| {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !name.is_empty() && name.bytes().all(is_known)
        };
        if snapshots.file_name()? != "snapshots" || names.len() > 2 || !names.iter().all(is_name) {
            return None;
        }
        Some(Self {
            repository: names.join("/"),
            revision: revision.to_owned(),
            blobs: home.join("blobs"),
        })
    }

    /// Whether `file`, which is free of symlinks, is one of the blobs that lie beside the snapshots.
    pub(super) fn holds(&self, file: &Path) -> bool {
        file.parent() == Some(&self.blobs)
    }
}
