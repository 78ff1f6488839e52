use modelkeep_core::{
    Descriptor, Tag,
    content::{self, Journal},
};

use crate::{
    Alias, MalformedHistory, Operation, Outcome, Unauthorized, Who,
    change::{self, Change, in_turn},
};

/// Why an alias was not moved.
#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    /// The policy of the repository holds the name.
    #[error("{0} is no alias: the repository's policy lets no tag of that name move")]
    Held(Tag),
    /// The name belongs to a protocol.
    #[error("{0} is a name of the protocol, and no alias")]
    Reserved(Tag),
    /// There is no such version.
    #[error("there is no version {0}")]
    NoVersion(Tag),
    /// The version should not be taken into use.
    #[error("version {version} was yanked: {reason}")]
    Yanked {
        /// The version.
        version: Tag,
        /// Why it was yanked.
        reason: String,
    },
    /// The name does not point anywhere, or never pointed anywhere else.
    #[error("{0} has not pointed at another version before")]
    NoEarlier(Tag),
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

change::overtaken!(AliasError);

/// Points `name` at `version`, with an entry in the history, and gives what came of it.
///
/// # Errors
/// [`AliasError`]; nothing has changed then.
pub fn promote(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    name: &Tag,
    version: &Tag,
    message: Option<String>,
) -> Result<Outcome, AliasError> {
    in_turn(|| {
        let change = Change::begin::<AliasError>(journal, None)?;
        point(change, who, name, version, message.clone())
    })
}

/// Points `name` at the version that it pointed at before, and gives that version.
///
/// # Errors
/// [`AliasError`]; nothing has changed then.
pub fn rollback(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    name: &Tag,
    message: Option<String>,
) -> Result<Tag, AliasError> {
    in_turn(|| {
        let change = Change::begin::<AliasError>(journal, None)?;
        let earlier = || {
            let now = &change.history.alias(name)?.alias.version;
            let moves = change.history.moves().iter().rev();
            let mut versions = moves
                .filter(|moved| moved.name == *name)
                .map(|moved| &moved.alias.version);
            versions.find(|version| *version != now).cloned()
        };
        let version = earlier().ok_or_else(|| AliasError::NoEarlier(name.clone()))?;
        point(change, who, name, &version, message.clone())?;
        Ok(version)
    })
}

fn point(
    mut change: Change<'_>,
    who: &Who,
    name: &Tag,
    version: &Tag,
    message: Option<String>,
) -> Result<Outcome, AliasError> {
    let Some(manifest) = permit(&change, name, version)? else {
        return Ok(Outcome::Unchanged);
    };
    let alias = Alias {
        manifest,
        version: version.clone(),
        message,
    };
    change.perform::<AliasError>(name, who, Operation::Alias(alias))?;
    Ok(Outcome::Published)
}

/// The manifest that `name` gets by pointing at `version`; `None` where it points there.
pub(crate) fn permit(
    change: &Change<'_>,
    name: &Tag,
    version: &Tag,
) -> Result<Option<Descriptor>, AliasError> {
    if name.is_reserved() {
        return Err(AliasError::Reserved(name.clone()));
    }
    if change.transaction.mutability().holds(name) {
        return Err(AliasError::Held(name.clone()));
    }
    let publication = change
        .history
        .version(version)
        .ok_or_else(|| AliasError::NoVersion(version.clone()))?;
    if let Some(yanked) = change.history.yanked(version) {
        return Err(AliasError::Yanked {
            version: version.clone(),
            reason: yanked.reason.clone(),
        });
    }
    let manifest = publication.manifest();
    let now = change.history.alias(name).map(|now| &now.alias);
    let stands = now.is_some_and(|now| now.version == *version && now.manifest == *manifest);
    Ok((!stands).then(|| manifest.clone()))
}
