use modelkeep_core::{
    Descriptor, Tag,
    content::{self, Journal},
};

use crate::{PublishError, change::Change};

/// Makes the tags of a repository what its history says, those of them that are `asked` for, and gives those which
/// could not be, and why.
///
/// # Errors
/// What is broken of the history, and what the end says of its tags.
pub fn heal(
    journal: &(impl Journal + ?Sized),
    asked: &dyn Fn(&Tag) -> bool,
) -> Result<Vec<(Tag, content::Error)>, PublishError> {
    let mut change = Change::begin::<PublishError>(journal, None)?;
    let names = change.history.names().filter(|(tag, _)| asked(tag));
    let mut names: Vec<(Tag, Option<Descriptor>)> = names
        .map(|(tag, manifest)| (tag.clone(), manifest.cloned()))
        .collect();
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut left = Vec::new();
    for (tag, expected) in names {
        let found = change.transaction.resolve(&tag)?;
        let put_right = match (&expected, found) {
            (Some(manifest), Some(found)) if found.digest == manifest.digest => Ok(()),
            (Some(manifest), _) => change.transaction.set_tag(&tag, manifest),
            (None, Some(_)) => change.transaction.remove_tag(&tag),
            (None, None) => Ok(()),
        };
        if let Err(error) = put_right {
            left.push((tag, error));
        }
    }
    Ok(left)
}
