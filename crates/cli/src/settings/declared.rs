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
    /// The keys of the block that are set and the table of settings has no other place for, with their values.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let list = |items: &std::collections::BTreeSet<String>| {
            let items: Vec<&str> = items.iter().map(String::as_str).collect();
            (!items.is_empty()).then(|| items.join(", "))
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let tags: Vec<String> = self
            .resource_tags
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let rows = [
            ("repository.catalog.description", self.catalog.description.clone()),
            ("repository.catalog.about", self.catalog.about.clone()),
            ("repository.catalog.usage", self.catalog.usage.clone()),
            (
                "repository.catalog.architectures",
                list(&self.catalog.architectures),
            ),
            (
                "repository.catalog.operating_systems",
                list(&self.catalog.operating_systems),
            ),
            ("repository.catalog.logo", path(&self.catalog.logo)),
            (
                "repository.resource_tags",
                (!tags.is_empty()).then(|| tags.join(", ")),
            ),
            ("repository.policy", path(&self.policy)),
            (
                "repository.require_enforcement",
                self.require_enforcement.map(|required| required.to_string()),
            ),
            ("repository.protect", self.protect.then(|| "true".to_owned())),
            (
                "repository.force_delete",
                (self.force_delete == Force::Yes).then(|| "true".to_owned()),
            ),
        ];
        let set = rows.into_iter().filter_map(|(key, value)| Some((key, value?)));
        set.collect()
    }

    /// The file that has the block.
    pub(crate) fn file(&self) -> &Path {
        &self.path
    }

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
