//! The settings file of a server. `docs/reference/serve.md` describes it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use modelkeep_core::Mutability;
use serde::Deserialize;

use crate::{access::AccessConfig, http::Limits};

/// All settings of a server; each has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// Where to listen; port 0 is a free one.
    pub listen: SocketAddr,
    /// Certificate and key; without them it is plain HTTP.
    pub tls: Option<TlsConfig>,
    /// What becomes of a push to a repository that is not there.
    pub create_repositories: CreateRepositories,
    /// Who may do what.
    pub access: AccessConfig,
    /// What keeps one client from costing more than its share.
    pub limits: Limits,
    /// When what nothing needs is removed.
    pub gc: GcConfig,
    /// What the disk is to be spared.
    pub storage: StorageConfig,
    /// How the server appears to clients of ECR Public.
    pub ecr_public: EcrPublicConfig,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            tls: None,
            create_repositories: CreateRepositories::default(),
            access: AccessConfig::default(),
            limits: Limits::default(),
            gc: GcConfig::default(),
            storage: StorageConfig::default(),
            ecr_public: EcrPublicConfig::default(),
        }
    }
}

/// `[tls]`: two files in PEM, looked at again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate, and those that vouch for it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What becomes of a push to a repository that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum CreateRepositories {
    /// It is made, and none of its tags ever moves.
    #[default]
    #[serde(rename = "IMMUTABLE")]
    Immutable,
    /// It is made, and its tags may move.
    #[serde(rename = "MUTABLE")]
    Mutable,
    /// The push is refused.
    #[serde(rename = "never")]
    Never,
}

impl CreateRepositories {
    /// The policy of a new repository, if one may be made.
    pub(crate) fn mutability(self) -> Option<Mutability> {
        match self {
            Self::Immutable => Some(Mutability::Immutable),
            Self::Mutable => Some(Mutability::Mutable),
            Self::Never => None,
        }
    }
}

/// `[gc]`: the collection that a server makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcConfig {
    /// Hours between two collections; 0 is none.
    pub every_hours: u32,
    /// Hours that something must have lain unneeded; at least 1.
    pub grace_hours: u32,
}

impl Default for GcConfig {
    fn default() -> Self {
        Self {
            every_hours: 24,
            grace_hours: 24,
        }
    }
}

impl GcConfig {
    pub(crate) fn every(self) -> Option<Duration> {
        (self.every_hours > 0).then(|| hours(self.every_hours))
    }

    pub(crate) fn grace(self) -> Duration {
        hours(self.grace_hours.max(1))
    }
}

fn hours(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 3600)
}

/// `[storage]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Mebibytes of the disk that uploads leave free, so that tags and history can still be written.
    pub headroom_mebibytes: u32,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            headroom_mebibytes: 256,
        }
    }
}

impl StorageConfig {
    pub(crate) fn headroom_bytes(self) -> u64 {
        u64::from(self.headroom_mebibytes) << 20
    }
}

/// `[ecr_public]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EcrPublicConfig {
    /// The account that ARNs and answers name.
    pub registry_id: RegistryId,
}

/// An account id of AWS: 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RegistryId(String);

/// A text that is no account id.
#[derive(Debug, thiserror::Error)]
#[error("an account id has 12 digits")]
pub struct InvalidRegistryId;

impl RegistryId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RegistryId {
    fn default() -> Self {
        Self("000000000000".to_owned())
    }
}

impl TryFrom<String> for RegistryId {
    type Error = InvalidRegistryId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text))
        } else {
            Err(InvalidRegistryId)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_toml_and_typing_errors_are_refused() {
        let config: ServeConfig = toml::from_str(
            r#"
            listen = "0.0.0.0:5443"
            create_repositories = "never"
            [tls]
            certificate = "cert.pem"
            key = "key.pem"
            [gc]
            every_hours = 0
            [limits]
            connections = 64
            [access]
            htpasswd = "htpasswd"
            "#,
        )
        .unwrap();
        assert_eq!(config.create_repositories.mutability(), None);
        assert_eq!(config.gc.every(), None);
        assert_eq!(config.gc.grace(), Duration::from_secs(86_400));
        assert_eq!(config.limits.connections, 64);
        assert!(toml::from_str::<ServeConfig>("lisen = \"127.0.0.1:1\"").is_err());
        assert!(toml::from_str::<ServeConfig>("create_repositories = \"mutable\"").is_err());
    }
}
