//! A store as a registry in which repositories are declared.

use modelkeep_core::{
    Mutability, RepoName,
    content::{self, Journal, Journals, Names},
    repositories::{
        Catalog, Change as Declared, Deletion, Description, Enforcement, Error, Images, Logo, Observed,
        Powers, Repositories, Result,
    },
};
use modelkeep_disk::Outcome;

use crate::{
    Repository, Store, description, records,
    transaction::{Change, remove},
};

impl Store {
    /// The picture of a repository, if it has one.
    ///
    /// # Errors
    /// [`content::Error::Io`]; [`content::Error::Malformed`] when a record is.
    pub fn logo(&self, name: &RepoName) -> content::Result<Option<Vec<u8>>> {
        let Some(repository) = self.repository(name)? else {
            return Ok(None);
        };
        let said = description::read(&repository.keys, repository.mutability())?;
        Ok(match said.catalog.logo {
            Some(Logo::Bytes(bytes)) => Some(bytes),
            _ => None,
        })
    }

    fn declare(&self, name: &RepoName, declared: &Description) -> Result<()> {
        self.powers().check(name, declared)?;
        let created = jiff::Timestamp::now().to_string();
        match self.create_described(name, declared, &created)? {
            (_, Outcome::Created) => Ok(()),
            (_, Outcome::Exists) => Err(Error::AlreadyExists {
                name: name.clone(),
                registry: self.powers().registry,
            }),
        }
    }
}

impl Journals for Store {
    fn journal<'a>(&'a self, name: &RepoName) -> content::Result<Option<Box<dyn Journal + 'a>>> {
        let repository = self.repository(name)?;
        Ok(repository.map(|repository| Box::new(repository) as Box<dyn Journal>))
    }
}

/// A repository here has no address, and is referred to by its name. Whoever serves the store puts the host before it.
///
/// What deletes images must have an entry in the history, and a store does not know what entries say: a store refuses
/// [`Deletion::WithImages`] where there are any. `modelkeep_ledger::Recorded` adds that.
impl Repositories for Store {
    fn powers(&self) -> Powers {
        Powers::embedded()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        let Some(repository) = self.repository(name)? else {
            return Ok(None);
        };
        let mut description = description::read(&repository.keys, repository.mutability())?;
        if let Some(logo) = &mut description.catalog.logo
            && let Some(digest) = logo.digest()
        {
            *logo = Logo::Digest(digest);
        }
        Ok(Some(Observed {
            name: name.clone(),
            uri: name.to_string(),
            arn: None,
            registry_id: None,
            created_at: Some(repository.created().to_owned()).filter(|time| !time.is_empty()),
            enforcement: Enforcement::Registry,
            description,
            images: Images::Exactly(repository.manifest_digests()?.len() as u64),
        }))
    }

    fn apply(&self, name: &RepoName, change: &Declared) -> Result<()> {
        if let Declared::Create(declared) = change {
            return self.declare(name, declared);
        }
        let not_found = || Error::NotFound {
            name: name.clone(),
            registry: self.powers().registry,
        };
        let repository = self.repository(name)?.ok_or_else(not_found)?;
        let held = match Change::begin(&repository) {
            // Deleted since it was looked for.
            Err(content::Error::NotFound { .. }) => return Err(not_found()),
            held => held?,
        };
        match change {
            Declared::Create(_) => Ok(()),
            Declared::SetMutability(mutability) => self.set_mutability(&repository, &held, mutability),
            Declared::Delete(deletion) => self.delete(&repository, &held, *deletion),
            Declared::PutCatalog(catalog) => self.redescribe(&repository, |said, powers| {
                powers.check_catalog(catalog)?;
                let logo = catalog.logo.clone().or(said.catalog.logo.take());
                said.catalog = Catalog {
                    logo,
                    ..catalog.clone()
                };
                Ok(())
            }),
            Declared::Tag(tags) => self.redescribe(&repository, |said, powers| {
                said.resource_tags.extend(tags.clone());
                Ok(powers.check_resource_tags(said.resource_tags.iter())?)
            }),
            Declared::Untag(keys) => self.redescribe(&repository, |said, _| {
                said.resource_tags.retain(|key, _| !keys.contains(key));
                Ok(())
            }),
            Declared::SetPolicy(policy) => self.redescribe(&repository, |said, powers| {
                said.policy = Some(policy.clone());
                Ok(powers.check_policy(policy)?)
            }),
            Declared::DeletePolicy => self.redescribe(&repository, |said, _| {
                said.policy = None;
                Ok(())
            }),
        }
    }
}

/// Under the lock of the repository.
impl Store {
    fn set_mutability(
        &self,
        repository: &Repository,
        held: &Change<'_>,
        mutability: &Mutability,
    ) -> Result<()> {
        self.powers().check_mutability(mutability)?;
        let record = held.standing().with_mutability(mutability);
        let path = repository.keys.record();
        Ok(records::replace(
            &self.keys.staging(),
            &path,
            &records::json(&record),
        )?)
    }

    fn redescribe(
        &self,
        repository: &Repository,
        change: impl FnOnce(&mut Description, &Powers) -> Result<()>,
    ) -> Result<()> {
        let mut said = description::read(&repository.keys, repository.mutability())?;
        change(&mut said, &self.powers())?;
        Ok(description::write(&self.keys, &repository.keys, &said)?)
    }

    /// The record goes last of what makes it a repository, and what is said of it after that: whoever makes the name
    /// again begins with removing what it finds. The history stays, and goes on if the name is made again.
    fn delete(&self, repository: &Repository, _held: &Change<'_>, deletion: Deletion) -> Result<()> {
        if !repository.manifest_digests()?.is_empty() || !repository.tags()?.is_empty() {
            return Err(match deletion {
                Deletion::OnlyEmpty => Error::NotEmpty {
                    name: repository.name().clone(),
                },
                Deletion::WithImages => Error::Unsupported {
                    registry: self.powers().registry,
                    what: "delete images without an entry in the history".to_owned(),
                },
            });
        }
        for digest in crate::repository::digests(&repository.keys.links())? {
            repository.drop_link(&digest, None)?;
        }
        remove(&repository.keys.record())?;
        Ok(remove(&repository.keys.description())?)
    }
}
