use std::fmt;

use modelkeep_core::{Host, RepoName};

/// Where versions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registry {
    Embedded,
    EcrPublic,
    Ecr,
    Host { host: Host, prefix: Option<RepoName> },
}

impl Registry {
    pub(crate) fn parse(text: &str) -> Result<Self, modelkeep_core::InvalidName> {
        Ok(match text {
            "embedded" => Self::Embedded,
            "ecr-public" => Self::EcrPublic,
            "ecr" => Self::Ecr,
            _ => {
                let (host, prefix) = match text.split_once('/') {
                    Some((host, prefix)) => (host, Some(prefix.parse()?)),
                    None => (text, None),
                };
                Self::Host {
                    host: host.parse()?,
                    prefix,
                }
            }
        })
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::EcrPublic => f.write_str("ecr-public"),
            Self::Ecr => f.write_str("ecr"),
            Self::Host { host, prefix: None } => write!(f, "{host}"),
            Self::Host {
                host,
                prefix: Some(prefix),
            } => write!(f, "{host}/{prefix}"),
        }
    }
}
