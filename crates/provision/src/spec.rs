use std::collections::BTreeMap;

use modelkeep_core::{
    Mutability, RepoName, Tag, TagFilter,
    repositories::{Catalog, Description, Enforcement, Flaw, Powers},
};

use crate::{LOGO_TAG, OWNER, OWNER_TAG};

/// What begins the keys of resource tags that are Modelkeep's own.
const RESERVED: &str = "dev.modelkeep.";

/// A repository as its file declares it.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// Its name.
    pub name: RepoName,
    /// Which tags may move, but for aliases.
    pub mutability: Mutability,
    /// Names that move from version to version, whatever the policy says of the others.
    pub aliases: Vec<Tag>,
    /// What the gallery shows.
    pub catalog: Catalog,
    /// AWS's resource tags: all that there are to be, but for Modelkeep's own.
    pub resource_tags: BTreeMap<String, String>,
    /// The repository policy, a JSON text.
    pub policy: Option<String>,
    /// Whoever must enforce what is immutable.
    pub require_enforcement: Option<Enforcement>,
}

/// Something declared that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The registry would refuse it.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// Aliases need more filters than there may be.
    #[error(
        "aliases need {needed} exclusion filters beside the {filters} that there are, and {registry} takes {most}"
    )]
    Aliases {
        /// Filters that are declared.
        filters: usize,
        /// Filters that the aliases need.
        needed: usize,
        /// Most that there may be.
        most: usize,
        /// The registry, in words.
        registry: String,
    },
    /// An alias that would be immutable.
    #[error("alias {alias} matches the exclusion filter {filter}, which makes it immutable")]
    HeldAlias {
        /// The alias.
        alias: Tag,
        /// The filter of a `MUTABLE_WITH_EXCLUSION`.
        filter: TagFilter,
    },
    /// A resource tag that is Modelkeep's own.
    #[error("resource_tags has {0:?}: keys that begin with {RESERVED:?} are Modelkeep's own")]
    ReservedTag(String),
    /// Nobody would enforce what has to be enforced.
    #[error(
        "require_enforcement is \"registry\", and {registry} lets every client move every tag: there it is enforced by {found}"
    )]
    Enforcement {
        /// The registry, in words.
        registry: String,
        /// Who enforces it.
        found: Enforcement,
    },
}

/// What a repository is to be in one registry. Everything in it is within the registry's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: RepoName,
    /// What it is to be, with Modelkeep's own resource tags.
    pub description: Description,
    /// What the registry can do.
    pub powers: Powers,
}

impl Declaration {
    /// A repository of which nothing is said but the name: its tags stay.
    #[must_use]
    pub fn new(name: RepoName) -> Self {
        Self {
            name,
            mutability: Mutability::Immutable,
            aliases: Vec::new(),
            catalog: Catalog::default(),
            resource_tags: BTreeMap::new(),
            policy: None,
            require_enforcement: None,
        }
    }

    /// What follows from it for a registry with these powers. Asks nobody.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn wanted(&self, powers: &Powers) -> Result<Wanted, Mistake> {
        if self.require_enforcement == Some(Enforcement::Registry)
            && powers.enforcement != Enforcement::Registry
        {
            return Err(Mistake::Enforcement {
                registry: powers.registry.clone(),
                found: powers.enforcement,
            });
        }
        let mutability = with_aliases(&self.mutability, &self.aliases)?;
        // What the aliases added has an error of its own: the file has no such filters.
        powers.check_mutability(&self.mutability)?;
        let (filters, all) = (self.mutability.filters().len(), mutability.filters().len());
        if all > powers.filters {
            return Err(Mistake::Aliases {
                filters,
                needed: all - filters,
                most: powers.filters,
                registry: powers.registry.clone(),
            });
        }
        if let Some(key) = self.resource_tags.keys().find(|key| key.starts_with(RESERVED)) {
            return Err(Mistake::ReservedTag(key.clone()));
        }
        let mut resource_tags = self.resource_tags.clone();
        resource_tags.insert(OWNER_TAG.to_owned(), OWNER.to_owned());
        if let Some(digest) = self.catalog.logo.as_ref().and_then(|logo| logo.digest()) {
            resource_tags.insert(LOGO_TAG.to_owned(), digest.to_string());
        }
        let description = Description {
            mutability,
            catalog: self.catalog.clone(),
            resource_tags,
            policy: self.policy.clone(),
        };
        powers.check(&self.name, &description)?;
        Ok(Wanted {
            name: self.name.clone(),
            description,
            powers: powers.clone(),
        })
    }
}

/// The policy of tags in which aliases move too: each alias that nothing lets move yet becomes a filter of its own.
///
/// # Errors
/// [`Mistake::HeldAlias`].
pub fn with_aliases(mutability: &Mutability, aliases: &[Tag]) -> Result<Mutability, Mistake> {
    let mut filters = match mutability {
        Mutability::Mutable => return Ok(Mutability::Mutable),
        Mutability::MutableWithExclusion(filters) => {
            for alias in aliases {
                if let Some(filter) = filters.iter().find(|filter| filter.matches(alias.as_str())) {
                    return Err(Mistake::HeldAlias {
                        alias: alias.clone(),
                        filter: filter.clone(),
                    });
                }
            }
            return Ok(mutability.clone());
        }
        Mutability::Immutable => Vec::new(),
        Mutability::ImmutableWithExclusion(filters) => filters.clone(),
    };
    for alias in aliases {
        if !filters.iter().any(|filter| filter.matches(alias.as_str())) {
            // Every character of a tag is one that a filter may have.
            filters.extend(alias.as_str().parse::<TagFilter>());
        }
    }
    Ok(if filters.is_empty() {
        Mutability::Immutable
    } else {
        Mutability::ImmutableWithExclusion(filters)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Vec<Tag> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn filters(names: &[&str]) -> Vec<TagFilter> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn aliases_become_filters_unless_one_lets_them_move_already() {
        let excluded = |names| Mutability::ImmutableWithExclusion(filters(names));
        for (mutability, aliases, expected) in [
            (Mutability::Immutable, &[][..], Mutability::Immutable),
            (
                Mutability::Immutable,
                &["latest", "production", "latest"],
                excluded(&["latest", "production"]),
            ),
            (
                excluded(&["dev-*"]),
                &["dev-1", "latest"],
                excluded(&["dev-*", "latest"]),
            ),
            (Mutability::Mutable, &["latest"], Mutability::Mutable),
            (
                Mutability::MutableWithExclusion(filters(&["v*"])),
                &["latest"],
                Mutability::MutableWithExclusion(filters(&["v*"])),
            ),
        ] {
            assert_eq!(with_aliases(&mutability, &tags(aliases)), Ok(expected));
        }
        let error = with_aliases(
            &Mutability::MutableWithExclusion(filters(&["v*"])),
            &tags(&["vision"]),
        );
        assert!(matches!(error, Err(Mistake::HeldAlias { .. })));
    }

    #[test]
    fn mistakes_are_found_without_asking_anybody() {
        let mistake = |powers: &Powers, change: &dyn Fn(&mut Declaration)| {
            let mut declaration = Declaration::new("digits".parse().unwrap());
            change(&mut declaration);
            declaration
                .wanted(powers)
                .err()
                .map(|mistake| mistake.to_string())
        };
        let (ecr, public) = (Powers::ecr(), Powers::ecr_public());
        assert_eq!(
            mistake(&ecr, &|d| d.aliases = tags(&["a", "b", "c", "d", "e"])),
            None
        );
        let error = mistake(&ecr, &|d| d.aliases = tags(&["a", "b", "c", "d", "e", "f"])).unwrap();
        assert!(
            error.contains("need 6 exclusion filters") && error.contains("takes 5"),
            "{error}"
        );
        let require = |d: &mut Declaration| d.require_enforcement = Some(Enforcement::Registry);
        assert_eq!(mistake(&ecr, &require), None);
        assert!(mistake(&public, &require).unwrap().contains("enforced by client"));
        let reserved = |d: &mut Declaration| {
            d.resource_tags.insert(OWNER_TAG.to_owned(), "me".to_owned());
        };
        assert!(mistake(&ecr, &reserved).unwrap().contains("Modelkeep's own"));
        // Our own tags count.
        let many = |number: usize| {
            move |d: &mut Declaration| {
                d.resource_tags = (0..number).map(|n| (n.to_string(), String::new())).collect();
            }
        };
        assert_eq!(mistake(&ecr, &many(49)), None);
        assert!(
            mistake(&ecr, &many(50))
                .unwrap()
                .contains("resource_tags has 51 items")
        );
    }
}
