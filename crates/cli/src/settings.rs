//! Settings: flags, then environment, then `modelkeep.toml`, then defaults, resolved once.

mod declared;
mod file;
mod origin;
mod registry;
mod settle;
mod store;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use modelkeep_core::{InvalidFilter, Mutability, Reference, RepoName, Tag, repositories::Enforcement};
use modelkeep_provision::{Force, with_aliases};

pub(crate) use declared::Declared;
use file::{File, bad_variable, find_file, image_path_flaw, parse_file, parse_mutability};
use origin::setting;
pub(crate) use origin::{Origin, Setting};
pub(crate) use registry::Registry;
use settle::settle;
use store::store;

use crate::{
    args::{Format, Global},
    error::SettingsError,
    freshness::MaxAge,
    globs::Globs,
};

/// The file that describes a repository.
pub(crate) const FILE: &str = "modelkeep.toml";

/// All settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) store: Setting<PathBuf>,
    /// `None` when the directory's name is no repository name, and nothing else names the repository.
    pub(crate) name: Option<Setting<RepoName>>,
    pub(crate) registry: Setting<Registry>,
    /// How long a registry that knows no histories takes until it lists what was written.
    pub(crate) settle: Setting<Duration>,
    /// Which tags may move: what the file says, and the aliases.
    pub(crate) mutability: Setting<Mutability>,
    pub(crate) aliases: Setting<Vec<Tag>>,
    /// What versions are.
    pub(crate) format: Setting<Format>,
    pub(crate) image_path: Setting<String>,
    /// The image that the model is laid on.
    pub(crate) base: Setting<Option<String>>,
    pub(crate) labels: Setting<BTreeMap<String, String>>,
    pub(crate) executable: Setting<Vec<String>>,
    pub(crate) entrypoint: Setting<Vec<String>>,
    pub(crate) cmd: Setting<Vec<String>>,
    pub(crate) env: Setting<BTreeMap<String, String>>,
    pub(crate) user: Setting<Option<String>>,
    /// What the file declares of the repository, if it does.
    declared: Option<Declared>,
    /// Where the API of AWS is, if not at its own address.
    pub(crate) endpoint_url: Option<String>,
    /// How old the newest entry may be in the history of a registry from which something is taken into use.
    pub(crate) max_age: Setting<Option<MaxAge>>,
    /// How registries are reached.
    pub(crate) network: modelkeep_client::Settings,
    /// The directory that was looked at for its name.
    pub(crate) directory: PathBuf,
}

impl Settings {
    /// Resolves the settings for `directory`: `modelkeep.toml` is looked for in it and its parents, then in the
    /// working directory and its parents.
    pub(crate) fn load(global: &Global, directory: &Path) -> Result<Self, SettingsError> {
        let absolute = |path: &Path| {
            std::path::absolute(path).map_err(|source| SettingsError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let directory = absolute(directory)?;
        let found = match find_file(&directory)? {
            Some(found) => Some(found),
            None => find_file(&absolute(Path::new("."))?)?,
        };
        let (file, path) = match found {
            Some((text, path)) => (parse_file(&text, &path)?, Some(path)),
            None => (File::default(), None),
        };
        Self::resolve(global, directory, file, path)
    }

    fn resolve(
        global: &Global,
        directory: PathBuf,
        file: File,
        path: Option<PathBuf>,
    ) -> Result<Self, SettingsError> {
        let invalid = |key: &'static str, reason: String| SettingsError::Value {
            path: path.clone().unwrap_or_default(),
            key,
            reason,
        };
        let is_declared = file.repository.is_some();
        let repository = file.repository.unwrap_or_default();
        let registry = repository.registry.as_deref().map(Registry::parse).transpose();
        let registry = registry.map_err(|error| invalid("repository.registry", error.to_string()))?;
        let said = repository.settle.map(|text| {
            let origin = Origin::File(path.clone().unwrap_or_default());
            (text, origin)
        });
        let settle = settle(said).map_err(|(origin, reason)| match origin {
            Origin::File(_) => invalid("repository.settle", reason),
            origin => SettingsError::Argument(format!("{origin}: {reason}")),
        })?;
        let aliases = repository.aliases;
        if let Some(alias) = aliases.iter().flatten().find(|alias| alias.is_reserved()) {
            let reason = format!("{alias} is a name that the history needs");
            return Err(invalid("repository.aliases", reason));
        }
        let filters = repository.image_tag_mutability_exclusion_filters;
        let mutability = parse_mutability(repository.image_tag_mutability.as_deref(), filters)
            .map_err(|reason| invalid("repository.image_tag_mutability", reason))?;
        if repository.require_enforcement == Some(Enforcement::Client) {
            let reason = "must be \"registry\", or not be there".to_owned();
            return Err(invalid("repository.require_enforcement", reason));
        }
        let declared = is_declared.then(|| Declared {
            path: path.clone().unwrap_or_default(),
            mutability: mutability.clone().unwrap_or(Mutability::Immutable),
            catalog: repository.catalog,
            resource_tags: repository.resource_tags,
            policy: repository.policy,
            require_enforcement: repository.require_enforcement,
            protect: repository.protect,
            force_delete: if repository.force_delete {
                Force::Yes
            } else {
                Force::No
            },
        });
        let mutability = match (mutability, &aliases) {
            (None, None) => None,
            (mutability, aliases) => {
                let mutability = mutability.unwrap_or(Mutability::Immutable);
                let moving = with_aliases(&mutability, aliases.as_deref().unwrap_or_default());
                Some(moving.map_err(|error| invalid("repository.aliases", error.to_string()))?)
            }
        };
        let image_path = file.image.path;
        if let Some(reason) = image_path.as_deref().and_then(image_path_flaw) {
            return Err(invalid("image.path", reason.to_owned()));
        }
        if let Some(error) = file
            .image
            .executable
            .as_deref()
            .and_then(|globs| Globs::parse(globs).err())
        {
            return Err(invalid("image.executable", error.to_string()));
        }
        if let Some(name) = file
            .image
            .env
            .iter()
            .flatten()
            .find_map(|(name, _)| bad_variable(name))
        {
            return Err(invalid(
                "image.env",
                format!("{name:?} is not the name of a variable"),
            ));
        }
        let from_file = || Origin::File(path.clone().unwrap_or_default());
        let max_age = match environment::<MaxAge>("MODELKEEP_MAX_AGE")? {
            Some(found) => found,
            None => {
                let age = repository.max_age.map(|text| text.parse()).transpose();
                let age = age.map_err(|reason| invalid("repository.max_age", reason))?;
                setting(age.map(Some), from_file, || None)
            }
        };
        let store = store(global)?;
        Ok(Self {
            network: modelkeep_client::Settings {
                uploads: Some(store.value.join("cache").join("uploads")),
                ..network(global)
            },
            store,
            name: match repository.name {
                Some(value) => Some(Setting {
                    value,
                    origin: from_file(),
                }),
                None => name_of(&directory).map(|value| Setting {
                    value,
                    origin: Origin::Directory,
                }),
            },
            registry: setting(registry, from_file, || Registry::Embedded),
            settle,
            mutability: setting(mutability, from_file, || Mutability::Immutable),
            aliases: setting(aliases, from_file, Vec::new),
            format: setting(file.image.format, from_file, Format::default),
            image_path: setting(image_path, from_file, || "/models".to_owned()),
            base: setting(file.image.base.map(Some), from_file, || None),
            labels: setting(file.image.labels, from_file, BTreeMap::new),
            executable: setting(file.image.executable, from_file, Vec::new),
            entrypoint: setting(file.image.entrypoint, from_file, Vec::new),
            cmd: setting(file.image.cmd, from_file, Vec::new),
            env: setting(file.image.env, from_file, BTreeMap::new),
            user: setting(file.image.user.map(Some), from_file, || None),
            declared,
            endpoint_url: global.endpoint_url.clone(),
            max_age,
            directory,
        })
    }

    /// The repository that the settings name.
    pub(crate) fn repository_name(&self) -> Result<&RepoName, SettingsError> {
        match &self.name {
            Some(name) => Ok(&name.value),
            None => Err(SettingsError::NoName {
                directory: self.directory.clone(),
            }),
        }
    }

    /// What `text` refers to: a whole reference, or a version of the repository that the settings name.
    pub(crate) fn reference(&self, text: &str) -> Result<Reference, SettingsError> {
        if text.contains([':', '/', '@']) {
            return Ok(text.parse()?);
        }
        Ok(Reference {
            host: None,
            target: modelkeep_core::name::Target::Tag(text.parse()?),
            name: self.repository_name()?.clone(),
        })
    }
}

/// What a variable of the environment sets.
fn environment<T: FromStr<Err = String>>(
    name: &'static str,
) -> Result<Option<Setting<Option<T>>>, SettingsError> {
    let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let value = text.parse();
    let value = value.map_err(|reason| SettingsError::Argument(format!("{name}: {reason}")))?;
    Ok(Some(Setting {
        value: Some(value),
        origin: Origin::Environment(name),
    }))
}

/// How registries are reached, as the flags say.
pub(crate) fn network(global: &Global) -> modelkeep_client::Settings {
    modelkeep_client::Settings {
        ca: global.ca.clone(),
        plain_http: global.plain_http,
        ..Default::default()
    }
}

/// The repository name that a directory's name makes: its lower-case form, if that is one.
fn name_of(directory: &Path) -> Option<RepoName> {
    // `.` and links have been resolved as far as they can be; what does not exist is named by its last part.
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    directory.file_name()?.to_str()?.to_lowercase().parse().ok()
}

impl From<InvalidFilter> for SettingsError {
    fn from(error: InvalidFilter) -> Self {
        Self::Argument(error.to_string())
    }
}
