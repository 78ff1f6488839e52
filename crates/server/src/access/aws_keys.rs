//! Access keys in the shape of AWS's: an id that names, and a secret that signs requests.

use super::secret::Secret;
use serde::Deserialize;
use std::str::FromStr;

/// `[[access.aws_key]]`: a key that signs requests to the API of ECR Public.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsKey {
    /// What the client calls `aws_access_key_id`: up to 128 letters, digits and underscores.
    pub id: String,
    /// What the client calls `aws_secret_access_key`.
    pub secret: Secret,
    /// The account that the key acts as, in rules and in histories; the id where it is left out.
    pub account: Option<String>,
}

impl AwsKey {
    /// The account that the key acts as.
    pub fn account(&self) -> &str {
        self.account.as_deref().unwrap_or(&self.id)
    }
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAwsKey {
    /// No colon, or nothing before or behind it.
    #[error("an AWS key is written ID:SECRET")]
    Shape,
    /// The id has other characters.
    #[error("the id of an AWS key has letters, digits and underscores only, 128 at most")]
    Id,
    /// An empty secret.
    #[error("the secret of an AWS key is empty")]
    Secret,
    /// A name that stands for somebody else.
    #[error("the account of an AWS key must have a name other than `*` and `anonymous`")]
    Account,
    /// Two keys have one id.
    #[error("the id of an AWS key is there twice")]
    Twice,
}

impl FromStr for AwsKey {
    type Err = InvalidAwsKey;

    /// Reads `ID:SECRET`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, secret) = text.split_once(':').ok_or(InvalidAwsKey::Shape)?;
        let key = Self {
            id: id.to_owned(),
            secret: Secret::new(secret),
            account: None,
        };
        key.check().map(|()| key)
    }
}

impl AwsKey {
    fn check(&self) -> Result<(), InvalidAwsKey> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !(1..=128).contains(&self.id.len()) || !self.id.bytes().all(word) {
            return Err(InvalidAwsKey::Id);
        }
        if self.secret.expose().is_empty() {
            return Err(InvalidAwsKey::Secret);
        }
        match self.account() {
            "" | "*" | "anonymous" => Err(InvalidAwsKey::Account),
            _ => Ok(()),
        }
    }
}

/// All keys of a server; maybe none.
pub(super) struct AwsKeys(Vec<AwsKey>);

impl AwsKeys {
    pub(super) fn new(keys: &[AwsKey]) -> Result<Self, InvalidAwsKey> {
        for (at, key) in keys.iter().enumerate() {
            key.check()?;
            if keys[..at].iter().any(|other| other.id == key.id) {
                return Err(InvalidAwsKey::Twice);
            }
        }
        Ok(Self(keys.to_vec()))
    }

    pub(super) fn get(&self, id: &str) -> Option<&AwsKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_id_and_secret_and_its_secret_is_not_shown() {
        let key: AwsKey = "AKIDEXAMPLE:wJalr/XUt:nFEMI".parse().unwrap();
        assert_eq!((key.id.as_str(), key.account()), ("AKIDEXAMPLE", "AKIDEXAMPLE"));
        assert_eq!(key.secret.expose(), "wJalr/XUt:nFEMI");
        assert!(!format!("{key:?}").contains("wJalr"));
        for (text, expected) in [
            ("AKID", InvalidAwsKey::Shape),
            (":secret", InvalidAwsKey::Id),
            ("A/B:secret", InvalidAwsKey::Id),
            ("AKID:", InvalidAwsKey::Secret),
        ] {
            assert_eq!(text.parse::<AwsKey>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_id_is_there_once() {
        let key: AwsKey = "A:b".parse().unwrap();
        assert_eq!(
            AwsKeys::new(&[key.clone(), key]).err(),
            Some(InvalidAwsKey::Twice)
        );
    }
}
