//! Accounts from an htpasswd file.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordVerifier};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The most memory one argon2 check may take: the server's own bound is 64 MiB.
const ARGON2_KIB: u32 = 32 * 1024;
/// The highest bcrypt cost: about a second a check.
const BCRYPT_COST: u32 = 14;

/// Why a file of accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file cannot be read.
    #[error("cannot read accounts {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is not `name:hash`.
    #[error("{path} line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file has no account.
    #[error("{path} holds no account")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A password's hash as the file has it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoredHash {
    Bcrypt {
        hash: String,
        cost: u32,
    },
    Argon2 {
        hash: String,
        memory_kib: u32,
        passes: u32,
    },
}

impl StoredHash {
    fn parse(hash: &str) -> Result<Self, &'static str> {
        if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|prefix| hash.starts_with(prefix))
        {
            let parts: bcrypt::HashParts = hash.parse().map_err(|_| "malformed bcrypt hash")?;
            let cost = parts.get_cost();
            if !(4..=BCRYPT_COST).contains(&cost) {
                return Err("bcrypt cost is not within 4 to 14");
            }
            return Ok(Self::Bcrypt {
                hash: hash.to_owned(),
                cost,
            });
        }
        if hash.starts_with("$argon2") {
            let parsed = PasswordHash::new(hash).map_err(|_| "malformed argon2 hash")?;
            let params = Params::try_from(&parsed).map_err(|_| "malformed argon2 parameters")?;
            if parsed.hash.is_none() || parsed.salt.is_none() {
                return Err("argon2 hash without salt or output");
            }
            if params.m_cost() > ARGON2_KIB || params.t_cost() > 16 {
                return Err("argon2 asks for more than 32 MiB or 16 passes");
            }
            let (memory_kib, passes) = (params.m_cost(), params.t_cost());
            return Ok(Self::Argon2 {
                hash: hash.to_owned(),
                memory_kib,
                passes,
            });
        }
        Err("the hash is neither bcrypt (htpasswd -B) nor argon2")
    }

    /// Whether `password` is the one. Takes its time by design.
    pub(crate) fn verify(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt { hash, .. } => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2 { hash, .. } => PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            }),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Bcrypt { hash, .. } | Self::Argon2 { hash, .. } => hash,
        }
    }

    /// A rough time: one bcrypt round of cost 4 is about as long as 256 KiB of argon2.
    fn effort(&self) -> u64 {
        match self {
            Self::Bcrypt { cost, .. } => 1 << (cost + 4),
            Self::Argon2 {
                memory_kib, passes, ..
            } => u64::from(*memory_kib) * u64::from(*passes),
        }
    }
}

/// All accounts of a server: at least one.
pub(crate) struct Accounts {
    by_name: HashMap<String, StoredHash>,
    costliest: StoredHash,
}

impl Accounts {
    /// Reads a file of accounts. Empty lines and lines that begin with `#` are skipped.
    pub(crate) fn read(path: &Path) -> Result<Self, AccountsError> {
        let text = std::fs::read_to_string(path).map_err(|source| AccountsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut by_name = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason| AccountsError::Line {
                path: path.to_owned(),
                line: index + 1,
                reason,
            };
            let (name, hash) = line
                .split_once(':')
                .ok_or_else(|| wrong("no colon behind the name"))?;
            if name.is_empty() || name == "*" || name == "anonymous" {
                return Err(wrong("this name cannot be an account's"));
            }
            let hash = StoredHash::parse(hash).map_err(wrong)?;
            if by_name.insert(name.to_owned(), hash).is_some() {
                return Err(wrong("the account is there twice"));
            }
        }
        let costliest = by_name.values().max_by_key(|hash| hash.effort()).cloned();
        let costliest = costliest.ok_or_else(|| AccountsError::Empty {
            path: path.to_owned(),
        })?;
        Ok(Self { by_name, costliest })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&StoredHash> {
        self.by_name.get(name)
    }

    /// What an unknown name is checked against, so that it costs what a known one does.
    pub(crate) fn decoy(&self) -> &StoredHash {
        &self.costliest
    }
}
