use modelkeep_core::{
    Descriptor, Digest, Tag,
    content::{self, Journal, Transaction},
};

use crate::{History, MalformedHistory, Proposed, Publish, Verdict, judge};

/// A version that somebody wants to publish. Its manifest and all that it needs are stored.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The version.
    pub version: Tag,
    /// When, RFC 3339.
    pub time: String,
    /// By whom.
    pub author: String,
    /// The manifests of an index, which become manifests of the repository before it.
    pub children: Vec<Descriptor>,
    /// What it is.
    pub publish: Publish,
}

/// What came of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The version is new, or moved where it may.
    Published,
    /// The version stood with the same content: nothing was changed.
    Unchanged,
}

/// What stands under a name.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its content root, where it has one.
    pub root: Option<Digest>,
}

/// Why a version was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The version stands with other content.
    #[error(
        "version {version} exists with other content: it is {standing}, and {refused} was to be published"
    )]
    Taken {
        /// The version.
        version: Tag,
        /// Digest of the manifest that stands.
        standing: Digest,
        /// Digest of the manifest that was refused.
        refused: Digest,
        /// A version that is free.
        next_free: Option<Tag>,
    },
    /// The history is broken.
    #[error(transparent)]
    History(#[from] MalformedHistory),
    /// The end refused.
    #[error(transparent)]
    Content(#[from] content::Error),
}

/// Reads and verifies the history that `journal` keeps.
///
/// # Errors
/// What the end says, or what is broken.
pub fn read(journal: &(impl Journal + ?Sized)) -> Result<History, PublishError> {
    Ok(History::verify(&journal.entries(1)?)?)
}

/// Publishes a version, exactly once among any number of processes, and gives what stands then.
///
/// The entry in the history decides: with it the version exists, and the tag that follows is a convenience for
/// clients that know no histories. Whoever publishes next finishes what a publisher that died in between left.
///
/// # Errors
/// [`PublishError::Taken`] when the version exists with other content and may not move. Nothing has changed then.
pub fn publish(journal: &(impl Journal + ?Sized), draft: Draft) -> Result<(Outcome, Standing), PublishError> {
    let mut transaction = journal.begin()?;
    let mut history = read(&*transaction)?;
    finish_last(&mut *transaction, &history)?;

    let version = &draft.version;
    let manifest = draft.publish.manifest.clone();
    let standing = standing(&*transaction, &history, version)?;
    let verdict = judge(
        transaction.mutability(),
        version,
        standing.as_ref().map(|standing| Proposed {
            manifest: &standing.manifest.digest,
            root: standing.root.as_ref(),
        }),
        Proposed {
            manifest: &manifest.digest,
            root: draft.publish.root.as_ref(),
        },
    );
    match (verdict, standing) {
        (Verdict::Taken, Some(standing)) => {
            return Err(PublishError::Taken {
                version: version.clone(),
                standing: standing.manifest.digest,
                refused: manifest.digest,
                next_free: history.next_free(version),
            });
        }
        (Verdict::Same, Some(standing)) => return Ok((Outcome::Unchanged, standing)),
        _ => {}
    }
    for manifest in draft.children.iter().chain([&manifest]) {
        transaction.admit(manifest)?;
    }
    let root = draft.publish.root.clone();
    let entry = history.publish(version, draft.time, draft.author, draft.publish);
    transaction.append(history.height(), &entry)?;
    transaction.set_tag(version, &manifest)?;
    Ok((Outcome::Published, Standing { manifest, root }))
}

/// Points the tag of the newest entry where the entry says, if its publisher died before that.
fn finish_last(transaction: &mut dyn Transaction, history: &History) -> Result<(), PublishError> {
    if let Some(last) = history.last() {
        let tag = transaction.resolve(&last.version)?;
        if tag.is_none_or(|tag| tag.digest != last.manifest().digest) {
            transaction.set_tag(&last.version, last.manifest())?;
        }
    }
    Ok(())
}

/// What stands under `version`: what the history says, else what the tag says.
fn standing(
    transaction: &dyn Transaction,
    history: &History,
    version: &Tag,
) -> Result<Option<Standing>, PublishError> {
    if let Some(publication) = history.version(version) {
        return Ok(Some(Standing {
            manifest: publication.manifest().clone(),
            root: publication.publish.root.clone(),
        }));
    }
    let tag = transaction.resolve(version)?;
    Ok(tag.map(|manifest| Standing { manifest, root: None }))
}
