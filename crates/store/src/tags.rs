//! The tags of a repository on the disk.

use std::sync::Arc;

use modelkeep_core::{Descriptor, Tag, content::Result};

use crate::{
    kept::Memory,
    keys::{self, RepositoryKeys},
    records,
};

/// What a tag names, as its file says now.
pub(crate) fn resolve(memory: &Memory, keys: &RepositoryKeys, tag: &Tag) -> Result<Option<Arc<Descriptor>>> {
    let path = keys.tag(tag);
    memory.tags.get(&path, || {
        let found = records::read::<Descriptor>(&path)?;
        Ok(found.map(|manifest| (Arc::new(manifest), 1)))
    })
}

/// Reads all tags of a repository from the disk.
pub(crate) fn read(keys: &RepositoryKeys) -> Result<Vec<Tag>> {
    let mut tags = records::list(&keys.tags())?
        .iter()
        .map(|name| keys::parse_tag(name).ok_or_else(|| records::foreign(keys.tags().join(name))))
        .collect::<Result<Vec<_>>>()?;
    tags.sort_unstable();
    Ok(tags)
}
