//! Content digests (OCI image-spec, `descriptor.md`, "Digests").

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::sha256::Sha256;

/// The algorithms that the OCI image specification registers and that registries use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `sha256`: what every client writes.
    Sha256,
    /// `sha512`: allowed by the specification, seldom used.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of a digest in hexadecimal digits.
    #[must_use]
    pub fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A digest: `sha256:` or `sha512:` and lower-case hexadecimal digits of the right length, and nothing else, so
/// that it can be part of a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(bytes);
        Self::from_sha256(hasher.finish())
    }

    /// The digest of `bytes` by `algorithm`.
    #[must_use]
    pub fn of_with(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish().digest
    }

    /// The digest whose SHA-256 bytes are given.
    #[must_use]
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            hex: hex(&bytes),
        }
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits, all of them.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The bytes that the digits stand for.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        };
        self.hex
            .as_bytes()
            .chunks_exact(2)
            .map(|pair| value(pair[0]) << 4 | value(pair[1]))
            .collect()
    }

    /// The first twelve digits, as docker shows them; for people, never for machines.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

/// Lower-case hexadecimal digits of `bytes`.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the machinery of formatting: each answer of a server says a digest or two.
        f.write_str(self.algorithm.as_str())?;
        f.write_str(":")?;
        f.write_str(&self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is not a digest: it must be sha256: and 64, or sha512: and 128, lower-case hexadecimal digits"
)]
pub struct InvalidDigest {
    text: String,
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDigest {
            text: text.chars().take(160).collect(),
        };
        let (algorithm, hex) = match text.split_once(':').ok_or_else(invalid)? {
            ("sha256", hex) => (Algorithm::Sha256, hex),
            ("sha512", hex) => (Algorithm::Sha512, hex),
            _ => return Err(invalid()),
        };
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != algorithm.hex_length() || !hex.bytes().all(digits) {
            return Err(invalid());
        }
        Ok(Self {
            algorithm,
            hex: hex.to_owned(),
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The digest and length of bytes that have been hashed. Only a hasher makes one, so a
/// sink that takes it knows that somebody hashed what was sent, and need not hash again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    digest: Digest,
    size: u64,
}

impl Hashed {
    /// What a finished stream was.
    #[must_use]
    pub fn from_sha256(hasher: Sha256) -> Self {
        let size = hasher.length();
        Self {
            digest: Digest::from_sha256(hasher.finish()),
            size,
        }
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Number of bytes hashed.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// A running digest by either algorithm.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512 { hasher: Box<sha2::Sha512>, size: u64 },
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512 {
                hasher: Box::default(),
                size: 0,
            },
        })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha512 { hasher, size } => {
                hasher.update(bytes);
                *size += bytes.len() as u64;
            }
        }
    }

    /// The digest of all that was taken.
    #[must_use]
    pub fn finish(self) -> Hashed {
        match self.0 {
            State::Sha256(hasher) => Hashed::from_sha256(hasher),
            State::Sha512 { hasher, size } => Hashed {
                digest: Digest {
                    algorithm: Algorithm::Sha512,
                    hex: hex(&hasher.finalize()),
                },
                size,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_digest_are_what_its_digits_stand_for() {
        let bytes: Vec<u8> = (0..32).map(|n| n * 8 + 1).collect();
        let digest = Digest::from_sha256(bytes.clone().try_into().unwrap());
        assert_eq!(digest.bytes(), bytes);
    }

    #[test]
    fn a_digest_prints_what_it_was_parsed_from() {
        for text in [
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
            format!("sha512:{}", "0".repeat(128)),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_could_leave_a_directory_is_not_a_digest() {
        let upper = format!("sha256:{}", "A".repeat(64));
        let long = format!("sha256:{}", "a".repeat(65));
        for text in ["", "sha256:", "sha256:../../etc/passwd", "md5:00", &upper, &long] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn both_algorithms_hash() {
        assert!(
            Digest::of_with(Algorithm::Sha512, b"abc")
                .hex()
                .starts_with("ddaf35a193617aba")
        );
        assert_eq!(Digest::of_with(Algorithm::Sha256, b"abc"), Digest::of(b"abc"));
    }
}
