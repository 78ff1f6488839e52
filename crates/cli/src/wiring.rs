//! Where things are kept: the only place that picks the end for a reference.

pub(crate) mod declared;
mod remote;

use std::{env, sync::Arc, thread};

use modelkeep_client::{self as client, Access, Keychain};
use modelkeep_core::{
    Descriptor, Digest, Host, Limits, Mutability, Reference, RepoName, Tag,
    content::{self, Journal, Names, Need, Sink, Source, Target},
    media,
    name::Target as Named,
};
use modelkeep_ledger::{
    History, Who,
    claims::{Pace, Tampered},
};
use modelkeep_store::{Repository, Store};

pub(crate) use remote::Remote;

use crate::{
    error::{Exit, Failure, SettingsError, Unknown},
    promise::Keeper,
    settings::{Registry, Settings},
};

/// A repository, wherever it is kept.
pub(crate) enum Endpoint {
    /// In the embedded store, with its history.
    Store(Repository),
    /// In a registry on the network.
    Remote(Box<Remote>),
}

/// Entries of a history that are fetched at once.
const CONNECTIONS: usize = 16;

impl Endpoint {
    pub(crate) fn source(&self) -> &dyn Source {
        match self {
            Self::Store(repository) => repository,
            Self::Remote(remote) => &***remote,
        }
    }

    pub(crate) fn target(&self) -> &dyn Target {
        match self {
            Self::Store(repository) => repository,
            Self::Remote(remote) => &***remote,
        }
    }

    pub(crate) fn names(&self) -> &dyn Names {
        match self {
            Self::Store(repository) => repository,
            Self::Remote(remote) => &***remote,
        }
    }

    /// The history as it is kept.
    pub(crate) fn journal(&self) -> &dyn Journal {
        match self {
            Self::Store(repository) => repository,
            Self::Remote(remote) => &**remote,
        }
    }

    /// The history, empty where there is none.
    pub(crate) fn history(&self) -> Result<History, Failure> {
        match self {
            Self::Store(repository) => Ok(modelkeep_ledger::read(repository)?),
            Self::Remote(remote) => Ok(remote.history()?),
        }
    }

    /// The entries of the history, oldest first.
    pub(crate) fn entries(&self) -> Result<Vec<Vec<u8>>, Failure> {
        Ok(self.journal().entries(1)?)
    }

    /// The tags of its history that were not what they say when it was last read.
    pub(crate) fn tampered(&self) -> Result<Vec<Tampered>, content::Error> {
        match self {
            Self::Store(_) => Ok(Vec::new()),
            Self::Remote(remote) => remote.tampered(),
        }
    }

    /// Who keeps its versions.
    pub(crate) fn keeper(&self) -> Result<Keeper, content::Error> {
        Ok(match self {
            Self::Store(_) => Keeper::Store,
            Self::Remote(remote) => match remote.kept()? {
                Some(_) => Keeper::Registry,
                None => Keeper::Client,
            },
        })
    }

    /// Which tags may move, where the end knows that.
    pub(crate) fn mutability(&self) -> Result<Option<Mutability>, content::Error> {
        Ok(match self {
            Self::Store(repository) => Some(repository.mutability().clone()),
            Self::Remote(remote) => remote.mutability()?,
        })
    }

    /// Who adds to its history, by the name under which the end knows them.
    pub(crate) fn known_as(&self, who: Who) -> Result<Who, content::Error> {
        match self {
            Self::Store(_) => Ok(who),
            Self::Remote(remote) => remote.known_as(who),
        }
    }

    /// The manifest with this digest.
    pub(crate) fn manifest(&self, digest: &Digest) -> Result<Option<Descriptor>, Failure> {
        Ok(match self {
            Self::Store(repository) => repository.manifest(digest)?,
            Self::Remote(registry) => registry.look_up(&Named::Digest(digest.clone()))?,
        })
    }

    /// The tags that are versions.
    pub(crate) fn versions(&self) -> Result<Vec<Tag>, content::Error> {
        let mut tags = self.names().tags()?;
        tags.retain(|tag| !tag.is_reserved());
        Ok(tags)
    }
}

/// The whole reference of what is kept: with the registry of the settings where none was named.
pub(crate) fn place(
    settings: &Settings,
    host: Option<&Host>,
    name: &RepoName,
) -> Result<(Option<Host>, RepoName), Failure> {
    if let Some(host) = host {
        return Ok((Some(host.clone()), name.clone()));
    }
    match &settings.registry.value {
        Registry::Embedded => Ok((None, name.clone())),
        Registry::Host { host, prefix: None } => Ok((Some(host.clone()), name.clone())),
        Registry::Host {
            host,
            prefix: Some(prefix),
        } => {
            let name = format!("{prefix}/{name}").parse();
            Ok((
                Some(host.clone()),
                name.map_err(|error| Failure::new(Exit::Usage, error))?,
            ))
        }
        Registry::EcrPublic | Registry::Ecr => {
            let (host, name) = declared::address(settings, name)?;
            Ok((Some(host), name))
        }
    }
}

/// As [`place`], for the repository that somebody named, or else that of the settings.
pub(crate) fn named(settings: &Settings, name: Option<&str>) -> Result<(Option<Host>, RepoName), Failure> {
    let (host, name) = match name {
        Some(text) => Reference::split_name(text).map_err(SettingsError::from)?,
        None => (None, settings.repository_name()?.clone()),
    };
    place(settings, host.as_ref(), &name)
}

/// As [`place`], for a reference.
pub(crate) fn placed(settings: &Settings, reference: Reference) -> Result<Reference, Failure> {
    let (host, name) = place(settings, reference.host.as_ref(), &reference.name)?;
    Ok(Reference {
        host,
        name,
        ..reference
    })
}

/// The repository, which must exist where that can be known without asking a registry.
pub(crate) fn repository(
    settings: &Settings,
    host: Option<&Host>,
    name: &RepoName,
) -> Result<Endpoint, Failure> {
    if let Some(host) = host {
        return remote(settings, host, name, Access::Read);
    }
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
        Some(repository) => Ok(Endpoint::Store(repository)),
        None => {
            let names: Vec<String> = store.repositories()?.iter().map(RepoName::to_string).collect();
            Err(match names.as_slice() {
                [] => unknown().hint("the first `modelkeep push DIR VERSION` makes it"),
                names => unknown().hint(format!("the store has {}", names.join(", "))),
            })
        }
    }
}

/// The repository, which must exist as for [`repository`], to change what its history says.
pub(crate) fn to_change(
    settings: &Settings,
    host: Option<&Host>,
    name: &RepoName,
) -> Result<Endpoint, Failure> {
    match host {
        Some(host) => remote(settings, host, name, Access::Write),
        None => repository(settings, None, name),
    }
}

/// The repository that is to be written to; `None` when the embedded store does not have it yet.
pub(crate) fn for_push(
    settings: &Settings,
    host: Option<&Host>,
    name: &RepoName,
) -> Result<Option<Endpoint>, Failure> {
    if let Some(host) = host {
        return remote(settings, host, name, Access::Write).map(Some);
    }
    Ok(match existing(settings)? {
        Some(store) => store.repository(name)?.map(Endpoint::Store),
        None => None,
    })
}

fn remote(settings: &Settings, host: &Host, name: &RepoName, access: Access) -> Result<Endpoint, Failure> {
    let keychain = Keychain::from_environment(&variable);
    let registry = client::Registry::new(host, name, access, keychain, settings.network.clone(), &variable)
        .map_err(Failure::failed)?;
    let pace = Pace {
        settle: settings.settle.value,
        connections: CONNECTIONS,
        wait: Arc::new(thread::sleep),
    };
    let mutability = settings.mutability.value.clone();
    let place = remote::Place {
        store: settings.store.value.clone(),
        host: host.clone(),
        name: name.clone(),
        mutability,
        pace,
    };
    Ok(Endpoint::Remote(Box::new(Remote::new(registry, place))))
}

/// A variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// The store, if there is one yet.
pub(crate) fn existing(settings: &Settings) -> Result<Option<Store>, Failure> {
    match Store::open(&settings.store.value) {
        Ok(store) => Ok(Some(store)),
        Err(modelkeep_core::content::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A repository of a registry, and another one of the same registry from which it takes blobs over.
pub(crate) struct Mounting<'a> {
    registry: &'a client::Registry,
    from: &'a RepoName,
}

impl<'a> Mounting<'a> {
    /// `None` when `from` lies elsewhere, or is the same repository.
    pub(crate) fn between(
        registry: &'a client::Registry,
        from: &'a Reference,
        to: &Reference,
    ) -> Option<Self> {
        let beside = from.host == to.host && from.name != to.name;
        let from = &from.name;
        beside.then_some(Self { registry, from })
    }
}

impl Target for Mounting<'_> {
    fn limits(&self) -> Limits {
        self.registry.limits()
    }

    fn need(&self, blob: &Descriptor) -> content::Result<Need> {
        let need = self.registry.need(blob)?;
        let mounts = need != Need::Nothing && !media::is_manifest(&blob.media_type);
        // A registry that does not let us has it sent.
        match mounts && self.registry.mount(blob, self.from).unwrap_or(false) {
            true => Ok(Need::Nothing),
            false => Ok(need),
        }
    }

    fn begin<'b>(&'b self, expect: content::Expect<'_>) -> content::Result<Box<dyn Sink + 'b>> {
        self.registry.begin(expect)
    }
}
