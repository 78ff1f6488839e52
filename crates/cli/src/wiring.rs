//! Where things are kept: the only place that picks the end for a reference.

use modelkeep_core::{Host, RepoName};
use modelkeep_store::{Repository, Store};

use crate::{
    error::{Exit, Failure, Unknown},
    settings::{Registry, Settings},
};

/// The store, which must exist for `name` to be in it.
pub(crate) fn repository(
    settings: &Settings,
    host: Option<&Host>,
    name: &RepoName,
) -> Result<Repository, Failure> {
    embedded(settings, host)?;
    let unknown = || {
        Failure::new(
            Exit::Failed,
            Unknown::Repository {
                name: name.clone(),
                store: settings.store.value.clone(),
            },
        )
    };
    let Some(store) = existing(settings)? else {
        return Err(unknown().hint("the first `modelkeep push DIR VERSION` makes it"));
    };
    match store.repository(name)? {
        Some(repository) => Ok(repository),
        None => {
            let names: Vec<String> = store.repositories()?.iter().map(RepoName::to_string).collect();
            Err(match names.as_slice() {
                [] => unknown().hint("the first `modelkeep push DIR VERSION` makes it"),
                names => unknown().hint(format!("the store has {}", names.join(", "))),
            })
        }
    }
}

/// The store, if there is one yet.
pub(crate) fn existing(settings: &Settings) -> Result<Option<Store>, Failure> {
    match Store::open(&settings.store.value) {
        Ok(store) => Ok(Some(store)),
        Err(modelkeep_core::content::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Refuses what is not kept in the embedded store.
pub(crate) fn embedded(settings: &Settings, host: Option<&Host>) -> Result<(), Failure> {
    let registry = match host {
        Some(host) => Registry::Host {
            host: host.clone(),
            prefix: None,
        },
        None => settings.registry.value.clone(),
    };
    match registry {
        Registry::Embedded => Ok(()),
        registry => Err(Failure::new(Exit::Usage, Unknown::Registry(registry))
            .hint("set `registry = \"embedded\"` in modelkeep.toml, and leave the host out of references")),
    }
}
