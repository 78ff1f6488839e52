//! Settings: flags, then environment, then `modelkeep.toml`, then defaults, resolved once.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use modelkeep_core::{Host, InvalidFilter, Mutability, Reference, RepoName, Tag, TagFilter};
use serde::Deserialize;

use crate::{args::Global, error::SettingsError, globs::Globs};

/// The file that describes a repository.
pub(crate) const FILE: &str = "modelkeep.toml";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File(PathBuf),
    Directory,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Directory => f.write_str("name of the directory"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// Where versions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registry {
    Embedded,
    EcrPublic,
    Ecr,
    Host { host: Host, prefix: Option<RepoName> },
}

impl Registry {
    pub(crate) fn parse(text: &str) -> Result<Self, modelkeep_core::InvalidName> {
        Ok(match text {
            "embedded" => Self::Embedded,
            "ecr-public" => Self::EcrPublic,
            "ecr" => Self::Ecr,
            _ => {
                let (host, prefix) = match text.split_once('/') {
                    Some((host, prefix)) => (host, Some(prefix.parse()?)),
                    None => (text, None),
                };
                Self::Host {
                    host: host.parse()?,
                    prefix,
                }
            }
        })
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::EcrPublic => f.write_str("ecr-public"),
            Self::Ecr => f.write_str("ecr"),
            Self::Host { host, prefix: None } => write!(f, "{host}"),
            Self::Host {
                host,
                prefix: Some(prefix),
            } => write!(f, "{host}/{prefix}"),
        }
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) store: Setting<PathBuf>,
    /// `None` when the directory's name is no repository name, and nothing else names the repository.
    pub(crate) name: Option<Setting<RepoName>>,
    pub(crate) registry: Setting<Registry>,
    pub(crate) mutability: Setting<Mutability>,
    pub(crate) aliases: Setting<Vec<Tag>>,
    pub(crate) image_path: Setting<String>,
    /// The image that the model is laid on.
    pub(crate) base: Setting<Option<String>>,
    pub(crate) labels: Setting<BTreeMap<String, String>>,
    pub(crate) executable: Setting<Vec<String>>,
    pub(crate) entrypoint: Setting<Vec<String>>,
    pub(crate) cmd: Setting<Vec<String>>,
    pub(crate) env: Setting<BTreeMap<String, String>>,
    pub(crate) user: Setting<Option<String>>,
    /// How registries are reached.
    pub(crate) network: modelkeep_client::Settings,
    /// The directory that was looked at for its name.
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    repository: RepositoryTable,
    #[serde(default)]
    image: ImageTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepositoryTable {
    name: Option<RepoName>,
    registry: Option<String>,
    image_tag_mutability: Option<String>,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<TagFilter>,
    aliases: Option<Vec<Tag>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageTable {
    path: Option<String>,
    base: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    executable: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<BTreeMap<String, String>>,
    user: Option<String>,
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
        let registry = file
            .repository
            .registry
            .as_deref()
            .map(Registry::parse)
            .transpose();
        let registry = registry.map_err(|error| invalid("repository.registry", error.to_string()))?;
        let aliases = file.repository.aliases;
        if let Some(alias) = aliases.iter().flatten().find(|alias| alias.is_reserved()) {
            let reason = format!("{alias} is a name that the history needs");
            return Err(invalid("repository.aliases", reason));
        }
        let filters = file.repository.image_tag_mutability_exclusion_filters;
        let mutability = parse_mutability(file.repository.image_tag_mutability.as_deref(), filters)
            .map_err(|reason| invalid("repository.image_tag_mutability", reason))?;
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
        let store = store(global)?;
        Ok(Self {
            network: modelkeep_client::Settings {
                uploads: Some(store.value.join("cache").join("uploads")),
                ..network(global)
            },
            store,
            name: match file.repository.name {
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
            mutability: setting(mutability, from_file, || Mutability::Immutable),
            aliases: setting(aliases, from_file, Vec::new),
            image_path: setting(image_path, from_file, || "/models".to_owned()),
            base: setting(file.image.base.map(Some), from_file, || None),
            labels: setting(file.image.labels, from_file, BTreeMap::new),
            executable: setting(file.image.executable, from_file, Vec::new),
            entrypoint: setting(file.image.entrypoint, from_file, Vec::new),
            cmd: setting(file.image.cmd, from_file, Vec::new),
            env: setting(file.image.env, from_file, BTreeMap::new),
            user: setting(file.image.user.map(Some), from_file, || None),
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

/// How registries are reached, as the flags say.
pub(crate) fn network(global: &Global) -> modelkeep_client::Settings {
    modelkeep_client::Settings {
        ca: global.ca.clone(),
        plain_http: global.plain_http,
        ..Default::default()
    }
}

fn setting<T>(found: Option<T>, origin: impl Fn() -> Origin, default: impl Fn() -> T) -> Setting<T> {
    match found {
        Some(value) => Setting {
            value,
            origin: origin(),
        },
        None => Setting {
            value: default(),
            origin: Origin::Default,
        },
    }
}

fn find_file(directory: &Path) -> Result<Option<(String, PathBuf)>, SettingsError> {
    for directory in directory.ancestors() {
        let path = directory.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(Some((text, path))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(source) => return Err(SettingsError::Read { path, source }),
        }
    }
    Ok(None)
}

fn parse_file(text: &str, path: &Path) -> Result<File, SettingsError> {
    toml::from_str(text).map_err(|source| SettingsError::Toml {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

fn parse_mutability(name: Option<&str>, filters: Vec<TagFilter>) -> Result<Option<Mutability>, String> {
    let with_filters = |make: fn(Vec<TagFilter>) -> Mutability, filters: Vec<TagFilter>| {
        if filters.is_empty() {
            Err("image_tag_mutability_exclusion_filters must name at least one filter".to_owned())
        } else {
            Ok(Some(make(filters)))
        }
    };
    let plain = |mutability: Option<Mutability>, filters: Vec<TagFilter>| {
        if filters.is_empty() {
            Ok(mutability)
        } else {
            Err("exclusion filters need IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION".to_owned())
        }
    };
    match name {
        None => plain(None, filters),
        Some("IMMUTABLE") => plain(Some(Mutability::Immutable), filters),
        Some("MUTABLE") => plain(Some(Mutability::Mutable), filters),
        Some("IMMUTABLE_WITH_EXCLUSION") => with_filters(Mutability::ImmutableWithExclusion, filters),
        Some("MUTABLE_WITH_EXCLUSION") => with_filters(Mutability::MutableWithExclusion, filters),
        Some(other) => Err(format!(
            "{other:?} must be IMMUTABLE, MUTABLE, IMMUTABLE_WITH_EXCLUSION or MUTABLE_WITH_EXCLUSION"
        )),
    }
}

/// What is wrong with a place for the model in an image.
fn image_path_flaw(path: &str) -> Option<&'static str> {
    match path
        .strip_prefix('/')
        .map(str::parse::<modelkeep_core::ModelPath>)
    {
        Some(Ok(_)) => None,
        _ => Some("must be a plain, absolute path such as /models"),
    }
}

/// A name that no environment can have.
fn bad_variable(name: &str) -> Option<&str> {
    (name.is_empty() || name.contains(['=', '\0'])).then_some(name)
}

/// The repository name that a directory's name makes: its lower-case form, if that is one.
fn name_of(directory: &Path) -> Option<RepoName> {
    // `.` and links have been resolved as far as they can be; what does not exist is named by its last part.
    let directory = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    directory.file_name()?.to_str()?.to_lowercase().parse().ok()
}

fn store(global: &Global) -> Result<Setting<PathBuf>, SettingsError> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(value) = &global.store {
        return Ok(Setting {
            value: value.clone(),
            origin: Origin::Flag("--store"),
        });
    }
    if let Some(value) = variable("MODELKEEP_HOME") {
        return Ok(Setting {
            value,
            origin: Origin::Environment("MODELKEEP_HOME"),
        });
    }
    if let Some(value) = variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        return Ok(Setting {
            value: value.join("modelkeep"),
            origin: Origin::Environment("XDG_DATA_HOME"),
        });
    }
    let home = variable("HOME").ok_or(SettingsError::NoHome)?;
    let data = if cfg!(target_os = "macos") {
        "Library/Application Support"
    } else {
        ".local/share"
    };
    Ok(Setting {
        value: home.join(data).join("modelkeep"),
        origin: Origin::Default,
    })
}

impl From<InvalidFilter> for SettingsError {
    fn from(error: InvalidFilter) -> Self {
        Self::Argument(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Settings, SettingsError> {
        let path = PathBuf::from("modelkeep.toml");
        let global = Global {
            store: Some("store".into()),
            ca: None,
            plain_http: false,
            quiet: false,
        };
        Settings::resolve(
            &global,
            "/nowhere/digits".into(),
            parse_file(text, &path)?,
            Some(path),
        )
    }

    #[test]
    fn without_a_file_the_directory_names_the_repository() {
        let settings = resolve("").unwrap();
        assert_eq!(settings.repository_name().unwrap().as_str(), "digits");
        assert_eq!(settings.registry.value, Registry::Embedded);
        assert_eq!(settings.mutability.value, Mutability::Immutable);
    }

    #[test]
    fn a_file_sets_what_it_names() {
        let settings = resolve(
            r#"
            [repository]
            name = "team/digits"
            registry = "public.ecr.aws/alias"
            image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"
            image_tag_mutability_exclusion_filters = ["dev-*"]
            aliases = ["production"]
            [image]
            path = "/opt/model"
            labels = { team = "vision" }
            "#,
        )
        .unwrap();
        assert_eq!(settings.registry.value.to_string(), "public.ecr.aws/alias");
        assert_eq!(settings.mutability.value.filters().len(), 1);
        assert_eq!(settings.reference("1.0").unwrap().to_string(), "team/digits:1.0");
        assert_eq!(settings.reference("other:2").unwrap().to_string(), "other:2");
    }

    #[test]
    fn mistakes_in_a_file_name_the_key() {
        for (text, key) in [
            ("[repository]\nregistry = \"-\"", "repository.registry"),
            (
                "[repository]\nimage_tag_mutability = \"IMUTABLE\"",
                "repository.image_tag_mutability",
            ),
            (
                "[repository]\nimage_tag_mutability_exclusion_filters = [\"a\"]",
                "repository.image_tag_mutability",
            ),
            ("[repository]\naliases = [\"ledger\"]", "repository.aliases"),
            ("[image]\npath = \"/../x\"", "image.path"),
            ("[image]\nexecutable = [\"[\"]", "image.executable"),
            ("[image.env]\n\"A=B\" = \"c\"", "image.env"),
        ] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        for text in ["[repository]\nnmae = \"x\"", "[repository]\nname = \"X\"", "["] {
            assert!(matches!(resolve(text), Err(SettingsError::Toml { .. })), "{text}");
        }
    }
}
