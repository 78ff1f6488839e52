//! What a version is and may become.
//!
//! A repository's [`History`] is a chain of [`Entry`] documents, each naming the one before it by digest. It is the
//! truth about versions: a tag that says otherwise has been moved. [`publish()`] is the only way to a new version,
//! for the command line and for the server alike, and [`judge`] is the rule that it follows.
//!
//! Nothing here does I/O: entries are read and written through [`modelkeep_core::content::Journal`].

#![forbid(unsafe_code)]

mod entry;
mod history;
mod publish;
mod rules;

pub use entry::{Entry, EntryId, MalformedEntry, Operation, Publish};
pub use history::{History, MalformedHistory, Publication, next, next_free};
pub use publish::{Draft, Outcome, PublishError, Standing, publish, read};
pub use rules::{Proposed, Verdict, judge};
