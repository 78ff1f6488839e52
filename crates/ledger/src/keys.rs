//! Who may add to a history.

use std::{collections::BTreeSet, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use modelkeep_core::Tag;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::signing::{KeyId, PublicKey, SignError, Signer};

/// Most keys of a history.
const MOST_KEYS: usize = 100;

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, but a change of the recovery keys where there are any.
    Publisher,
    /// Changes of keys, and nothing else: it lies elsewhere, for the day on which the others are lost.
    Recovery,
}

/// A key that a history lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedKey {
    /// The key: in JSON its SubjectPublicKeyInfo (RFC 5480) in DER and Base64.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub key: PublicKey,
    /// What it may sign.
    pub role: Role,
    /// Whose it is, as whoever listed it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

fn to_base64<S: Serializer>(key: &PublicKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(key.to_der()))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    let der = BASE64.decode(text).map_err(D::Error::custom)?;
    PublicKey::from_der(&der).map_err(D::Error::custom)
}

/// The keys of a history. A history without keys takes entries from anybody who may write where it lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    listed: Vec<ListedKey>,
}

/// Why a list of keys is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// Nobody could publish.
    #[error("no key in it may publish")]
    NoPublisher,
    /// A key is in it twice.
    #[error("key {0} is in it twice")]
    Twice(KeyId),
    /// Too many.
    #[error("it has {0} keys, and {MOST_KEYS} are the most")]
    Many(usize),
}

/// Why somebody may not add to a history.
#[derive(Debug, thiserror::Error)]
pub enum Unauthorized {
    /// The history is signed, and no key is at hand.
    #[error("the history is signed: whoever adds to it needs one of its keys")]
    NoKey,
    /// The history does not list the key.
    #[error("the history does not list the key {0}")]
    NotListed(KeyId),
    /// The history lists no key that is called so in bundles.
    #[error("the history does not list the key with the hint {0:?}")]
    UnknownHint(String),
    /// The key changes keys and nothing else.
    #[error("{0} is a recovery key: it changes the keys of the history, and signs nothing else")]
    Recovery(KeyId),
    /// Recovery keys are changed by a recovery key.
    #[error("{0} is no recovery key: the recovery keys of the history are changed by one of them")]
    NoRecovery(KeyId),
    /// The keys are not those any more that were to be changed.
    #[error("somebody else has changed the keys of the history meanwhile")]
    Changed,
    /// The keys that the history should have.
    #[error("that is no list of keys")]
    Keys(#[from] InvalidKeys),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Keys {
    /// The list, if it is one.
    ///
    /// # Errors
    /// See [`InvalidKeys`].
    pub fn new(listed: Vec<ListedKey>) -> Result<Self, InvalidKeys> {
        if listed.len() > MOST_KEYS {
            return Err(InvalidKeys::Many(listed.len()));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = listed.iter().find(|listed| !seen.insert(listed.key.id())) {
            return Err(InvalidKeys::Twice(twice.key.id().clone()));
        }
        match listed.iter().any(|listed| listed.role == Role::Publisher) {
            true => Ok(Self { listed }),
            false => Err(InvalidKeys::NoPublisher),
        }
    }

    /// Whether there are none: the history is not signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The keys, in the order in which they were listed.
    #[must_use]
    pub fn listed(&self) -> &[ListedKey] {
        &self.listed
    }

    /// The key of this identity.
    #[must_use]
    pub fn find(&self, id: &KeyId) -> Option<&ListedKey> {
        self.listed.iter().find(|listed| listed.key.id() == id)
    }

    fn recovery(&self) -> BTreeSet<&KeyId> {
        let recovery = self.listed.iter().filter(|listed| listed.role == Role::Recovery);
        recovery.map(|listed| listed.key.id()).collect()
    }

    /// Whether `signer` may add an entry that leaves the history with `after`, or with the keys that it has.
    ///
    /// # Errors
    /// See [`Unauthorized`].
    pub fn allow(&self, signer: &KeyId, after: Option<&Keys>) -> Result<(), Unauthorized> {
        let listed = match (self.is_empty(), after) {
            // Whoever signs first lists the keys, and is one of them.
            (true, Some(founding)) => founding.find(signer),
            _ => self.find(signer),
        };
        let listed = listed.ok_or_else(|| Unauthorized::NotListed(signer.clone()))?;
        match (listed.role, after) {
            (Role::Recovery, None) => Err(Unauthorized::Recovery(signer.clone())),
            (Role::Recovery, Some(_)) if self.is_empty() => Err(Unauthorized::Recovery(signer.clone())),
            (Role::Publisher, Some(after))
                if !self.recovery().is_empty() && self.recovery() != after.recovery() =>
            {
                Err(Unauthorized::NoRecovery(signer.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Which histories a key founds that have no keys yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Founds {
    /// Any, from the next entry on: the key was chosen for what is being done.
    Any,
    /// One that has no entry. A history that others add to without signing is left to them: a key that lies ready for
    /// everything would lock them out.
    New,
}

/// A key at hand, and the keys that a history gets which has none yet.
#[derive(Clone)]
pub struct Seal {
    signer: Arc<dyn Signer + Send + Sync>,
    founding: Keys,
    founds: Founds,
}

impl Seal {
    /// `beside` are the keys that a history founded with `signer` lists besides it: a recovery key, or none.
    ///
    /// # Errors
    /// See [`InvalidKeys`].
    pub fn new(
        signer: Arc<dyn Signer + Send + Sync>,
        name: Option<String>,
        beside: Vec<ListedKey>,
        founds: Founds,
    ) -> Result<Self, InvalidKeys> {
        let own = ListedKey {
            key: signer.public().clone(),
            role: Role::Publisher,
            name,
        };
        let founding = Keys::new([own].into_iter().chain(beside).collect())?;
        Ok(Self {
            signer,
            founding,
            founds,
        })
    }

    /// Who signs.
    #[must_use]
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// Which histories without keys are founded with it.
    #[must_use]
    pub fn founds(&self) -> Founds {
        self.founds
    }

    /// The keys of a history that this seal founds.
    #[must_use]
    pub fn founding(&self) -> &Keys {
        &self.founding
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({})", self.signer.public().id())
    }
}

/// The name that entries have which are about the history itself, not about a version.
pub(crate) fn history_name() -> Tag {
    // Reserved: no version and no alias can have it.
    "ledger".parse().expect("letters are a tag")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::PrivateKey;

    fn listed(role: Role) -> ListedKey {
        ListedKey {
            key: PrivateKey::generate().public().clone(),
            role,
            name: None,
        }
    }

    #[test]
    fn a_list_has_a_publisher_and_each_key_once() {
        let (a, r) = (listed(Role::Publisher), listed(Role::Recovery));
        assert!(Keys::new(vec![a.clone(), r.clone()]).is_ok());
        assert_eq!(Keys::new(vec![r]), Err(InvalidKeys::NoPublisher));
        let id = a.key.id().clone();
        assert_eq!(Keys::new(vec![a.clone(), a.clone()]), Err(InvalidKeys::Twice(id)));
        assert_eq!(Keys::new(vec![a; 101]), Err(InvalidKeys::Many(101)));
    }

    #[test]
    fn each_key_signs_what_its_role_lets_it() {
        let (a, b) = (listed(Role::Publisher), listed(Role::Publisher));
        let (r, s) = (listed(Role::Recovery), listed(Role::Recovery));
        let keys = |listed: &[&ListedKey]| Keys::new(listed.iter().copied().cloned().collect()).unwrap();
        let now = keys(&[&a, &r]);
        let id = |listed: &ListedKey| listed.key.id().clone();
        assert!(now.allow(&id(&a), None).is_ok());
        assert!(now.allow(&id(&a), Some(&keys(&[&a, &b, &r]))).is_ok());
        assert!(now.allow(&id(&r), Some(&keys(&[&b, &s]))).is_ok());
        assert!(matches!(now.allow(&id(&r), None), Err(Unauthorized::Recovery(_))));
        assert!(matches!(
            now.allow(&id(&a), Some(&keys(&[&a]))),
            Err(Unauthorized::NoRecovery(_))
        ));
        // A key does not list itself.
        for after in [None, Some(&keys(&[&a, &b, &r]))] {
            assert!(matches!(
                now.allow(&id(&b), after),
                Err(Unauthorized::NotListed(_))
            ));
        }
        let none = Keys::default();
        assert!(none.allow(&id(&a), Some(&now)).is_ok());
        assert!(matches!(
            none.allow(&id(&a), None),
            Err(Unauthorized::NotListed(_))
        ));
        assert!(matches!(
            none.allow(&id(&r), Some(&now)),
            Err(Unauthorized::Recovery(_))
        ));
    }

    #[test]
    fn a_key_comes_back_from_json() {
        let key = ListedKey {
            name: Some("Ada".to_owned()),
            ..listed(Role::Recovery)
        };
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<ListedKey>(&text).unwrap(), key);
        let broken = text.replace("\"key\":\"M", "\"key\":\"N");
        assert!(serde_json::from_str::<ListedKey>(&broken).is_err());
    }
}
