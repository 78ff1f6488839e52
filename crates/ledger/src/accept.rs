use modelkeep_core::{
    Descriptor, Digest, Tag,
    content::{self, Journal},
};

use crate::{
    AliasError, DeleteError, EntryId, Force, MalformedEntry, MalformedHistory, NoteError, Operation, Outcome,
    PublishError, Recent, Signatures, Unauthorized, Written, YankError, alias,
    change::{self, Change},
    delete, publish, rekey, yank,
};

/// How far back an entry is looked for that was added before: whoever did not hear of it asks again at once.
const REMEMBERED: u64 = 64;

/// Why an entry that somebody else made was not added. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The bytes are no entry.
    #[error("it is no entry of a history")]
    Malformed(#[from] MalformedEntry),
    /// It is not the next entry: the history has gone on, or is another one.
    #[error("it does not follow entry {height}, the newest one")]
    Overtaken {
        /// Entries of the history.
        height: u64,
    },
    /// It follows, and cannot be added.
    #[error("it cannot be added to the history")]
    Refused(#[source] MalformedHistory),
    /// The name belongs to a protocol.
    #[error("{0} is a name of the protocol, and has no history")]
    Reserved(Tag),
    /// It says what the history says already.
    #[error("the history says so already")]
    Redundant,
    /// It does not say what has become of the name, or names another manifest than the version has.
    #[error("it does not say of {0} what would be so")]
    Mistaken(Tag),
    /// The manifest is not one of the repository.
    #[error("the repository does not have the manifest {0} as the entry describes it")]
    NoManifest(Digest),
    /// Something that the manifest needs is not in the repository.
    #[error("the manifest needs {0}, which the repository does not have")]
    Needs(String),
    /// The version may not become this.
    #[error(transparent)]
    Publish(PublishError),
    /// The name may not point there.
    #[error(transparent)]
    Alias(AliasError),
    /// The version may not be spoken of so.
    #[error(transparent)]
    Yank(YankError),
    /// The version stays.
    #[error(transparent)]
    Delete(DeleteError),
    /// Nothing may be said of the history.
    #[error(transparent)]
    Note(NoteError),
    /// The history is broken.
    #[error(transparent)]
    History(#[from] MalformedHistory),
    /// The end refused.
    #[error(transparent)]
    Content(#[from] content::Error),
}

impl AcceptError {
    /// Whether whoever made the entry may not add to the history.
    #[must_use]
    pub fn unauthorized(&self) -> Option<&Unauthorized> {
        match self {
            Self::Refused(MalformedHistory::Unauthorized { source, .. }) => Some(source),
            _ => None,
        }
    }
}

/// Adds an entry that somebody else made and perhaps signed, and makes its tag what it says. What may be done is what
/// the operations of this crate may do; nothing is deleted but what anybody may delete who may push.
///
/// An entry that was added before is no error, and changes nothing: who did not hear of it asks again.
///
/// # Errors
/// [`AcceptError`]; nothing has changed then.
pub fn accept(
    journal: &(impl Journal + ?Sized),
    recent: Option<Recent<'_>>,
    bytes: &[u8],
) -> Result<(EntryId, Outcome), AcceptError> {
    let written = Written::parse(bytes)?;
    let mut change = Change::begin::<AcceptError>(journal, recent)?;
    let result = accept_in(&mut change, written, bytes);
    // What was refused has left the history as it was.
    if !matches!(&result, Err(AcceptError::Content(_))) {
        change.remember();
    }
    result
}

fn accept_in(
    change: &mut Change<'_>,
    written: Written,
    bytes: &[u8],
) -> Result<(EntryId, Outcome), AcceptError> {
    let (id, height) = (written.id.clone(), change.history.height());
    let authority = match change.history.follows(&written, Signatures::Verify) {
        Ok(authority) => authority,
        Err(MalformedHistory::Chain { .. }) => {
            return match was_added(change, &written)? {
                true => Ok((id, Outcome::Unchanged)),
                false => Err(AcceptError::Overtaken { height }),
            };
        }
        Err(refused) => return Err(AcceptError::Refused(refused)),
    };
    permit(change, &written)?;
    let name = written.entry.version().clone();
    let operation = written.entry.operation();
    if let Operation::Publish(publish) = operation {
        admit(change, &publish.manifest)?;
    }
    let is_note = matches!(operation, Operation::Keys(_) | Operation::Checkpoint(_));
    let manifest = change::after(operation).cloned();
    change.transaction.append(height + 1, bytes)?;
    change.history.enter(written, authority);
    if !is_note {
        change.set(&name, manifest.as_ref())?;
    }
    Ok((id, Outcome::Published))
}

/// Whether the entry is one of the newest that the history has.
fn was_added(change: &Change<'_>, written: &Written) -> Result<bool, AcceptError> {
    let (height, newest) = (written.entry.height(), change.history.height());
    if height == 0 || height > newest || newest - height >= REMEMBERED {
        return Ok(false);
    }
    let entries = change.transaction.entries(height)?;
    Ok(entries
        .first()
        .is_some_and(|bytes| Written::id_of(bytes) == written.id))
}

/// The rules of the operations, for an entry that was made elsewhere.
fn permit(change: &Change<'_>, written: &Written) -> Result<(), AcceptError> {
    let name = written.entry.version();
    let says = |manifest: Option<Descriptor>, said: &Descriptor| match manifest {
        None => Err(AcceptError::Redundant),
        Some(manifest) if manifest == *said => Ok(()),
        Some(_) => Err(AcceptError::Mistaken(name.clone())),
    };
    let is_note = matches!(
        written.entry.operation(),
        Operation::Keys(_) | Operation::Checkpoint(_)
    );
    if name.is_reserved() && !is_note {
        return Err(AcceptError::Reserved(name.clone()));
    }
    match written.entry.operation() {
        Operation::Publish(publish) => {
            match publish::permit(change, name, publish).map_err(AcceptError::Publish)? {
                None => Ok(()),
                Some(_) => Err(AcceptError::Redundant),
            }
        }
        Operation::Delete(delete) => {
            let permitted = delete::permit(change, name, Force::No).map_err(AcceptError::Delete)?;
            match permitted == *delete {
                true => Ok(()),
                false => Err(AcceptError::Mistaken(name.clone())),
            }
        }
        Operation::Alias(alias) => {
            let manifest = alias::permit(change, name, &alias.version).map_err(AcceptError::Alias)?;
            says(manifest, &alias.manifest)
        }
        Operation::Yank(yank) => {
            let manifest = yank::permit(change, name, &yank.reason).map_err(AcceptError::Yank)?;
            says(manifest, &yank.manifest)
        }
        Operation::Restore(restore) => {
            let manifest = yank::permit_restore(change, name).map_err(AcceptError::Yank)?;
            says(manifest, &restore.manifest)
        }
        Operation::Keys(_) => {
            let listed = written.entry.keys().unwrap_or_default();
            match rekey::changes(change, listed) {
                true => Ok(()),
                false => Err(AcceptError::Redundant),
            }
        }
        Operation::Checkpoint(_) => rekey::permit_checkpoint(change).map_err(AcceptError::Note),
    }
}

/// Makes sure that the manifest is one of the repository as it is described, with all that it needs.
fn admit(change: &mut Change<'_>, manifest: &Descriptor) -> Result<(), AcceptError> {
    let found = change.transaction.manifest(&manifest.digest)?;
    let is_here =
        found.is_some_and(|found| found.size == manifest.size && found.media_type == manifest.media_type);
    if !is_here {
        return Err(AcceptError::NoManifest(manifest.digest.clone()));
    }
    match change.transaction.admit(manifest) {
        Err(content::Error::NotFound { what, .. }) => Err(AcceptError::Needs(what)),
        admitted => Ok(admitted?),
    }
}
