//! Copies between two ends: what is missing, in what order, how many at once.
//!
//! [`copy`] moves an image from any [`Source`](modelkeep_core::content::Source) to any
//! [`Target`](modelkeep_core::content::Target); a [`Tree`] is all that the image needs, known before anything of it
//! is copied; [`in_parallel`] is the loop that bounds how much happens at once. No disk, no network and no model is
//! known here, and nothing is remembered: a target says itself, by `need`, what it still lacks.

#![forbid(unsafe_code)]

mod copy;
mod tree;

pub use copy::{Copied, CopyError, copy, copy_blobs};
pub use modelkeep_core::in_parallel;
pub use tree::Tree;
