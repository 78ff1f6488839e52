use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use modelkeep_core::{
    Mutability,
    repositories::{Catalog, Enforcement, Logo},
};
use modelkeep_provision::{Declaration, Force};

use super::{Settings, file::CatalogTable};
use crate::error::SettingsError;

/// More than any file has that a declaration names. What is too large by less is refused with the registry's limit.
const LONGEST: u64 = 4 << 20;

/// The block `[repository]` of the file: what a registry is to know of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// The file that has the block; paths in it begin where it lies.
    pub(super) path: PathBuf,
    /// Which tags may move, but for the aliases.
    pub(super) mutability: Mutability,
    pub(super) catalog: CatalogTable,
    pub(super) resource_tags: BTreeMap<String, String>,
    pub(super) policy: Option<PathBuf>,
    pub(super) require_enforcement: Option<Enforcement>,
    pub(crate) protect: bool,
    pub(crate) force_delete: Force,
}

impl Settings {
    /// The block of the file that declares the repository.
    pub(crate) fn declared(&self) -> Result<&Declared, SettingsError> {
        self.declared.as_ref().ok_or_else(|| SettingsError::NotDeclared {
            directory: self.directory.clone(),
        })
    }

    /// What the file declares, with the files that it names.
    pub(crate) fn declaration(&self) -> Result<Declaration, SettingsError> {
        let declared = self.declared()?;
        let table = declared.catalog.clone();
        let policy = match &declared.policy {
            Some(path) => Some(declared.text("repository.policy", path)?),
            None => None,
        };
        let logo = match &table.logo {
            Some(path) => Some(Logo::Bytes(declared.read(path)?)),
            None => None,
        };
        Ok(Declaration {
            name: self.repository_name()?.clone(),
            mutability: declared.mutability.clone(),
            aliases: self.aliases.value.clone(),
            catalog: Catalog {
                description: table.description,
                about: table.about,
                usage: table.usage,
                architectures: table.architectures,
                operating_systems: table.operating_systems,
                logo,
            },
            resource_tags: declared.resource_tags.clone(),
            policy,
            require_enforcement: declared.require_enforcement,
        })
    }
}

impl Declared {
    fn text(&self, key: &'static str, path: &Path) -> Result<String, SettingsError> {
        String::from_utf8(self.read(path)?).map_err(|_| SettingsError::Value {
            path: self.path.clone(),
            key,
            reason: format!("{} is not text", path.display()),
        })
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, SettingsError> {
        let path = self.path.parent().unwrap_or(Path::new("")).join(path);
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .and_then(|file| file.take(LONGEST).read_to_end(&mut bytes))
            .map_err(|source| SettingsError::Read { path, source })?;
        Ok(bytes)
    }
}
