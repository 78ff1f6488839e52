//! Everything kept, on disk: blobs, manifests, tags and history.
//!
//! A [`Store`] is one directory for all repositories of a user; a [`Repository`] is one model line in it, and
//! implements the ports of [`modelkeep_core::content`]. In a store repositories are declared as in a registry
//! ([`modelkeep_core::repositories`]). Any number of processes use a store at once: readers take
//! no lock, because every file appears whole, and a change of names and history holds the repository's lock, which
//! ends with its process. The rules of what may be published are not here: whoever changes names asks them.
//!
//! The order of steps is what makes a process that dies at any point harmless: bytes before the name of their
//! blob, that before the link that lets a repository read it, links before the manifest that needs them, and the
//! manifest before history and tags. `docs/reference/store.md` describes the format.
//!
//! ```
//! use modelkeep_core::{Mutability, content::{Source, Target}};
//! use modelkeep_store::Store;
//!
//! let home = tempfile::tempdir()?;
//! let store = Store::create(&home.path().join("store"))?;
//! let (digits, _) = store.create_repository(&"digits".parse()?, &Mutability::Immutable, "2026-01-01T00:00:00Z")?;
//! let blob = digits.put("text/plain", b"hello")?;
//! assert_eq!(digits.fetch(&blob, 1024)?, b"hello");
//! assert_eq!(store.check(&blob.digest)?, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod blobs;
mod catalog;
mod collect;
mod description;
mod kept;
mod keys;
mod links;
mod needs;
mod records;
mod referrers;
mod repositories;
mod repository;
mod scrub;
mod serving;
mod store;
mod tags;
mod transaction;
mod uploads;

pub use collect::{Act, CollectOptions, Collected};
pub use modelkeep_disk::Outcome;
pub use repository::Repository;
pub use scrub::{Problem, Repair, Scrubbed};
pub use serving::Spool;
pub use store::Store;
pub use uploads::{InvalidUploadId, Swept, Upload, UploadError, UploadId, Writing};
