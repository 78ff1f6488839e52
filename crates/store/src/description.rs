//! What is said of a repository, beside which of its tags may move.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use modelkeep_core::{
    Mutability,
    content::Result,
    repositories::{Catalog, Description, Logo},
};
use serde::{Deserialize, Serialize};

use crate::{
    keys::{Keys, RepositoryKeys},
    records,
    transaction::remove,
};

/// What `_description` says. A repository of which nothing is said has none.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Said {
    catalog: Shown,
    resource_tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    architectures: BTreeSet<String>,
    operating_systems: BTreeSet<String>,
    /// The bytes of the picture in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    logo: Option<String>,
}

/// Reads what is said of a repository. The mutability is that of its own record.
pub(crate) fn read(keys: &RepositoryKeys, mutability: &Mutability) -> Result<Description> {
    let said: Said = records::read(&keys.description())?.unwrap_or_default();
    let logo = said.catalog.logo.map(|text| STANDARD.decode(text)).transpose();
    let logo = logo.map_err(|error| records::malformed(&keys.description(), error))?;
    Ok(Description {
        mutability: mutability.clone(),
        catalog: Catalog {
            description: said.catalog.description,
            about: said.catalog.about,
            usage: said.catalog.usage,
            architectures: said.catalog.architectures,
            operating_systems: said.catalog.operating_systems,
            logo: logo.map(Logo::Bytes),
        },
        resource_tags: said.resource_tags,
        policy: said.policy,
    })
}

/// Writes what is said of a repository, all but its mutability. The caller holds the repository's lock.
pub(crate) fn write(store: &Keys, keys: &RepositoryKeys, description: &Description) -> Result<()> {
    let catalog = description.catalog.clone();
    let said = Said {
        catalog: Shown {
            description: catalog.description,
            about: catalog.about,
            usage: catalog.usage,
            architectures: catalog.architectures,
            operating_systems: catalog.operating_systems,
            logo: match catalog.logo {
                Some(Logo::Bytes(bytes)) => Some(STANDARD.encode(bytes)),
                // A digest or an address is no picture.
                _ => None,
            },
        },
        resource_tags: description.resource_tags.clone(),
        policy: description.policy.clone(),
    };
    if said == Said::default() {
        remove(&keys.description())
    } else {
        records::replace(&store.staging(), &keys.description(), &records::json(&said))
    }
}
