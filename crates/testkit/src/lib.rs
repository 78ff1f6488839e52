//! For tests only: an end in memory, the clauses that every end keeps, and a slow line.
//!
//! [`Memory`] is the smallest end that is right: tests of what moves bytes and changes names use it where a disk
//! would only slow them down. [`conformance`] holds one function per clause of the ports of
//! [`modelkeep_core::content`]; each end runs all of them, [`Memory`] too, by [`blob_tests!`] and [`name_tests!`].
//! [`MemoryRepositories`] is the same for declared repositories, with [`repository_tests!`].
//! [`Loose`] is a registry that knows nothing but manifests and tags, and keeps no promises, in virtual time.
//! [`Link`] is a line between client and server that is as slow and as long as a test wants it, also as the program
//! `slow-link`.

#![forbid(unsafe_code)]

pub mod conformance;
mod link;
mod loose;
mod memory;
mod repositories;

pub use link::Link;
pub use loose::{Conditions, Loose};
pub use memory::Memory;
pub use repositories::{LogosAre, MemoryRepositories};
