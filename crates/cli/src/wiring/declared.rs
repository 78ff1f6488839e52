//! Where repositories are declared: the store, or a registry of AWS.

use std::path::PathBuf;

use modelkeep_client::aws::{self, AwsOptions};
use modelkeep_core::{
    Host, RepoName, content,
    repositories::{Change, Error, Observed, Powers, Repositories, Result},
};
use modelkeep_ledger::{Recorded, Who};
use modelkeep_provision::Declaration;
use modelkeep_store::Store;

use crate::{
    error::{Exit, Failure, Unknown},
    provenance::{Provenance, now},
    settings::{Registry, Settings},
};

/// The registry in which the settings declare their repository, to look at it and to make it what is declared.
pub(crate) fn registry(settings: &Settings) -> std::result::Result<Box<dyn Repositories>, Failure> {
    // What is declared is no part of a history, and nobody signs it.
    let who = Who {
        time: now(),
        author: Provenance::find(&settings.directory)?.author,
        seal: None,
    };
    registry_for(settings, who)
}

/// As [`registry`], to delete a repository with its versions: `who` enters each of them in the history.
pub(crate) fn registry_for(
    settings: &Settings,
    who: Who,
) -> std::result::Result<Box<dyn Repositories>, Failure> {
    let options = || AwsOptions {
        endpoint_url: settings.endpoint_url.clone(),
        ca: settings.network.ca.clone(),
        ..AwsOptions::default()
    };
    Ok(match &settings.registry.value {
        Registry::Embedded => Box::new(Embedded {
            path: settings.store.value.clone(),
            who,
        }),
        Registry::EcrPublic => Box::new(aws::Repositories::ecr_public(&options())?),
        Registry::Ecr => Box::new(aws::Repositories::ecr(&options())?),
        registry @ Registry::Host { .. } => {
            return Err(Failure::new(Exit::Usage, Unknown::Declaring(registry.clone())).hint(
                "declare with `registry = \"embedded\"`, \"ecr-public\" or \"ecr\"; `modelkeep serve` is \"ecr-public\" at its --endpoint-url",
            ));
        }
    })
}

/// What the registry of the settings can do, as far as that is known without asking it: so much can be refused before
/// anybody is asked.
pub(crate) fn powers(settings: &Settings) -> Powers {
    match &settings.registry.value {
        Registry::Ecr => Powers::ecr(),
        Registry::EcrPublic => Powers::ecr_public(),
        Registry::Embedded | Registry::Host { .. } => Powers::embedded(),
    }
}

/// Where the repository `name` of an AWS registry is: what the registry says.
pub(super) fn address(
    settings: &Settings,
    name: &RepoName,
) -> std::result::Result<(Host, RepoName), Failure> {
    let registry = registry(settings)?;
    let Some(found) = registry.observe(name)? else {
        return Err(Error::NotFound {
            name: name.clone(),
            registry: registry.powers().registry,
        }
        .into());
    };
    let parts = found.uri.split_once('/');
    let parts = parts.and_then(|(host, name)| Some((host.parse().ok()?, name.parse().ok()?)));
    parts.ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            format!("{:?} is not the address of a repository", found.uri),
        )
    })
}

/// The store of the settings, which is made when something is first declared in it.
struct Embedded {
    path: PathBuf,
    who: Who,
}

impl Embedded {
    fn recorded(&self, store: Store) -> Recorded<Store> {
        Recorded::new(store, self.who.clone())
    }
}

impl Repositories for Embedded {
    fn powers(&self) -> Powers {
        Powers::embedded()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        match Store::open(&self.path) {
            Err(content::Error::NotFound { .. }) => Ok(None),
            store => store?.observe(name),
        }
    }

    fn apply(&self, name: &RepoName, change: &Change) -> Result<()> {
        let store = match change {
            Change::Create(_) => Store::create(&self.path)?,
            _ => Store::open(&self.path)?,
        };
        self.recorded(store).apply(name, change)
    }
}

/// Checks a declaration against the powers of its registry before that is asked for anything.
pub(crate) fn check(settings: &Settings, declaration: &Declaration) -> std::result::Result<(), Failure> {
    let powers = powers(settings);
    // Another registry at the address of ECR Public may enforce what that does not: it is asked.
    let requires = match settings.registry.value {
        Registry::EcrPublic if is_elsewhere(settings) => None,
        _ => declaration.require_enforcement,
    };
    let declaration = Declaration {
        require_enforcement: requires,
        ..declaration.clone()
    };
    declaration.wanted(&powers)?;
    Ok(())
}

fn is_elsewhere(settings: &Settings) -> bool {
    let named = |name| super::variable(name).is_some();
    settings.endpoint_url.is_some() || named("AWS_ENDPOINT_URL_ECR_PUBLIC") || named("AWS_ENDPOINT_URL")
}
