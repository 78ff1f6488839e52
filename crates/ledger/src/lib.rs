//! What a version is and may become.
//!
//! A repository's [`History`] is a chain of [`Entry`] documents, each naming the one before it by digest. It is the
//! truth about versions: a tag that says otherwise has been moved. [`publish()`], [`tag()`], [`delete()`], [`untag`],
//! [`clear`], [`promote`], [`rollback`], [`yank()`], [`restore`], [`rekey()`] and [`checkpoint`] are the only ways to make an
//! entry, for the command line and for the server alike; [`accept()`] takes one that was made elsewhere, by the same rules.
//!
//! Nothing here does I/O: entries are read and written through [`modelkeep_core::content::Journal`].

#![forbid(unsafe_code)]

mod accept;
mod alias;
mod change;
pub mod claim;
pub mod claims;
mod delete;
mod entry;
mod heal;
mod history;
mod keys;
mod publish;
mod recent;
mod recorded;
mod rekey;
mod rules;
mod seen;
pub mod signing;
mod tag;
mod written;
mod yank;

pub use accept::{AcceptError, accept};
pub use alias::{AliasError, promote, rollback};
pub use delete::{DeleteError, Force, clear, delete, untag};
pub use entry::{
    Alias, Base, Delete, Entry, EntryId, MalformedEntry, NameAfter, Note, Operation, Publish, Restore, Yank,
};
pub use heal::heal;
pub use history::{History, MalformedHistory, Move, Publication, Signatures, Yanked, next, next_free};
pub use keys::{Founds, InvalidKeys, Keys, ListedKey, Role, Seal, Unauthorized};
pub use publish::{Draft, Logged, Outcome, PublishError, Standing, Who, entries, publish, read};
pub use recent::{Histories, Recent};
pub use recorded::Recorded;
pub use rekey::{NoteError, checkpoint, rekey};
pub use rules::{Name, Proposed, Verdict, judge};
pub use seen::{Conflict, Seen, fork};
pub use tag::{Refused, TagError, tag};
pub use written::Written;
pub use yank::{YankError, restore, yank};
