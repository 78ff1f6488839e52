use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{Digest, Mutability};

/// What a repository is: declared to be, or observed to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Which tags may move. Where nothing but clients enforces it ([`Enforcement::Client`](super::Enforcement)), a
    /// registry does not know it, and is observed as [`Mutability::Mutable`]: that is what it lets everybody do.
    pub mutability: Mutability,
    /// What the gallery shows.
    pub catalog: Catalog,
    /// AWS's resource tags: key and value. (A *tag* without more words names an image.)
    pub resource_tags: BTreeMap<String, String>,
    /// The repository policy, a JSON text. Two texts that differ only in space and order say the same; whoever
    /// compares them minds that.
    pub policy: Option<String>,
}

impl Description {
    /// A repository with this policy of tags, and nothing else said of it.
    #[must_use]
    pub fn new(mutability: Mutability) -> Self {
        Self {
            mutability,
            catalog: Catalog::default(),
            resource_tags: BTreeMap::new(),
            policy: None,
        }
    }
}

/// What the gallery shows of a repository (`RepositoryCatalogDataInput`). What is empty is not there: a registry
/// that gives an empty text for what was never said is observed as `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// A short text.
    pub description: Option<String>,
    /// What the repository holds, in Markdown.
    pub about: Option<String>,
    /// How it is used, in Markdown.
    pub usage: Option<String>,
    /// Architectures of its images, such as `x86-64`.
    pub architectures: BTreeSet<String>,
    /// Operating systems of its images, such as `Linux`.
    pub operating_systems: BTreeSet<String>,
    /// A picture.
    pub logo: Option<Logo>,
}

/// The logo of a repository: its bytes where it is declared, and where it is observed whatever the registry says of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Logo {
    /// The picture itself.
    Bytes(Vec<u8>),
    /// Digest of the picture that the registry keeps.
    Digest(Digest),
    /// Where the registry shows it. That says nothing about which picture it is.
    Url(String),
}

impl Logo {
    /// Digest of the picture, where it is known.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Bytes(bytes) => Some(Digest::of(bytes)),
            Self::Digest(digest) => Some(digest.clone()),
            Self::Url(_) => None,
        }
    }
}

impl fmt::Display for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} ({} bytes)", Digest::of(bytes), bytes.len()),
            Self::Digest(digest) => digest.fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl fmt::Debug for Logo {
    /// As [`Display`](fmt::Display): half a megabyte of numbers helps nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logo({self})")
    }
}
