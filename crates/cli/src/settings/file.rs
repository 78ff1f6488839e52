//! `modelkeep.toml`: its tables, and where it is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use modelkeep_core::{Mutability, RepoName, Tag, TagFilter, repositories::Enforcement};
use serde::Deserialize;

use super::FILE;
use crate::{args::Format, error::SettingsError};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) repository: Option<RepositoryTable>,
    #[serde(default)]
    pub(super) image: ImageTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryTable {
    pub(super) name: Option<RepoName>,
    pub(super) registry: Option<String>,
    pub(super) settle: Option<String>,
    pub(super) image_tag_mutability: Option<String>,
    #[serde(default)]
    pub(super) image_tag_mutability_exclusion_filters: Vec<TagFilter>,
    pub(super) aliases: Option<Vec<Tag>>,
    #[serde(default)]
    pub(super) catalog: CatalogTable,
    #[serde(default)]
    pub(super) resource_tags: BTreeMap<String, String>,
    pub(super) policy: Option<PathBuf>,
    pub(super) require_enforcement: Option<Enforcement>,
    pub(super) max_age: Option<String>,
    #[serde(default)]
    pub(super) protect: bool,
    #[serde(default)]
    pub(super) force_delete: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogTable {
    pub(super) description: Option<String>,
    pub(super) about: Option<String>,
    pub(super) usage: Option<String>,
    #[serde(default)]
    pub(super) architectures: BTreeSet<String>,
    #[serde(default)]
    pub(super) operating_systems: BTreeSet<String>,
    pub(super) logo: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageTable {
    pub(super) format: Option<Format>,
    pub(super) path: Option<String>,
    pub(super) base: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) executable: Option<Vec<String>>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) cmd: Option<Vec<String>>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) user: Option<String>,
}

/// The file in `directory`, or in the nearest of its parents.
pub(super) fn find_file(directory: &Path) -> Result<Option<(String, PathBuf)>, SettingsError> {
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

pub(super) fn parse_file(text: &str, path: &Path) -> Result<File, SettingsError> {
    toml::from_str(text).map_err(|source| SettingsError::Toml {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

/// The policy of tags that the file names.
pub(super) fn parse_mutability(
    name: Option<&str>,
    filters: Vec<TagFilter>,
) -> Result<Option<Mutability>, String> {
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
pub(super) fn image_path_flaw(path: &str) -> Option<&'static str> {
    match path
        .strip_prefix('/')
        .map(str::parse::<modelkeep_core::ModelPath>)
    {
        Some(Ok(_)) => None,
        _ => Some("must be a plain, absolute path such as /models"),
    }
}

/// A name that no environment can have.
pub(super) fn bad_variable(name: &str) -> Option<&str> {
    (name.is_empty() || name.contains(['=', '\0'])).then_some(name)
}
