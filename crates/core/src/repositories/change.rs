use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{Catalog, Description};
use crate::Mutability;

/// One change of a repository, decided and not yet made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes it, with all that is said of it. A registry that takes the policy in a step of its own takes it second:
    /// if that fails the repository is there without one, which the next look at it shows.
    Create(Description),
    /// Lets other tags move than before.
    SetMutability(Mutability),
    /// Makes the catalog data what is given; all of it, so that what is empty is removed. No logo leaves the one that
    /// is there, because a registry that shows it by its address alone could not be given it back.
    PutCatalog(Catalog),
    /// Adds or changes resource tags.
    Tag(BTreeMap<String, String>),
    /// Removes the resource tags of these keys.
    Untag(BTreeSet<String>),
    /// Makes the repository policy this JSON text.
    SetPolicy(String),
    /// Removes the repository policy.
    DeletePolicy,
    /// Removes the repository.
    Delete(Deletion),
}

/// What becomes of the images of a repository that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// There must be none.
    OnlyEmpty,
    /// They are deleted: the owner's explicit act (`force` in AWS's API).
    WithImages,
}

impl fmt::Display for Change {
    /// What is done, without the texts that may fill a page.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(description) => write!(f, "create with {}", Described(&description.mutability)),
            Self::SetMutability(mutability) => {
                write!(f, "set image_tag_mutability to {}", Described(mutability))
            }
            Self::PutCatalog(_) => f.write_str("put catalog data"),
            Self::Tag(tags) => write!(f, "add resource tags {}", joined(tags.keys())),
            Self::Untag(keys) => write!(f, "remove resource tags {}", joined(keys.iter())),
            Self::SetPolicy(_) => f.write_str("set the repository policy"),
            Self::DeletePolicy => f.write_str("remove the repository policy"),
            Self::Delete(Deletion::OnlyEmpty) => f.write_str("delete, if it is empty"),
            Self::Delete(Deletion::WithImages) => f.write_str("delete with all images"),
        }
    }
}

/// A policy of tags on one line.
struct Described<'a>(&'a Mutability);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())?;
        match self.0.filters() {
            [] => Ok(()),
            filters => write!(f, " ({})", joined(filters.iter())),
        }
    }
}

fn joined(words: impl Iterator<Item = impl fmt::Display>) -> String {
    let words: Vec<String> = words.map(|word| word.to_string()).collect();
    words.join(", ")
}
