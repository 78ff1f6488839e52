use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Tag;

/// Which tags of a repository may move, in the words of Amazon ECR (`imageTagMutability` and
/// `imageTagMutabilityExclusionFilters` of `CreateRepository`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mutability", content = "filters")]
pub enum Mutability {
    /// Every tag may move.
    #[serde(rename = "MUTABLE")]
    Mutable,
    /// No tag may move.
    #[serde(rename = "IMMUTABLE")]
    Immutable,
    /// No tag may move but those that a filter names.
    #[serde(rename = "IMMUTABLE_WITH_EXCLUSION")]
    ImmutableWithExclusion(Vec<TagFilter>),
    /// Every tag may move but those that a filter names.
    #[serde(rename = "MUTABLE_WITH_EXCLUSION")]
    MutableWithExclusion(Vec<TagFilter>),
}

impl Mutability {
    /// Whether `tag` stays what it is once it exists. Tags named after a digest are never held (clients rewrite
    /// them; see [`Tag::is_digest_named`]).
    #[must_use]
    pub fn holds(&self, tag: &Tag) -> bool {
        if tag.is_digest_named() {
            return false;
        }
        let named = |filters: &[TagFilter]| filters.iter().any(|filter| filter.matches(tag.as_str()));
        match self {
            Self::Mutable => false,
            Self::Immutable => true,
            Self::ImmutableWithExclusion(filters) => !named(filters),
            Self::MutableWithExclusion(filters) => named(filters),
        }
    }

    /// The name that AWS gives it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Mutable => "MUTABLE",
            Self::Immutable => "IMMUTABLE",
            Self::ImmutableWithExclusion(_) => "IMMUTABLE_WITH_EXCLUSION",
            Self::MutableWithExclusion(_) => "MUTABLE_WITH_EXCLUSION",
        }
    }

    /// The filters, where there are any.
    #[must_use]
    pub fn filters(&self) -> &[TagFilter] {
        match self {
            Self::Mutable | Self::Immutable => &[],
            Self::ImmutableWithExclusion(filters) | Self::MutableWithExclusion(filters) => filters,
        }
    }
}

/// A wildcard filter: `*` stands for any run of characters (ECR `ImageTagMutabilityExclusionFilter`,
/// `filterType: WILDCARD`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagFilter(String);

/// A filter that AWS would refuse.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a tag filter: letters, digits, '_', '.', '-' and '*', 128 characters at most")]
pub struct InvalidFilter(String);

impl TagFilter {
    /// Whether the whole of `tag` matches.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = tag.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl FromStr for TagFilter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let right = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*".contains(&byte);
        if (1..=128).contains(&text.len()) && text.bytes().all(right) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidFilter(text.chars().take(160).collect()))
        }
    }
}

impl TryFrom<String> for TagFilter {
    type Error = InvalidFilter;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TagFilter> for String {
    fn from(filter: TagFilter) -> Self {
        filter.0
    }
}

impl fmt::Display for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_tags() {
        for (filter, tag, matches) in [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("dev-*", "dev-1", true),
            ("dev-*", "xdev-1", false),
            ("*-rc", "1.0-rc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*bc", "abc", false),
            ("*", "anything", true),
        ] {
            assert_eq!(
                filter.parse::<TagFilter>().unwrap().matches(tag),
                matches,
                "{filter} {tag}"
            );
        }
    }

    #[test]
    fn policies_hold_the_tags_that_they_name() {
        let filters = vec!["dev-*".parse::<TagFilter>().unwrap()];
        let tag = |text: &str| text.parse::<Tag>().unwrap();
        let excluded = Mutability::ImmutableWithExclusion(filters.clone());
        assert!(excluded.holds(&tag("1.0")) && !excluded.holds(&tag("dev-1")));
        let included = Mutability::MutableWithExclusion(filters);
        assert!(!included.holds(&tag("1.0")) && included.holds(&tag("dev-1")));
        let fallback = tag(&format!("sha256-{}", "0".repeat(64)));
        assert!(!Mutability::Immutable.holds(&fallback));
    }

    #[test]
    fn a_policy_is_kept_as_json() {
        let policy = Mutability::ImmutableWithExclusion(vec!["latest".parse().unwrap()]);
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(
            text,
            r#"{"mutability":"IMMUTABLE_WITH_EXCLUSION","filters":["latest"]}"#
        );
        assert_eq!(serde_json::from_str::<Mutability>(&text).unwrap(), policy);
    }
}
