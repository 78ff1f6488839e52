use modelkeep_core::content::{self, Journal};

use crate::{
    Keys, ListedKey, MalformedHistory, Note, Operation, Outcome, Unauthorized, Who,
    change::{self, Change, in_turn},
};

/// Why nothing was said of a history.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It has no entries yet.
    #[error("the history has no entry yet: the first push founds it")]
    Empty,
    /// It would stand unsigned, and nobody could tell who said it.
    #[error("the history is not signed: the first signed entry lists its keys")]
    NotSigned,
    /// Who wants to may not add to the history.
    #[error(transparent)]
    Unauthorized(#[from] Unauthorized),
    /// The history is broken.
    #[error(transparent)]
    History(#[from] MalformedHistory),
    /// The end refused.
    #[error(transparent)]
    Content(#[from] content::Error),
}

change::overtaken!(NoteError);

/// Changes the keys of a history to what `after` makes of them. An unsigned history gets keys by it, if one of them
/// signs.
///
/// # Errors
/// [`NoteError`]; nothing has changed then.
pub fn rekey(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    message: Option<&str>,
    after: impl Fn(&Keys) -> Result<Keys, Unauthorized>,
) -> Result<Outcome, NoteError> {
    in_turn(|| {
        let mut change = begin(journal)?;
        if who.seal.is_none() {
            return Err(Unauthorized::NoKey.into());
        }
        let keys = after(change.history.keys())?;
        if !changes(&change, keys.listed()) {
            return Ok(Outcome::Unchanged);
        }
        let note = note(message);
        change.note::<NoteError>(who, Some(&keys), Operation::Keys(note))?;
        Ok(Outcome::Published)
    })
}

/// Says that a signed history is still what it is: whoever refuses what is too old goes by the newest entry.
///
/// # Errors
/// [`NoteError`]; nothing has changed then.
pub fn checkpoint(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    message: Option<&str>,
) -> Result<(), NoteError> {
    in_turn(|| {
        let mut change = begin(journal)?;
        permit_checkpoint(&change)?;
        change.note(who, None, Operation::Checkpoint(note(message)))
    })
}

/// Whether the history has other keys by now than these.
pub(crate) fn changes(change: &Change<'_>, keys: &[ListedKey]) -> bool {
    keys != change.history.keys().listed()
}

pub(crate) fn permit_checkpoint(change: &Change<'_>) -> Result<(), NoteError> {
    match change.history.keys().is_empty() {
        true => Err(NoteError::NotSigned),
        false => Ok(()),
    }
}

fn note(message: Option<&str>) -> Note {
    Note {
        message: message.map(str::to_owned),
    }
}

fn begin(journal: &(impl Journal + ?Sized)) -> Result<Change<'_>, NoteError> {
    let change = Change::begin::<NoteError>(journal, None)?;
    match change.history.height() {
        0 => Err(NoteError::Empty),
        _ => Ok(change),
    }
}
