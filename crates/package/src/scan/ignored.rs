use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{OWN_DIRECTORY, OWN_FILES, PARTIAL_PREFIX, ScanError};

/// The file in the root of a model directory that says what else is not part of the model.
pub(super) const IGNORE_FILE: &str = ".modelkeepignore";

/// What is left out of the model.
pub(super) struct Ignored {
    rules: Gitignore,
}

impl Ignored {
    /// Reads the ignore file of `root`, if there is one.
    pub(super) fn read(root: &Path) -> Result<Self, ScanError> {
        let path = root.join(IGNORE_FILE);
        let refused = |path: PathBuf| move |source| ScanError::Ignore { path, source };
        // Rules are matched against paths relative to the model.
        let mut builder = GitignoreBuilder::new("");
        if path.symlink_metadata().is_ok()
            && let Some(error) = builder.add(&path)
        {
            return Err(refused(path)(error));
        }
        let rules = builder.build().map_err(refused(path))?;
        Ok(Self { rules })
    }

    /// Whether what lies at `path`, relative to the root, is left out.
    pub(super) fn has(&self, path: &Path, is_directory: bool) -> bool {
        let Some(name) = path.file_name() else {
            return false;
        };
        let own = path == Path::new(OWN_DIRECTORY) || OWN_FILES.iter().any(|own| path == Path::new(own));
        let leftover = name.as_encoded_bytes().starts_with(PARTIAL_PREFIX.as_bytes());
        own || leftover || name == ".git" || self.rules.matched(path, is_directory).is_ignore()
    }
}
