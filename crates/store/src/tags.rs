//! The tags of a repository on the disk.

use modelkeep_core::{Tag, content::Result};

use crate::{
    keys::{self, RepositoryKeys},
    records,
};

/// Reads all tags of a repository from the disk.
pub(crate) fn read(keys: &RepositoryKeys) -> Result<Vec<Tag>> {
    let mut tags = records::list(&keys.tags())?
        .iter()
        .map(|name| keys::parse_tag(name).ok_or_else(|| records::foreign(keys.tags().join(name))))
        .collect::<Result<Vec<_>>>()?;
    tags.sort_unstable();
    Ok(tags)
}
