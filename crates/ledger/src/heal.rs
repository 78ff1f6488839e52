use modelkeep_core::{
    Descriptor, Digest, Tag,
    content::{self, Journal},
};

use crate::{PublishError, change::Change};

/// A tag that is not what the history says.
#[derive(Clone, Debug, PartialEq)]
pub struct Astray {
    /// The tag.
    pub tag: Tag,
    /// What it points at; `None` where it is gone.
    pub found: Option<Digest>,
    /// What it should point at; `None` where it should not be.
    pub expected: Option<Descriptor>,
}

/// Makes the tags of a repository what its history says, and gives those that were not, each with what kept it from
/// being put right, if something did.
///
/// # Errors
/// What is broken of the history, and what the end says of its tags.
pub fn heal(
    journal: &(impl Journal + ?Sized),
) -> Result<Vec<(Astray, Option<content::Error>)>, PublishError> {
    let mut change = Change::begin::<PublishError>(journal, None)?;
    let mut names: Vec<(Tag, Option<Descriptor>)> = change
        .history
        .names()
        .map(|(tag, manifest)| (tag.clone(), manifest.cloned()))
        .collect();
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut healed = Vec::new();
    for (tag, expected) in names {
        let found = change.transaction.resolve(&tag)?.map(|found| found.digest);
        if found.as_ref() == expected.as_ref().map(|expected| &expected.digest) {
            continue;
        }
        let put_right = match &expected {
            Some(manifest) => change.transaction.set_tag(&tag, manifest),
            None => change.transaction.remove_tag(&tag),
        };
        let astray = Astray { tag, found, expected };
        healed.push((astray, put_right.err()));
    }
    Ok(healed)
}
