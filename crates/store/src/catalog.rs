//! Listing repositories by the page.

use std::path::Path;

use modelkeep_core::{RepoName, content::Result};

use crate::records;

/// Adds to `found` the repositories below `root` whose names come after `last`, until there are `most`.
pub(crate) fn walk(root: &Path, last: &str, most: usize, found: &mut Vec<RepoName>) -> Result<()> {
    walk_below(root, "", last, most, found)
}

/// Goes through the directory of the names that begin with `prefix`, which is empty or ends with a slash. Names have
/// at most 255 characters, so it goes no deeper than that.
fn walk_below(root: &Path, prefix: &str, last: &str, most: usize, found: &mut Vec<RepoName>) -> Result<()> {
    // `a-b` comes after `a` and before `a/b`: each part stands in the order twice, as a name and as what others
    // begin with.
    let mut steps = Vec::new();
    for part in records::list(&root.join(prefix))? {
        if part.starts_with('_') {
            continue;
        }
        let name = format!("{prefix}{part}");
        if name.parse::<RepoName>().is_err() {
            return Err(records::foreign(root.join(name)));
        }
        steps.push(format!("{name}/"));
        steps.push(name);
    }
    steps.sort_unstable();
    for step in steps {
        if found.len() == most {
            return Ok(());
        }
        if step.ends_with('/') {
            if step.as_str() > last || last.starts_with(&step) {
                walk_below(root, &step, last, most, found)?;
            }
        } else if step.as_str() > last && records::size(&root.join(&step).join("_repository"))?.is_some() {
            found.extend(step.parse::<RepoName>());
        }
    }
    Ok(())
}
