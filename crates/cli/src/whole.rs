//! A version whose layers have to be read whole, in a directory that goes away.

use std::fs;

use modelkeep_core::Contents;
use modelkeep_package::scan::{FileMode, ModelFile, Stamp};
use tempfile::TempDir;

use crate::{error::Failure, held::Held, holding::Holding};

/// The files of a version, written out to be looked at. They are removed when this is dropped.
pub(crate) struct Whole {
    /// Its files, in the order of the list.
    pub(crate) files: Vec<ModelFile>,
    pub(crate) contents: Contents,
    _directory: TempDir,
}

impl Whole {
    /// Reads all of the version, in the directory of temporary files (`TMPDIR`).
    pub(crate) fn read(held: &Held, holding: &Holding, quiet: bool) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new().prefix("modelkeep-").tempdir();
        let directory = directory.map_err(Failure::failed)?;
        let to = directory.path().join("model");
        let contents = holding.read(held, &to, quiet)?;
        let file = |entry: &modelkeep_core::FileEntry| {
            let location = to.join(entry.path.as_str());
            Ok(ModelFile {
                path: entry.path.clone(),
                stamp: Stamp::of(&fs::symlink_metadata(&location)?),
                location,
                mode: FileMode::Plain,
            })
        };
        let files: std::io::Result<Vec<ModelFile>> = contents.files().iter().map(file).collect();
        Ok(Self {
            files: files.map_err(Failure::failed)?,
            contents,
            _directory: directory,
        })
    }
}
