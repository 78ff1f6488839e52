//! Digests of test content, and where that content comes from.

use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

/// The two registered digest algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub(crate) const BOTH: [Self; 2] = [Self::Sha256, Self::Sha512];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> Digest {
        let hash = match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        };
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Digest(format!("{}:{hex}", self.name()))
    }
}

/// `algorithm:hex`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Digest(String);

impl Digest {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The digest in a descriptor that this suite made.
    pub(crate) fn named_by(descriptor: &Value) -> Self {
        Self(descriptor["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// As it stands in a query: the colon encoded, as most clients do.
    pub(crate) fn in_query(&self) -> String {
        self.0.replace(':', "%3A")
    }

    /// The part after the colon.
    pub(crate) fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SplitMix64: fresh bytes for every test of every run, without a dependency.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.word().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(
            Algorithm::Sha256.digest(b"").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let long = Algorithm::Sha512.digest(b"abc");
        assert!(long.as_str().starts_with("sha512:ddaf35a193617aba"));
        assert_eq!(long.hex().len(), 128);
        assert!(long.in_query().starts_with("sha512%3Addaf"));
    }

    #[test]
    fn random_bytes_depend_on_the_seed() {
        assert_eq!(Random(1).bytes(13).len(), 13);
        assert_eq!(Random(1).bytes(32), Random(1).bytes(32));
        assert_ne!(Random(1).bytes(32), Random(2).bytes(32));
    }
}
