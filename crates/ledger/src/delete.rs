use std::collections::BTreeSet;

use modelkeep_core::{
    Descriptor, Digest, Tag,
    content::{self, Journal},
    media,
    name::Target,
};

use crate::{
    Delete, MalformedHistory, NameAfter, Operation, Recent, Unauthorized, Who,
    change::{self, Change, in_turn},
};

/// By what right something is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// As anybody who may push: what the policy holds stays.
    No,
    /// By an explicit act of the owner: what the policy holds goes too, and its name is kept for it.
    OwnersAct,
}

/// Why something was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// It is not here.
    #[error("{0} is not in the repository")]
    NotFound(String),
    /// The policy of the repository holds the tag, or a tag of the manifest.
    #[error("tag {0} is immutable: what it names stays")]
    Tag(Tag),
    /// An index of the repository lists the manifest.
    #[error("the manifest is listed by the index {0}")]
    Index(Digest),
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

change::overtaken!(DeleteError);

/// Deletes a tag, or a manifest with all tags that point at it, and gives the tags that are gone.
///
/// Each tag has its entry in the history before it goes. A name that the policy of the repository holds is kept
/// for the manifest that it had; any other is free.
///
/// # Errors
/// [`DeleteError::Tag`] and [`DeleteError::Index`] when something must stay, [`DeleteError::NotFound`]; nothing has
/// changed then. An index is not deleted from under, whatever the force.
pub fn delete(
    journal: &(impl Journal + ?Sized),
    recent: Option<Recent<'_>>,
    who: &Who,
    what: &Target,
    force: Force,
) -> Result<Vec<Tag>, DeleteError> {
    in_turn(|| delete_now(journal, recent, who, what, force))
}

fn delete_now(
    journal: &(impl Journal + ?Sized),
    recent: Option<Recent<'_>>,
    who: &Who,
    what: &Target,
    force: Force,
) -> Result<Vec<Tag>, DeleteError> {
    let mut change = Change::begin::<DeleteError>(journal, recent)?;
    let tags = match what {
        Target::Tag(tag) => vec![tag.clone()],
        Target::Digest(digest) => {
            if change.transaction.manifest(digest)?.is_none() {
                return Err(DeleteError::NotFound(digest.to_string()));
            }
            tags_of(&change, digest)?
        }
    };
    let mut deletes = Vec::new();
    for tag in tags {
        let delete = permit(&change, &tag, force)?;
        deletes.push((tag, delete));
    }
    if let Target::Digest(digest) = what
        && let Some(index) = change.transaction.listed_by(digest)?
    {
        return Err(DeleteError::Index(index));
    }
    change.authorize(who, deletes.iter().map(|(tag, _)| tag))?;
    let mut gone = Vec::new();
    for (tag, delete) in deletes {
        change.perform::<DeleteError>(&tag, who, Operation::Delete(delete))?;
        gone.push(tag);
    }
    if let Target::Digest(digest) = what {
        change.transaction.withdraw(digest)?;
    }
    change.remember();
    Ok(gone)
}

/// Deletes a tag, and its manifest with it when no other tag points there: what `BatchDeleteImage` of ECR does with an
/// image that is named by tag. Gives the manifest.
///
/// # Errors
/// As [`delete`]; [`DeleteError::NotFound`] also when the tag names another manifest than `expected`.
pub fn untag(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    tag: &Tag,
    expected: Option<&Digest>,
    force: Force,
) -> Result<Descriptor, DeleteError> {
    in_turn(|| untag_now(journal, who, tag, expected, force))
}

fn untag_now(
    journal: &(impl Journal + ?Sized),
    who: &Who,
    tag: &Tag,
    expected: Option<&Digest>,
    force: Force,
) -> Result<Descriptor, DeleteError> {
    let mut change = Change::begin::<DeleteError>(journal, None)?;
    if let Some(expected) = expected
        && change
            .standing(tag)?
            .is_none_or(|standing| standing.manifest.digest != *expected)
    {
        return Err(DeleteError::NotFound(tag.to_string()));
    }
    let delete = permit(&change, tag, force)?;
    let manifest = delete.manifest.clone();
    let is_last = tags_of(&change, &manifest.digest)?
        .iter()
        .all(|other| other == tag);
    if is_last && let Some(index) = change.transaction.listed_by(&manifest.digest)? {
        return Err(DeleteError::Index(index));
    }
    change.perform::<DeleteError>(tag, who, Operation::Delete(delete))?;
    if is_last {
        change.transaction.withdraw(&manifest.digest)?;
    }
    Ok(manifest)
}

/// What the deletion of a tag by this right is.
pub(crate) fn permit(change: &Change<'_>, tag: &Tag, force: Force) -> Result<Delete, DeleteError> {
    let standing = change.standing(tag)?;
    let standing = standing.ok_or_else(|| DeleteError::NotFound(tag.to_string()))?;
    let name = match (change.transaction.mutability().holds(tag), force) {
        (true, Force::No) => return Err(DeleteError::Tag(tag.clone())),
        (true, Force::OwnersAct) => NameAfter::Kept,
        (false, _) => NameAfter::Free,
    };
    Ok(Delete {
        manifest: standing.manifest,
        name,
    })
}

/// Deletes every tag and every manifest of a repository, by the explicit act of its owner, and gives the tags that are
/// gone. It is what comes before the repository itself is deleted.
///
/// As with [`Force::OwnersAct`], each tag has its entry in the history first, and a name that the policy of the
/// repository holds is kept for the manifest that it had: it can be given back to that, and to nothing else as long as
/// the policy holds it. The history outlives the repository; one of the same name goes on with it.
///
/// A process that dies in between leaves some of it; doing it again does the rest.
///
/// # Errors
/// [`DeleteError::History`], [`DeleteError::Content`].
pub fn clear(journal: &(impl Journal + ?Sized), who: &Who) -> Result<Vec<Tag>, DeleteError> {
    in_turn(|| clear_now(journal, who))
}

fn clear_now(journal: &(impl Journal + ?Sized), who: &Who) -> Result<Vec<Tag>, DeleteError> {
    let mut change = Change::begin::<DeleteError>(journal, None)?;
    let versions = change.history.newest_first().into_iter();
    let mut tags: BTreeSet<Tag> = versions.map(|publication| publication.version.clone()).collect();
    tags.extend(change.transaction.tags()?);
    change.authorize(who, &tags)?;
    for tag in &tags {
        let Some(standing) = change.standing(tag)? else {
            continue;
        };
        let manifest = standing.manifest;
        let name = if change.transaction.mutability().holds(tag) {
            NameAfter::Kept
        } else {
            NameAfter::Free
        };
        change.perform::<DeleteError>(tag, who, Operation::Delete(Delete { manifest, name }))?;
    }
    let manifests = change.transaction.manifests()?.into_iter();
    let (mut indexes, rest): (Vec<_>, Vec<_>) =
        manifests.partition(|manifest| media::is_index(&manifest.media_type));
    // An index before what it lists, for as long as that can be read: damage keeps nothing here.
    while !indexes.is_empty() {
        let listed = |index: &Descriptor| matches!(change.transaction.listed_by(&index.digest), Ok(Some(_)));
        let (mut later, mut now): (Vec<_>, Vec<_>) = indexes.into_iter().partition(listed);
        if now.is_empty() {
            std::mem::swap(&mut later, &mut now);
        }
        for index in now {
            change.transaction.withdraw(&index.digest)?;
        }
        indexes = later;
    }
    for manifest in rest {
        change.transaction.withdraw(&manifest.digest)?;
    }
    Ok(tags.into_iter().collect())
}

/// Every tag that points at the manifest, by the history or by itself.
fn tags_of(change: &Change<'_>, manifest: &Digest) -> content::Result<Vec<Tag>> {
    let versions = change.history.newest_first().into_iter();
    let mut tags: Vec<Tag> = versions
        .filter(|publication| publication.manifest().digest == *manifest)
        .map(|publication| publication.version.clone())
        .collect();
    for tag in change.transaction.tags()? {
        if change.history.version(&tag).is_some() {
            continue;
        }
        let found = change.transaction.resolve(&tag)?;
        if found.is_some_and(|found| found.digest == *manifest) {
            tags.push(tag);
        }
    }
    Ok(tags)
}
