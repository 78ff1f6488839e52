//! `[access]` of the settings file.

use super::aws_keys::AwsKey;
use super::rules::Rule;
use serde::Deserialize;
use std::path::PathBuf;

/// How a client is told to prove itself. Basic credentials are accepted either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By a token from the token endpoint.
    #[default]
    Bearer,
    /// By name and password with each request.
    Basic,
}

/// Who may do what. Without `htpasswd` and keys there are no accounts: then the server listens on loopback
/// only and everybody there may do everything.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// File of accounts, one `name:hash` a line, bcrypt or argon2.
    pub htpasswd: Option<PathBuf>,
    /// Keys that sign requests to the API of ECR Public, and the accounts that they act as.
    #[serde(rename = "aws_key")]
    pub aws_keys: Vec<AwsKey>,
    /// Whether everybody may pull without credentials.
    pub anonymous_pull: bool,
    /// What a 401 asks for.
    pub mode: Mode,
    /// The name of this service in challenges.
    pub service: String,
    /// Where clients reach the server, as `https://host[:port]`; needed behind a proxy that ends TLS.
    /// Without it the request's `Host` says.
    pub public_url: Option<String>,
    /// How long a token is valid; at least 60.
    pub token_seconds: u32,
    /// How long a refresh token is valid.
    pub refresh_days: u32,
    /// Leave given; if none is, every account may pull, push and list.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
    /// Requests per client address; off if left out.
    pub rate: Option<RateConfig>,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            htpasswd: None,
            aws_keys: Vec::new(),
            anonymous_pull: false,
            mode: Mode::Bearer,
            service: "modelkeep".to_owned(),
            public_url: None,
            token_seconds: 1800,
            refresh_days: 30,
            rules: Vec::new(),
            rate: None,
        }
    }
}

impl AccessConfig {
    /// Whether anybody can prove who they are: see [`check_listen`](super::check_listen).
    pub fn has_accounts(&self) -> bool {
        self.htpasswd.is_some() || !self.aws_keys.is_empty()
    }
}

/// `[access.rate]`: a bucket of requests per client address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    /// Requests a second in the long run; at least 1.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Action, Pattern, Subject};
    use super::*;

    #[test]
    fn settings_are_read_from_toml() {
        let config: AccessConfig = toml::from_str(
            r#"
            htpasswd = "/etc/modelkeep/htpasswd"
            anonymous_pull = true
            mode = "basic"
            [rate]
            per_second = 50
            burst = 200
            [[rule]]
            who = "ci"
            repositories = "team/*"
            actions = ["pull", "push"]
            [[rule]]
            who = "anonymous"
            actions = ["pull"]
            "#,
        )
        .unwrap();
        assert_eq!(config.mode, Mode::Basic);
        assert_eq!(
            config.rate,
            Some(RateConfig {
                per_second: 50,
                burst: 200
            })
        );
        assert_eq!(config.rules[0].who, Subject::Account("ci".into()));
        assert_eq!(config.rules[0].actions, [Action::Pull, Action::Push]);
        assert_eq!(config.rules[1].who, Subject::Anonymous);
        assert_eq!(config.rules[1].repositories, Pattern::new("*"));
        assert!(toml::from_str::<AccessConfig>("htpaswd = \"typo\"").is_err());
    }
}
