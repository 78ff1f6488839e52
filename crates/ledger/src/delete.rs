use modelkeep_core::{
    Digest, Tag,
    content::{self, Journal},
    name::Target,
};

use crate::{Delete, MalformedHistory, NameAfter, Operation, Recent, Who, change::Change};

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
    /// The history is broken.
    #[error(transparent)]
    History(#[from] MalformedHistory),
    /// The end refused.
    #[error(transparent)]
    Content(#[from] content::Error),
}

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
        let standing = change.standing(&tag)?;
        let standing = standing.ok_or_else(|| DeleteError::NotFound(tag.to_string()))?;
        let name = match (change.transaction.mutability().holds(&tag), force) {
            (true, Force::No) => return Err(DeleteError::Tag(tag)),
            (true, Force::OwnersAct) => NameAfter::Kept,
            (false, _) => NameAfter::Free,
        };
        let manifest = standing.manifest;
        deletes.push((tag, Delete { manifest, name }));
    }
    if let Target::Digest(digest) = what
        && let Some(index) = change.transaction.listed_by(digest)?
    {
        return Err(DeleteError::Index(index));
    }
    let mut gone = Vec::new();
    for (tag, delete) in deletes {
        change.perform(&tag, who.clone(), Operation::Delete(delete))?;
        gone.push(tag);
    }
    if let Target::Digest(digest) = what {
        change.transaction.withdraw(digest)?;
    }
    change.remember();
    Ok(gone)
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
