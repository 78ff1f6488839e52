use std::fmt;

use serde::{Deserialize, Serialize};

use super::Description;
use crate::RepoName;

/// Who keeps immutable tags from moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// The registry: nobody moves one, whatever client is used.
    Registry,
    /// Modelkeep's own commands, and nobody else's: the registry lets every client move every tag. Modelkeep looks
    /// before it writes and after, notices what was moved, and cannot prevent it.
    Client,
}

impl Enforcement {
    /// `registry` or `client`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many manifests a repository holds, with a tag or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// So many.
    Exactly(u64),
    /// So many and perhaps more: the registry lists them by the page, and only the first was read. Never none.
    AtLeast(u64),
}

impl Images {
    /// Whether there are none.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::Exactly(0)
    }
}

impl fmt::Display for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(0) => f.write_str("no images"),
            Self::Exactly(1) => f.write_str("1 image"),
            Self::Exactly(count) => write!(f, "{count} images"),
            Self::AtLeast(count) => write!(f, "{count} images or more"),
        }
    }
}

/// What a repository was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its name in the registry.
    pub name: RepoName,
    /// How it is referred to: `HOST/NAME`, or the name alone in a store, which has no host.
    pub uri: String,
    /// AWS's name for it.
    pub arn: Option<String>,
    /// The registry that it is in: an AWS account.
    pub registry_id: Option<String>,
    /// When it was made, RFC 3339, where that is known. Another time is another repository.
    pub created_at: Option<String>,
    /// Who keeps its immutable tags from moving.
    pub enforcement: Enforcement,
    /// What it is.
    pub description: Description,
    /// What it holds.
    pub images: Images,
}
