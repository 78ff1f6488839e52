use std::{
    cell::RefCell,
    collections::{BTreeMap, btree_map::Entry},
};

use modelkeep_core::{
    Mutability, RepoName,
    repositories::{
        Catalog, Change, Deletion, Description, Enforcement, Error, Images, Logo, Observed, Powers,
        Repositories, Result,
    },
};

/// What a registry says about a logo that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogosAre {
    /// Its digest.
    Digests,
    /// Its address, as AWS does for accounts that it has verified.
    Urls,
    /// Nothing, as AWS does for others.
    Hidden,
}

/// Declared repositories, in memory.
#[derive(Debug)]
pub struct MemoryRepositories {
    powers: Powers,
    logos: LogosAre,
    kept: RefCell<BTreeMap<RepoName, Kept>>,
    /// How many were ever made, which is their time.
    made: RefCell<u64>,
}

#[derive(Debug)]
struct Kept {
    description: Description,
    images: u64,
    made: u64,
}

impl MemoryRepositories {
    /// A registry that can do so much, and has no repository.
    #[must_use]
    pub fn new(powers: Powers, logos: LogosAre) -> Self {
        Self {
            powers,
            logos,
            kept: RefCell::default(),
            made: RefCell::default(),
        }
    }

    /// Adds an image to a repository, if it is there.
    pub fn push_image(&self, name: &RepoName) {
        if let Some(kept) = self.kept.borrow_mut().get_mut(name) {
            kept.images += 1;
        }
    }

    fn create(&self, name: &RepoName, description: &Description) -> Result<()> {
        self.powers.check(name, description)?;
        let mut description = description.clone();
        if self.powers.enforcement == Enforcement::Client {
            description.mutability = Mutability::Mutable;
        }
        match self.kept.borrow_mut().entry(name.clone()) {
            Entry::Occupied(_) => Err(Error::AlreadyExists {
                name: name.clone(),
                registry: self.powers.registry.clone(),
            }),
            Entry::Vacant(place) => {
                *self.made.borrow_mut() += 1;
                place.insert(Kept {
                    description,
                    images: 0,
                    made: *self.made.borrow(),
                });
                Ok(())
            }
        }
    }

    fn set_mutability(&self, kept: &mut Description, mutability: &Mutability) -> Result<()> {
        if self.powers.enforcement == Enforcement::Client {
            return Err(Error::Unsupported {
                registry: self.powers.registry.clone(),
                what: "keep tags from moving".to_owned(),
            });
        }
        self.powers.check_mutability(mutability)?;
        kept.mutability = mutability.clone();
        Ok(())
    }

    fn put_catalog(&self, kept: &mut Description, catalog: &Catalog) -> Result<()> {
        self.powers.check_catalog(catalog)?;
        let logo = catalog.logo.clone().or(kept.catalog.logo.take());
        kept.catalog = Catalog {
            logo,
            ..catalog.clone()
        };
        Ok(())
    }

    fn tag(&self, kept: &mut Description, tags: &BTreeMap<String, String>) -> Result<()> {
        let mut all = kept.resource_tags.clone();
        all.extend(tags.clone());
        self.powers.check_resource_tags(all.iter())?;
        kept.resource_tags = all;
        Ok(())
    }

    fn observed(&self, name: &RepoName, kept: &Kept) -> Observed {
        let mut description = kept.description.clone();
        let logo = description.catalog.logo.take();
        description.catalog.logo = logo.and_then(|logo| match (self.logos, logo.digest()) {
            (LogosAre::Hidden, _) => None,
            (LogosAre::Digests, Some(digest)) => Some(Logo::Digest(digest)),
            _ => Some(Logo::Url(format!("https://logos.invalid/{name}"))),
        });
        Observed {
            name: name.clone(),
            uri: format!("registry.invalid/{name}"),
            arn: Some(format!("arn:aws:memory:::repository/{name}")),
            registry_id: Some("012345678901".to_owned()),
            created_at: Some(format!("2026-11-01T00:00:00.{:09}Z", kept.made)),
            enforcement: self.powers.enforcement,
            description,
            images: Images::Exactly(kept.images),
        }
    }
}

impl Repositories for MemoryRepositories {
    fn powers(&self) -> Powers {
        self.powers.clone()
    }

    fn observe(&self, name: &RepoName) -> Result<Option<Observed>> {
        let kept = self.kept.borrow();
        Ok(kept.get(name).map(|kept| self.observed(name, kept)))
    }

    fn apply(&self, name: &RepoName, change: &Change) -> Result<()> {
        if let Change::Create(description) = change {
            return self.create(name, description);
        }
        let mut all = self.kept.borrow_mut();
        let Some(kept) = all.get_mut(name) else {
            return Err(Error::NotFound {
                name: name.clone(),
                registry: self.powers.registry.clone(),
            });
        };
        let description = &mut kept.description;
        match change {
            Change::Create(_) => {}
            Change::SetMutability(mutability) => self.set_mutability(description, mutability)?,
            Change::PutCatalog(catalog) => self.put_catalog(description, catalog)?,
            Change::Tag(tags) => self.tag(description, tags)?,
            Change::Untag(keys) => description.resource_tags.retain(|key, _| !keys.contains(key)),
            Change::SetPolicy(policy) => {
                self.powers.check_policy(policy)?;
                description.policy = Some(policy.clone());
            }
            Change::DeletePolicy => description.policy = None,
            Change::Delete(Deletion::OnlyEmpty) if kept.images > 0 => {
                return Err(Error::NotEmpty { name: name.clone() });
            }
            Change::Delete(_) => {
                all.remove(name);
            }
        }
        Ok(())
    }
}
