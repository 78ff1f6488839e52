use modelkeep_core::{
    Descriptor, Tag,
    content::{self, Journal},
};

use crate::{
    MalformedHistory, Operation, Outcome, Restore, Unauthorized, Who, Yank,
    change::{self, Change, in_turn},
};

/// Why nothing was said of a version.
#[derive(Debug, thiserror::Error)]
pub enum YankError {
    /// There is no such version.
    #[error("there is no version {0}")]
    NoVersion(Tag),
    /// An alias points at it: whoever follows the alias would go on taking it into use.
    #[error("{alias} points at version {version}")]
    Aliased {
        /// The version.
        version: Tag,
        /// The alias.
        alias: Tag,
    },
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

change::overtaken!(YankError);

/// Advises against a version. It stays what it is, and nothing that has it breaks; it is not to be taken into use anew.
///
/// # Errors
/// [`YankError`]; nothing has changed then.
pub fn yank(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    version: &Tag,
    reason: &str,
) -> Result<Outcome, YankError> {
    in_turn(|| yank_now(journal, who, version, reason))
}

fn yank_now(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    version: &Tag,
    reason: &str,
) -> Result<Outcome, YankError> {
    let mut change = Change::begin::<YankError>(journal, None)?;
    let Some(manifest) = permit(&change, version, reason)? else {
        return Ok(Outcome::Unchanged);
    };
    let yank = Yank {
        manifest,
        reason: reason.to_owned(),
    };
    change.perform::<YankError>(version, who, Operation::Yank(yank))?;
    Ok(Outcome::Published)
}

/// The manifest of a version that is to be advised against; `None` where it is for this reason.
pub(crate) fn permit(
    change: &Change<'_>,
    version: &Tag,
    reason: &str,
) -> Result<Option<Descriptor>, YankError> {
    let manifest = manifest(change, version)?;
    let aliases = change.history.aliases();
    if let Some(alias) = aliases.iter().find(|now| now.alias.version == *version) {
        return Err(YankError::Aliased {
            version: version.clone(),
            alias: alias.name.clone(),
        });
    }
    let yanked = change.history.yanked(version);
    let stands = yanked.is_some_and(|yanked| yanked.reason == reason);
    Ok((!stands).then_some(manifest))
}

/// Takes the advice against a version back.
///
/// # Errors
/// [`YankError`]; nothing has changed then.
pub fn restore(journal: &(impl Journal + ?Sized), who: &Who, version: &Tag) -> Result<Outcome, YankError> {
    in_turn(|| restore_now(journal, who, version))
}

fn restore_now(journal: &(impl Journal + ?Sized), who: &Who, version: &Tag) -> Result<Outcome, YankError> {
    let mut change = Change::begin::<YankError>(journal, None)?;
    let Some(manifest) = permit_restore(&change, version)? else {
        return Ok(Outcome::Unchanged);
    };
    change.perform::<YankError>(version, who, Operation::Restore(Restore { manifest }))?;
    Ok(Outcome::Published)
}

/// The manifest of a version that may be taken into use again; `None` where it may be already.
pub(crate) fn permit_restore(change: &Change<'_>, version: &Tag) -> Result<Option<Descriptor>, YankError> {
    let manifest = manifest(change, version)?;
    Ok(change.history.yanked(version).map(|_| manifest))
}

fn manifest(change: &Change<'_>, version: &Tag) -> Result<Descriptor, YankError> {
    let publication = change.history.version(version);
    let publication = publication.ok_or_else(|| YankError::NoVersion(version.clone()))?;
    Ok(publication.manifest().clone())
}
