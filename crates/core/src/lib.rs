//! The words of Modelkeep and the ports between its parts.
//!
//! Everything that more than one part of Modelkeep says lives here: digests, names, versions, descriptors,
//! manifests, the contents list of a version, and the traits ([`content`]) by which a directory, a store or a
//! registry offers and takes bytes. Nothing here does I/O, reads a clock or looks at the environment; hashing is
//! the only work done.
//!
//! The types to know: [`Digest`], [`Descriptor`], [`RepoName`], [`Tag`], [`Contents`], and the ports
//! [`content::Source`], [`content::Target`] and [`content::Journal`], and [`repositories::Repositories`], by which a
//! repository is declared.
//!
//! ```
//! use modelkeep_core::{Digest, Reference, Tag};
//!
//! let reference: Reference = "digits:1.0".parse()?;
//! assert_eq!(reference.tag().map(Tag::as_str), Some("1.0"));
//! let digest = Digest::of(b"abc");
//! assert_eq!(digest.short(), "ba7816bf8f01");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod buffer;
pub mod content;
pub mod contents;
mod descriptor;
mod digest;
mod limits;
pub mod manifest;
pub mod media;
mod mutability;
pub mod name;
mod outline;
mod parallel;
mod path;
mod range;
pub mod repositories;
pub mod sha256;
mod version;

pub use buffer::{ALIGNMENT, Buffer};
pub use contents::{Contents, FileEntry, MalformedContents};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hashed, Hasher, InvalidDigest};
pub use limits::Limits;
pub use manifest::{
    ContainerConfig, Document, ImageConfig, Index, InvalidPlatform, MalformedManifest, Manifest, Platform,
    RootFs, annotation,
};
pub use mutability::{InvalidFilter, Mutability, TagFilter};
pub use name::{Host, InvalidName, Reference, RepoName, Tag};
pub use outline::{Outline, Part};
pub use parallel::in_parallel;
pub use path::{InvalidPath, ModelPath};
pub use range::ByteRange;
pub use version::{Bump, SemVer};
