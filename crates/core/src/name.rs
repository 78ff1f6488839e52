//! Names: repositories, tags, hosts and references to them (distribution-spec, "Pulling manifests").

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Digest, InvalidDigest};

/// A name that is refused, and the rule that it breaks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Not a repository name.
    #[error(
        "{0:?} is not a repository name: parts of lower-case letters and digits, joined by '.', '_', '__' or '-', with '/' between them, 255 characters at most"
    )]
    Repository(String),
    /// Not a tag.
    #[error(
        "{0:?} is not a version: letters, digits, '_', '.' and '-', not beginning with '.' or '-', 128 characters at most"
    )]
    Tag(String),
    /// Not a registry host.
    #[error("{0:?} is not a registry host: it must be HOST or HOST:PORT")]
    Host(String),
    /// Not a digest, where a reference has one.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// A reference that names neither version nor digest, where one is needed.
    #[error("{0:?} names no version: write NAME:VERSION")]
    NoVersion(String),
}

fn excerpt(text: &str) -> String {
    text.chars().take(300).collect()
}

macro_rules! text_type {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// The name of a repository: one model line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoName(String);
text_type!(RepoName);

impl RepoName {
    /// The part after the last slash.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for RepoName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.is_empty() && text.len() <= 255 && text.split('/').all(is_path_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::Repository(excerpt(text)))
        }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(part: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let bytes = part.as_bytes();
    let ends_right = |at: Option<&u8>| at.is_some_and(|&byte| alphanumeric(byte));
    if !ends_right(bytes.first()) || !ends_right(bytes.last()) {
        return false;
    }
    bytes
        .split(|&byte| alphanumeric(byte))
        .filter(|separator| !separator.is_empty())
        .all(|separator| {
            matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|&byte| byte == b'-')
        })
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. A version is a tag that is not reserved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);
text_type!(Tag);

impl Tag {
    /// Whether the name belongs to the protocol and is never a version: claims (`c.…`), history entries (`l.…`,
    /// `ledger`) and the fallback tags of referrers (`sha256-…`, `sha512-…`).
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0 == "ledger" || self.0.starts_with("c.") || self.0.starts_with("l.") || self.is_digest_named()
    }

    /// Whether the tag is named after a digest, as the fallback tags of referrers and signatures are: clients
    /// rewrite those, so they are never immutable (distribution-spec, "Referrers Tag Schema").
    #[must_use]
    pub fn is_digest_named(&self) -> bool {
        self.0.starts_with("sha256-") || self.0.starts_with("sha512-")
    }
}

impl FromStr for Tag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = text.as_bytes();
        let first = bytes.first().is_some_and(|&byte| word(byte));
        if first && bytes.len() <= 128 && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName::Tag(excerpt(text)))
        }
    }
}

/// A registry: host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);
text_type!(Host);

impl FromStr for Host {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidName::Host(excerpt(text));
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (text, None),
        };
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let name_is_right = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !name.is_empty()
                    && name.split('.').all(|label| {
                        let bytes = label.as_bytes();
                        !bytes.is_empty()
                            && bytes.len() <= 63
                            && !label.starts_with('-')
                            && !label.ends_with('-')
                            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
                    })
            }
        };
        let port_is_right = port.is_none_or(|port| port.parse::<u16>().is_ok());
        if name_is_right && port_is_right && text.len() <= 255 {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

/// What a reference points at in its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A version or another tag.
    Tag(Tag),
    /// Exactly this manifest.
    Digest(Digest),
}

/// `[HOST/]NAME:VERSION`, `[HOST/]NAME@DIGEST`, or `NAME:VERSION@DIGEST`, which is the digest.
///
/// As docker does, the first part is a host when it holds a dot or a colon or is `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The registry; `None` is the one that the settings name.
    pub host: Option<Host>,
    /// The repository.
    pub name: RepoName,
    /// The version or digest.
    pub target: Target,
}

impl Reference {
    /// The tag, if the reference is by tag.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        match &self.target {
            Target::Tag(tag) => Some(tag),
            Target::Digest(_) => None,
        }
    }

    /// Splits `[HOST/]NAME`.
    ///
    /// # Errors
    /// A host or a name that breaks its rule.
    pub fn split_name(text: &str) -> Result<(Option<Host>, RepoName), InvalidName> {
        match text.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                Ok((Some(first.parse()?), rest.parse()?))
            }
            _ => Ok((None, text.parse()?)),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.parse::<Tag>()?)),
            _ => (rest, None),
        };
        let (host, name) = Self::split_name(name)?;
        let target = match (digest, tag) {
            (Some(digest), _) => Target::Digest(digest),
            (None, Some(tag)) => Target::Tag(tag),
            (None, None) => return Err(InvalidName::NoVersion(excerpt(text))),
        };
        Ok(Self { host, name, target })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        match &self.target {
            Target::Tag(tag) => write!(f, "{}:{tag}", self.name),
            Target::Digest(digest) => write!(f, "{}@{digest}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_specification() {
        for name in ["a", "ml-model-repo", "team/model", "a.b_c__d---e/f0"] {
            assert!(name.parse::<RepoName>().is_ok(), "{name}");
        }
        let long = "a".repeat(256);
        for name in [
            "", "A", "a/", "/a", "a//b", "-a", "a-", "a..b", "a___b", "a._b", "_tags", "a/../b", &long,
        ] {
            assert!(name.parse::<RepoName>().is_err(), "{name}");
        }
    }

    #[test]
    fn tags_follow_the_specification() {
        let longest = "a".repeat(128);
        for tag in ["1.0", "v1", "_x", "1.0.0-rc.1", &longest] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        let long = "a".repeat(129);
        for tag in ["", ".1", "-1", "1/0", "1:0", "1+0", "ü", &long] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
    }

    #[test]
    fn names_of_the_protocol_are_reserved() {
        for tag in [
            "ledger",
            "c.1.0.0.a.00",
            "l.00000001.00",
            "sha256-00",
            "sha512-00",
        ] {
            assert!(tag.parse::<Tag>().unwrap().is_reserved(), "{tag}");
        }
        for tag in ["1.0", "c1", "latest", "ledger2", "sha256"] {
            assert!(!tag.parse::<Tag>().unwrap().is_reserved(), "{tag}");
        }
    }

    #[test]
    fn references_print_what_they_were_parsed_from() {
        let digest = Digest::of(b"x");
        for text in [
            "digits:1.0".to_owned(),
            "team/digits:1.0".to_owned(),
            "public.ecr.aws/alias/digits:1.0".to_owned(),
            "localhost/digits:1.0".to_owned(),
            "127.0.0.1:5000/digits:1.0".to_owned(),
            "[::1]:5000/digits:1.0".to_owned(),
            format!("digits@{digest}"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = Digest::of(b"x");
        let reference: Reference = format!("digits:1.0@{digest}").parse().unwrap();
        assert_eq!(reference.target, Target::Digest(digest));
    }

    #[test]
    fn what_names_no_version_is_no_reference() {
        for text in [
            "digits",
            "localhost:5000/digits",
            "a:b:c",
            "digits@sha256:00",
            "a b:1",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
