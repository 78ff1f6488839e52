//! Files that are durable, or not there.
//!
//! What the store and the model directory share about disks, and nothing about models: [`Reader`] and
//! [`Writer`] move large files past the page cache, [`publish`] makes files appear whole and synced, [`Lock`] keeps other
//! processes out and dies with its holder, [`Staged`] is a temporary file that the next process can tell from a
//! live one, and [`Dir`] walks a directory without ever following a symlink.
//!
//! Exactness between processes rests on the file system alone: `O_EXCL`, `link`, `rename` and `flock`.

#![forbid(unsafe_code)]

mod dir;
mod direct;
mod lock;
pub mod publish;
mod reader;
mod room;
mod staged;
mod writer;

pub use dir::{Dir, Kind};
pub use lock::Lock;
pub use publish::Outcome;
pub use reader::Reader;
pub use room::free_bytes;
pub use staged::Staged;
pub use writer::Writer;

use std::hash::{BuildHasher, Hasher};

/// Sixteen hexadecimal digits that no other process picks: for names of temporary files, not for secrets.
#[must_use]
pub fn unique() -> String {
    // The standard library seeds its hash maps from the operating system.
    let random = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    format!("{random:016x}")
}
