//! Tokens: what they say, signed with the store's key.
//!
//! `mk1.<claims>.<tag>`: claims are JSON, the tag is HMAC-SHA256 over what stands before it, both in
//! base64url. There is one algorithm, so a token cannot name another.

use super::mac::{Mac, random};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "mk1";

/// Why the key of tokens cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot use token key {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not a key.
    #[error("token key {path} is not 64 hexadecimal digits")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the file.
    #[error("token key {path} can be read by others: its mode must be 0600")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

/// The key that signs tokens. Servers of one store share it.
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// Reads the key at `path`, or makes a random one there (mode 0600) if there is none. Of several
    /// processes that do so at once, all get the same key.
    ///
    /// # Errors
    /// When the file cannot be read or made, is no key, or may be read by others.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io {
            path: path.to_owned(),
            source,
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
                return Err(KeyError::Exposed {
                    path: path.to_owned(),
                });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path).map_err(io)?,
            Err(error) => return Err(io(error)),
        }
        let text = fs::read_to_string(path).map_err(io)?;
        from_hex(text.trim_end())
            .map(Self)
            .ok_or_else(|| KeyError::Malformed {
                path: path.to_owned(),
            })
    }

    /// Written aside and then linked: nobody ever sees half a key, and the first one stays.
    fn create(path: &Path) -> io::Result<()> {
        let key: [u8; 32] = random()?;
        let name: [u8; 8] = random()?;
        let aside = path.with_extension(to_hex(&name));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(format!("{}\n", to_hex(&key)).as_bytes())?;
            file.sync_all()?;
            match fs::hard_link(&aside, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        })();
        fs::remove_file(&aside).or_else(|error| if written.is_err() { Ok(()) } else { Err(error) })?;
        written
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let json = serde_json::to_vec(claims).expect("claims are strings and numbers");
        let text = format!("{PREFIX}.{}", URL_SAFE_NO_PAD.encode(json));
        let tag = Mac::new(&self.0).field(text.as_bytes()).finish();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// The claims of a token that this key signed and that is valid at `now` (Unix seconds).
    pub(crate) fn read(&self, token: &str, kind: Kind, now: u64) -> Result<Claims, TokenFault> {
        let (text, tag) = token.rsplit_once('.').ok_or(TokenFault::Invalid)?;
        let tag = URL_SAFE_NO_PAD
            .decode(tag)
            .ok()
            .and_then(|tag| <[u8; 32]>::try_from(tag).ok());
        let tag = tag.ok_or(TokenFault::Invalid)?;
        if !Mac::equal(&tag, &Mac::new(&self.0).field(text.as_bytes()).finish()) {
            return Err(TokenFault::Invalid);
        }
        let (prefix, claims) = text.split_once('.').ok_or(TokenFault::Invalid)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenFault::Invalid)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenFault::Invalid)?;
        if prefix != PREFIX || claims.kind != kind {
            return Err(TokenFault::Invalid);
        }
        if now >= claims.expires {
            return Err(TokenFault::Expired);
        }
        Ok(claims)
    }

    /// A short trace of a password's hash: a token that carries it ends when the password changes.
    pub(crate) fn stamp(&self, stored: &str) -> String {
        let tag = Mac::new(&self.0)
            .field(b"stamp")
            .field(stored.as_bytes())
            .finish();
        URL_SAFE_NO_PAD.encode(&tag[..9])
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(***)")
    }
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    Invalid,
    Expired,
}

/// What a token is good for: requests, getting another token, or a password for docker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[serde(rename = "a")]
    Access,
    #[serde(rename = "r")]
    Refresh,
    #[serde(rename = "l")]
    Login,
}

/// What a token says. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(rename = "k")]
    pub(crate) kind: Kind,
    /// The account, or the key that it signs with, and the stamp of its password or secret; none for an anonymous
    /// token.
    #[serde(rename = "s")]
    pub(crate) account: Option<(String, String)>,
    #[serde(rename = "c")]
    pub(crate) scopes: Vec<String>,
    #[serde(rename = "i")]
    pub(crate) issued: u64,
    #[serde(rename = "e")]
    pub(crate) expires: u64,
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            kind: Kind::Access,
            account: Some(("ada".into(), "stamp".into())),
            scopes: vec!["repository:a:pull".into()],
            issued: 100,
            expires: 200,
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let key = TokenKey([7; 32]);
        let token = key.sign(&claims());
        assert_eq!(key.read(&token, Kind::Access, 199), Ok(claims()));
        assert_eq!(key.read(&token, Kind::Access, 200), Err(TokenFault::Expired));
        assert_eq!(key.read(&token, Kind::Refresh, 199), Err(TokenFault::Invalid));
    }

    #[test]
    fn a_token_of_another_key_is_refused() {
        let token = TokenKey([8; 32]).sign(&claims());
        assert_eq!(
            TokenKey([7; 32]).read(&token, Kind::Access, 150),
            Err(TokenFault::Invalid)
        );
    }

    #[test]
    fn a_token_with_any_byte_changed_or_missing_is_refused() {
        let key = TokenKey([7; 32]);
        let token = key.sign(&claims());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(key.read(&changed, Kind::Access, 150).is_err(), "byte {at}");
            assert!(key.read(&token[..at], Kind::Access, 150).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn processes_that_start_together_get_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| TokenKey::open(&path).unwrap().0))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "nothing is left aside"
        );
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        fs::write(&path, "short\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(TokenKey::open(&path), Err(KeyError::Malformed { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(TokenKey::open(&path), Err(KeyError::Exposed { .. })));
    }
}
