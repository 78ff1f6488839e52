use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde_json::{Map, Value};

use super::{Credential, helper, read_entry};

/// Most bytes of a file that are read.
const SIZE: u64 = 4 << 20;

/// A docker config. What we do not know in it is kept.
#[derive(Debug)]
pub(super) struct ConfigFile(Map<String, Value>);

impl ConfigFile {
    /// Reads the file; one that is not there, or empty, says nothing.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let named = |reason: String| format!("{}: {reason}", path.display());
        let mut text = Vec::new();
        match fs::File::open(path) {
            Ok(file) => {
                file.take(SIZE + 1)
                    .read_to_end(&mut text)
                    .map_err(|error| named(error.to_string()))?;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(named(error.to_string())),
        }
        if text.len() as u64 > SIZE {
            return Err(named("it is too large".to_owned()));
        }
        if text.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        // The error of the parser says where, and shows nothing of the text.
        let config = serde_json::from_slice(&text).map_err(|error| {
            named(format!(
                "it is no JSON object (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        Ok(Self(config))
    }

    /// The credentials under the first of `keys` that has any.
    pub(super) fn find(&self, keys: &[String]) -> Result<Option<Credential>, String> {
        for key in keys {
            // Only whole registries have helpers, and Docker Hub is known to them by its old address.
            let server = if super::HUB.contains(&key.as_str()) {
                super::HUB_KEY
            } else {
                key
            };
            for name in [key.as_str(), server] {
                if let Some(helper) = self.own_helper(name)? {
                    return helper::get(&helper, server);
                }
            }
            if !key.contains('/')
                && let Some(helper) = self.default_helper()?
                && let Some(found) = helper::get(&helper, server)?
            {
                return Ok(Some(found));
            }
            let auths = self.0.get("auths").and_then(Value::as_object);
            for (stored, entry) in auths.into_iter().flatten() {
                if bare(stored) == key
                    && let Some(found) = read_entry(entry)?
                {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// The program that keeps the secret of the registry under `key`.
    pub(super) fn helper(&self, key: &str) -> Result<Option<String>, String> {
        match self.own_helper(key)? {
            Some(helper) => Ok(Some(helper)),
            None => self.default_helper(),
        }
    }

    fn own_helper(&self, key: &str) -> Result<Option<String>, String> {
        helper_name(self.0.get("credHelpers").and_then(|helpers| helpers.get(key)))
    }

    fn default_helper(&self) -> Result<Option<String>, String> {
        helper_name(self.0.get("credsStore"))
    }

    pub(super) fn set(&mut self, key: &str, entry: Value) {
        let auths = self.0.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key.to_owned(), entry);
        }
    }

    pub(super) fn remove(&mut self, keys: &[String]) -> bool {
        let Some(auths) = self.0.get_mut("auths").and_then(Value::as_object_mut) else {
            return false;
        };
        let before = auths.len();
        auths.retain(|stored, _| !keys.iter().any(|key| bare(stored) == key));
        auths.len() < before
    }

    /// Replaces the file at once, readable by its owner only.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        // A link to a file elsewhere stays one.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut text = serde_json::to_string_pretty(&self.0).map_err(|error| error.to_string())?;
        text.push('\n');
        let replace = || {
            if let Some(directory) = target.parent() {
                fs::create_dir_all(directory)?;
            }
            let mut name = target.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{}.tmp", std::process::id()));
            let temporary = target.with_file_name(name);
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            let written = file
                .write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&temporary, &target));
            if written.is_err() {
                // The first error is the one to tell.
                let _ = fs::remove_file(&temporary);
            }
            written
        };
        replace().map_err(|error: io::Error| format!("cannot write {}: {error}", target.display()))
    }
}

/// A stored key without what docker versions put around a host.
fn bare(key: &str) -> &str {
    let key = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    let key = key.strip_suffix('/').unwrap_or(key);
    key.strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key)
}

/// The name becomes part of a command: it must be a plain word.
fn helper_name(value: Option<&Value>) -> Result<Option<String>, String> {
    let Some(name) = value.and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    if name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        Ok(Some(name.to_owned()))
    } else {
        Err("the name of its credential helper is no plain word".to_owned())
    }
}
