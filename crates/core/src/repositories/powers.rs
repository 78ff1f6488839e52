use std::{fmt, ops::RangeInclusive};

use super::{Catalog, Description, Enforcement, Logo};
use crate::{Mutability, RepoName};

/// What a registry can do for a repository, and how much of it. Lengths are in characters unless they say bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Powers {
    /// What to call the registry: `ECR Public`.
    pub registry: String,
    /// Who keeps immutable tags from moving, in a repository that is made here.
    pub enforcement: Enforcement,
    /// Length of a repository's name.
    pub name: RangeInclusive<usize>,
    /// Most filters of a policy of tags. Said of what is declared, wherever it is enforced.
    pub filters: usize,
    /// Catalog data, where the registry has any.
    pub catalog: Option<CatalogLimits>,
    /// Resource tags.
    pub resource_tags: ResourceTagLimits,
    /// Most characters of a repository policy.
    pub policy: usize,
}

/// How much catalog data there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogLimits {
    /// Length of the short text.
    pub description: usize,
    /// Length of the text about the repository, and of that about its use.
    pub text: usize,
    /// Number of architectures, and of operating systems.
    pub items: usize,
    /// Length of each of those; none is empty.
    pub item: usize,
    /// Bytes of the logo.
    pub logo_bytes: usize,
}

/// How many resource tags there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceTagLimits {
    /// Their number.
    pub number: usize,
    /// Length of a key; none is empty.
    pub key: usize,
    /// Length of a value.
    pub value: usize,
}

/// AWS's for every resource ("Tagging AWS resources").
const RESOURCE_TAGS: ResourceTagLimits = ResourceTagLimits {
    number: 50,
    key: 128,
    value: 256,
};

/// `RepositoryCatalogDataInput` in ECR Public's model, API version 2020-10-30.
const CATALOG: CatalogLimits = CatalogLimits {
    description: 1_024,
    text: 25_600,
    items: 50,
    item: 50,
    logo_bytes: 512_000,
};

/// `RepositoryPolicyText` in both models.
const POLICY: usize = 10_240;

impl Powers {
    /// Those of Amazon ECR Public (service model 2020-10-30). It has no property that keeps a tag from moving.
    #[must_use]
    pub fn ecr_public() -> Self {
        Self {
            registry: "ECR Public".to_owned(),
            enforcement: Enforcement::Client,
            name: 2..=205,
            filters: 5,
            catalog: Some(CATALOG),
            resource_tags: RESOURCE_TAGS,
            policy: POLICY,
        }
    }

    /// Those of Amazon ECR (service model 2015-09-21). It has no catalog data.
    #[must_use]
    pub fn ecr() -> Self {
        Self {
            registry: "ECR".to_owned(),
            enforcement: Enforcement::Registry,
            name: 2..=256,
            filters: 5,
            catalog: None,
            resource_tags: RESOURCE_TAGS,
            policy: POLICY,
        }
    }

    /// Those of a store: what ECR Public has, and tags that stay.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            registry: "the store".to_owned(),
            enforcement: Enforcement::Registry,
            name: 1..=255,
            ..Self::ecr_public()
        }
    }

    /// Whether a repository can be this, here. Asks nobody.
    ///
    /// # Errors
    /// The first flaw: the field that is wrong, and the limit that it breaks.
    pub fn check(&self, name: &RepoName, description: &Description) -> Result<(), Flaw> {
        let length = name.as_str().len();
        if !self.name.contains(&length) {
            let (least, most) = (*self.name.start(), *self.name.end());
            return Err(self.flaw("name", Rule::Length { least, most, length }));
        }
        self.check_mutability(&description.mutability)?;
        self.check_catalog(&description.catalog)?;
        self.check_resource_tags(description.resource_tags.iter())?;
        match &description.policy {
            Some(policy) => self.check_policy(policy),
            None => Ok(()),
        }
    }

    /// Whether a policy of tags has as many filters as it may.
    ///
    /// # Errors
    /// As [`Powers::check`].
    pub fn check_mutability(&self, mutability: &Mutability) -> Result<(), Flaw> {
        self.number(
            "image_tag_mutability_exclusion_filters",
            mutability.filters().len(),
            self.filters,
        )
    }

    /// Whether the registry takes this catalog data.
    ///
    /// # Errors
    /// As [`Powers::check`].
    pub fn check_catalog(&self, catalog: &Catalog) -> Result<(), Flaw> {
        let Some(limits) = &self.catalog else {
            if *catalog == Catalog::default() {
                return Ok(());
            }
            return Err(self.flaw("catalog", Rule::Unsupported));
        };
        for (field, text, most) in [
            ("catalog.description", &catalog.description, limits.description),
            ("catalog.about", &catalog.about, limits.text),
            ("catalog.usage", &catalog.usage, limits.text),
        ] {
            self.length(field, text.as_deref().unwrap_or_default(), 0..=most)?;
        }
        for (field, items) in [
            ("catalog.architectures", &catalog.architectures),
            ("catalog.operating_systems", &catalog.operating_systems),
        ] {
            self.number(field, items.len(), limits.items)?;
            for item in items {
                self.length(field, item, 1..=limits.item)?;
            }
        }
        match &catalog.logo {
            Some(Logo::Bytes(bytes)) if bytes.is_empty() || bytes.len() > limits.logo_bytes => {
                let (found, most) = (bytes.len(), limits.logo_bytes);
                Err(self.flaw("catalog.logo", Rule::Bytes { most, found }))
            }
            _ => Ok(()),
        }
    }

    /// Whether the registry takes these resource tags, all that there are to be.
    ///
    /// # Errors
    /// As [`Powers::check`].
    pub fn check_resource_tags<'a>(
        &self,
        tags: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
    ) -> Result<(), Flaw> {
        const FIELD: &str = "resource_tags";
        let limits = self.resource_tags;
        self.number(FIELD, tags.len(), limits.number)?;
        for (key, value) in tags {
            self.length(FIELD, key, 1..=limits.key)?;
            self.length(FIELD, value, 0..=limits.value)?;
            // AWS keeps the prefix for itself, in any case of letters.
            let reserved = key
                .get(..4)
                .is_some_and(|start| start.eq_ignore_ascii_case("aws:"));
            let plain = |text: &str| {
                text.chars()
                    .all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c))
            };
            if reserved || !plain(key) || !plain(value) {
                return Err(self.flaw(FIELD, Rule::ResourceTag(key.clone())));
            }
        }
        Ok(())
    }

    /// Whether the registry takes this repository policy.
    ///
    /// # Errors
    /// As [`Powers::check`].
    pub fn check_policy(&self, policy: &str) -> Result<(), Flaw> {
        self.length("policy", policy, 1..=self.policy)?;
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(policy) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.flaw("policy", Rule::Json(error.to_string()))),
        }
    }

    fn number(&self, field: &'static str, found: usize, most: usize) -> Result<(), Flaw> {
        if found <= most {
            return Ok(());
        }
        Err(self.flaw(field, Rule::Number { most, found }))
    }

    fn length(&self, field: &'static str, text: &str, allowed: RangeInclusive<usize>) -> Result<(), Flaw> {
        let length = text.chars().count();
        if allowed.contains(&length) {
            return Ok(());
        }
        let (least, most) = (*allowed.start(), *allowed.end());
        Err(self.flaw(field, Rule::Length { least, most, length }))
    }

    fn flaw(&self, field: &'static str, rule: Rule) -> Flaw {
        Flaw {
            field,
            registry: self.registry.clone(),
            rule,
        }
    }
}

/// Something that a registry would refuse, found without asking it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule} ({registry})")]
pub struct Flaw {
    /// The field, as `modelkeep.toml` names it.
    pub field: &'static str,
    /// The registry, in words.
    pub registry: String,
    /// The rule that is broken.
    pub rule: Rule,
}

/// A rule that something declared breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Characters of a text.
    Length {
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
        /// What it has.
        length: usize,
    },
    /// Bytes of a file, which is not empty.
    Bytes {
        /// Most.
        most: usize,
        /// What it has.
        found: usize,
    },
    /// Items of a list.
    Number {
        /// Most.
        most: usize,
        /// What it has.
        found: usize,
    },
    /// The key of a resource tag that has other characters than AWS takes, or whose value has, or that is AWS's own.
    ResourceTag(String),
    /// A policy that is no JSON object, and why.
    Json(String),
    /// There is no such thing in the registry.
    Unsupported,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length {
                least: 0,
                most,
                length,
            } => {
                write!(f, "has {length} characters, and {most} are the most")
            }
            Self::Length { least, most, length } => {
                write!(f, "has {length} characters, and must have {least} to {most}")
            }
            Self::Bytes { most, found: 0 } => write!(f, "is empty, and must have 1 to {most} bytes"),
            Self::Bytes { most, found } => write!(f, "has {found} bytes, and {most} are the most"),
            Self::Number { most, found } => write!(f, "has {found} items, and {most} are the most"),
            Self::ResourceTag(key) => write!(
                f,
                "has {key:?}: letters, digits, spaces and + - = . _ : / @ are taken, and keys that do not begin with aws:"
            ),
            Self::Json(reason) => write!(f, "is no JSON object: {reason}"),
            Self::Unsupported => f.write_str("cannot be kept here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(powers: &Powers, change: impl FnOnce(&mut Description)) -> Option<&'static str> {
        let mut description = Description::new(Mutability::Immutable);
        change(&mut description);
        let name = "digits".parse().unwrap();
        powers.check(&name, &description).err().map(|flaw| flaw.field)
    }

    #[test]
    fn every_limit_is_kept_to_the_last_character() {
        let powers = Powers::ecr_public();
        let text = |length: usize| Some("ü".repeat(length));
        type Make = fn(&mut Description, usize, &dyn Fn(usize) -> Option<String>);
        let cases: [(&str, usize, Make); 10] = [
            ("catalog.description", 1_024, |d, n, text| {
                d.catalog.description = text(n)
            }),
            ("catalog.about", 25_600, |d, n, text| d.catalog.about = text(n)),
            ("catalog.usage", 25_600, |d, n, text| d.catalog.usage = text(n)),
            ("catalog.architectures", 50, |d, n, text| {
                d.catalog.architectures = text(n).into_iter().collect();
            }),
            ("catalog.operating_systems", 50, |d, n, _| {
                d.catalog.operating_systems = (0..n).map(|n| n.to_string()).collect();
            }),
            ("catalog.logo", 512_000, |d, n, _| {
                d.catalog.logo = Some(Logo::Bytes(vec![0; n]))
            }),
            ("resource_tags", 50, |d, n, _| {
                d.resource_tags = (0..n).map(|n| (n.to_string(), String::new())).collect();
            }),
            ("resource_tags", 128, |d, n, text| {
                d.resource_tags = text(n).map(|key| (key, String::new())).into_iter().collect();
            }),
            ("resource_tags", 256, |d, n, text| {
                d.resource_tags = text(n)
                    .map(|value| ("key".to_owned(), value))
                    .into_iter()
                    .collect();
            }),
            ("policy", 10_240, |d, n, _| {
                d.policy = Some(format!("{{{}}}", " ".repeat(n - 2)))
            }),
        ];
        for (field, most, make) in cases {
            assert_eq!(flaw(&powers, |d| make(d, most, &text)), None, "{field}");
            assert_eq!(flaw(&powers, |d| make(d, most + 1, &text)), Some(field));
        }
    }

    #[test]
    fn what_a_registry_has_not_is_refused() {
        let described =
            |description: &mut Description| description.catalog.description = Some("x".to_owned());
        assert_eq!(flaw(&Powers::ecr(), described), Some("catalog"));
        assert_eq!(flaw(&Powers::embedded(), described), None);
        for (key, value) in [("aws:x", ""), ("AWS:x", ""), ("a,b", ""), ("a", "<"), ("", "x")] {
            let found = flaw(&Powers::ecr(), |d| {
                d.resource_tags.insert(key.to_owned(), value.to_owned());
            });
            assert_eq!(found, Some("resource_tags"), "{key}={value}");
        }
        for policy in ["", "[]", "{", "{} x"] {
            let found = flaw(&Powers::ecr(), |d| d.policy = Some(policy.to_owned()));
            assert_eq!(found, Some("policy"), "{policy}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_the_registry_takes_it() {
        let description = Description::new(Mutability::Mutable);
        let takes = |powers: Powers, length: usize| {
            let name = "a".repeat(length).parse().unwrap();
            powers.check(&name, &description).is_ok()
        };
        assert!(!takes(Powers::ecr_public(), 1) && takes(Powers::ecr_public(), 205));
        assert!(!takes(Powers::ecr_public(), 206) && takes(Powers::ecr(), 206));
        assert!(takes(Powers::embedded(), 1) && takes(Powers::embedded(), 255));
    }

    #[test]
    fn a_sixth_filter_is_one_too_many() {
        let filters = |number: usize| {
            let filters = (0..number).map(|n| format!("{n}-*").parse().unwrap());
            Mutability::ImmutableWithExclusion(filters.collect())
        };
        assert_eq!(flaw(&Powers::ecr(), |d| d.mutability = filters(5)), None);
        let error = Powers::ecr().check_mutability(&filters(6)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "image_tag_mutability_exclusion_filters has 6 items, and 5 are the most (ECR)"
        );
    }
}
