use modelkeep_core::{
    Descriptor, Digest, Tag,
    content::{self, Journal},
};

use crate::{
    Entry, EntryId, History, MalformedHistory, Operation, Proposed, Publish, Seal, Signatures, Unauthorized,
    Verdict, Written,
    change::{self, Change, in_turn},
    signing::KeyId,
};

/// Who changes a repository, and when.
#[derive(Clone, Debug)]
pub struct Who {
    /// When, RFC 3339.
    pub time: String,
    /// By whom.
    pub author: String,
    /// The key that signs the entries; without one they are not signed.
    pub seal: Option<Seal>,
}

/// A version that somebody wants to publish. Its manifest and all that it needs are stored.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The version.
    pub version: Tag,
    /// Who publishes it, and when.
    pub who: Who,
    /// What becomes manifests of the repository before it: the manifests of an index, and what refers to the version.
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
    /// Digest of the image that the model lies on, where it lies on one.
    pub base: Option<Digest>,
}

impl Standing {
    /// A manifest of which nothing else is known.
    #[must_use]
    pub fn of(manifest: Descriptor) -> Self {
        Self {
            manifest,
            root: None,
            base: None,
        }
    }

    /// What it is to the rule of publishing.
    #[must_use]
    pub fn proposed(&self) -> Proposed<'_> {
        Proposed {
            manifest: &self.manifest.digest,
            root: self.root.as_ref(),
            base: self.base.as_ref(),
        }
    }
}

impl From<&Publish> for Standing {
    fn from(publish: &Publish) -> Self {
        Self {
            manifest: publish.manifest.clone(),
            root: publish.root.clone(),
            base: publish.base.as_ref().map(|base| base.digest.clone()),
        }
    }
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
    /// The version was deleted, and its name is kept for what it was.
    #[error("version {version} was deleted, and its name is kept for {kept}: {refused} was to be published")]
    Kept {
        /// The version.
        version: Tag,
        /// Digest of the manifest that it was, and may become again.
        kept: Digest,
        /// Digest of the manifest that was refused.
        refused: Digest,
        /// A version that is free.
        next_free: Option<Tag>,
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

change::overtaken!(PublishError);

/// Reads the history that `journal` keeps, and verifies it but for signatures that were verified before.
///
/// # Errors
/// What the end says, or what is broken.
pub fn read(journal: &(impl Journal + ?Sized)) -> Result<History, PublishError> {
    change::history(journal)
}

/// An entry, and who signed it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its identity.
    pub id: EntryId,
    /// What it says.
    pub entry: Entry,
    /// The key that signed it; `None` where it is not signed.
    pub signer: Option<KeyId>,
}

/// Reads the history that `journal` keeps, as [`read`] does, and gives its entries too, oldest first.
///
/// # Errors
/// What the end says, or what is broken.
pub fn entries(journal: &(impl Journal + ?Sized)) -> Result<(History, Vec<Logged>), PublishError> {
    let verified = journal.verified();
    let mut history = History::default();
    let mut logged = Vec::new();
    for bytes in journal.entries(1)? {
        let height = history.height() + 1;
        let signatures = match height <= verified {
            true => Signatures::Trust,
            false => Signatures::Verify,
        };
        history.extend(std::slice::from_ref(&bytes), signatures)?;
        let written = Written::parse(&bytes).map_err(|source| MalformedHistory::Entry { height, source })?;
        logged.push(Logged {
            id: written.id,
            entry: written.entry,
            signer: history.signer().cloned(),
        });
    }
    Ok((history, logged))
}

/// Publishes a version, exactly once among any number of processes, and gives what stands then.
///
/// The entry in the history decides: with it the version exists, and the tag that follows is a convenience for
/// clients that know no histories. Whoever publishes next finishes what a publisher that died in between left.
///
/// # Errors
/// [`PublishError::Taken`] when the version exists with other content and may not move, [`PublishError::Kept`] when
/// it did. Nothing has changed then.
pub fn publish(journal: &(impl Journal + ?Sized), draft: Draft) -> Result<(Outcome, Standing), PublishError> {
    in_turn(|| publish_now(journal, draft.clone()))
}

fn publish_now(journal: &(impl Journal + ?Sized), draft: Draft) -> Result<(Outcome, Standing), PublishError> {
    let mut change = Change::begin::<PublishError>(journal, None)?;
    let Draft {
        version,
        who,
        children,
        publish,
    } = draft;
    if let Some(standing) = permit(&change, &version, &publish)? {
        return Ok((Outcome::Unchanged, standing));
    }
    for manifest in children.iter().chain([&publish.manifest]) {
        change.transaction.admit(manifest)?;
    }
    let standing = Standing::from(&publish);
    change.perform::<PublishError>(&version, &who, Operation::Publish(publish))?;
    Ok((Outcome::Published, standing))
}

/// What stands already where `version` is to become this; `None` where it may become it.
pub(crate) fn permit(
    change: &Change<'_>,
    version: &Tag,
    publish: &Publish,
) -> Result<Option<Standing>, PublishError> {
    let standing = change.standing(version)?;
    let verdict = change.judge(version, standing.as_ref(), publish.proposed());
    let (version, refused) = (version.clone(), publish.manifest.digest.clone());
    match (verdict, standing) {
        (Verdict::Taken, Some(standing)) => Err(PublishError::Taken {
            standing: standing.manifest.digest,
            refused,
            next_free: change.history.next_free(&version),
            version,
        }),
        (Verdict::Taken, None) => {
            let kept = change.history.kept(&version);
            Err(PublishError::Kept {
                kept: kept.expect("what is taken is taken by something").digest.clone(),
                refused,
                next_free: change.history.next_free(&version),
                version,
            })
        }
        (Verdict::Same, Some(standing)) => Ok(Some(standing)),
        _ => Ok(None),
    }
}
