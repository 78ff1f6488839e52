use std::fmt;

use modelkeep_core::{
    Digest, Tag,
    content::{self, Journal},
};

use crate::{
    MalformedHistory, Operation, Outcome, Proposed, Publish, Recent, Unauthorized, Verdict, Who,
    change::{self, Change, in_turn},
};

/// A tag that stays what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The tag.
    pub tag: Tag,
    /// The manifest that it names, or that its name is kept for.
    pub stays: Digest,
    /// A version to propose instead, which nothing ever had.
    pub next_free: Option<Tag>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag {} is immutable: it stays {}", self.tag, self.stays)
    }
}

/// Why a manifest was not tagged.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// Some of the tags may not move.
    #[error("{}", list(.0))]
    Refused(Vec<Refused>),
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

change::overtaken!(TagError);

fn list(refused: &[Refused]) -> String {
    let texts: Vec<String> = refused.iter().map(Refused::to_string).collect();
    texts.join("; ")
}

/// Admits a manifest whose bytes are stored, and points all of `tags` at it, or none: what a registry does with a
/// manifest that is pushed. With no tags it is admitted only. Gives the tags, each once, and what came of them.
///
/// A tag that is a version gets its entry in the history; names of the protocol ([`Tag::is_reserved`]) are set
/// without. Unlike [`publish()`](crate::publish()), the same content in another manifest is other content: who pushes
/// a manifest wants that one.
///
/// # Errors
/// [`TagError::Refused`] with every tag that the policy holds and that names another manifest,
/// [`TagError::Unauthorized`], and the errors of [`Transaction::admit`](content::Transaction::admit). Nothing has changed then.
pub fn tag(
    journal: &(impl Journal + ?Sized),
    recent: Option<Recent<'_>>,
    who: &Who,
    tags: &[Tag],
    publish: &Publish,
) -> Result<Vec<(Tag, Outcome)>, TagError> {
    in_turn(|| tag_now(journal, recent, who, tags, publish))
}

fn tag_now(
    journal: &(impl Journal + ?Sized),
    recent: Option<Recent<'_>>,
    who: &Who,
    tags: &[Tag],
    publish: &Publish,
) -> Result<Vec<(Tag, Outcome)>, TagError> {
    let mut change = Change::begin::<TagError>(journal, recent)?;
    let manifest = &publish.manifest;
    let mut outcomes: Vec<(Tag, Outcome)> = Vec::new();
    let mut refused = Vec::new();
    for tag in tags {
        if outcomes.iter().any(|(seen, _)| seen == tag) {
            continue;
        }
        let standing = change.standing(tag)?;
        let proposed = Proposed {
            manifest: &manifest.digest,
            root: None,
            base: None,
        };
        match change.judge(tag, standing.as_ref(), proposed) {
            Verdict::New | Verdict::Moves => outcomes.push((tag.clone(), Outcome::Published)),
            Verdict::Same => outcomes.push((tag.clone(), Outcome::Unchanged)),
            Verdict::Taken => refused.push(Refused {
                stays: standing
                    .map(|standing| standing.manifest)
                    .or_else(|| change.history.kept(tag).cloned())
                    .expect("what is taken is taken by something")
                    .digest,
                next_free: change.history.next_free(tag),
                tag: tag.clone(),
            }),
        }
    }
    if !refused.is_empty() {
        change.remember();
        return Err(TagError::Refused(refused));
    }
    let changed = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == Outcome::Published);
    if let Err(error) = change.authorize(who, changed.map(|(tag, _)| tag)) {
        change.remember();
        return Err(error.into());
    }
    change.transaction.admit(manifest)?;
    for (tag, outcome) in &outcomes {
        match outcome {
            Outcome::Published => {
                change.perform::<TagError>(tag, who, Operation::Publish(publish.clone()))?;
            }
            // The history says so; the tag may have been lost.
            Outcome::Unchanged if change.transaction.resolve(tag)?.is_none() => {
                change.transaction.set_tag(tag, manifest)?;
            }
            Outcome::Unchanged => {}
        }
    }
    change.remember();
    Ok(outcomes)
}
