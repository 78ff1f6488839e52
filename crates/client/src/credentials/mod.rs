//! Credentials as docker, podman and skopeo keep them.

mod file;
mod helper;
mod places;

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use modelkeep_core::{Host, RepoName};
use serde_json::{Value, json};

use self::file::ConfigFile;
pub(crate) use self::places::places;
use crate::{Error, Secret};

/// What proves to a registry who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password, or a token that serves as one.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, with which the token server gives others.
    Identity(Secret),
}

/// Docker Hub has one key for all its names.
const HUB_KEY: &str = "https://index.docker.io/v1/";
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Where credentials are stored, as the environment says.
#[derive(Clone, Debug)]
pub struct Keychain {
    /// Read in this order; the first that knows a registry is taken.
    files: Vec<PathBuf>,
    /// Where `login` writes.
    main: Option<PathBuf>,
}

impl Keychain {
    /// `REGISTRY_AUTH_FILE` alone if it is set; else `config.json` in `DOCKER_CONFIG` or `~/.docker`, then
    /// `containers/auth.json` in `XDG_RUNTIME_DIR`.
    #[must_use]
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        if let Some(file) = set("REGISTRY_AUTH_FILE") {
            return Self {
                main: Some(file.clone()),
                files: vec![file],
            };
        }
        let docker = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")));
        let main = docker.map(|directory| directory.join("config.json"));
        let podman = set("XDG_RUNTIME_DIR").map(|directory| directory.join("containers").join("auth.json"));
        Self {
            files: main.iter().cloned().chain(podman).collect(),
            main,
        }
    }

    /// The stored credentials for a repository.
    ///
    /// # Errors
    /// [`Error::Credentials`] when a file or a helper cannot be used.
    pub fn find(&self, host: &Host, name: &RepoName) -> Result<Option<Credential>, Error> {
        for path in &self.files {
            let found = ConfigFile::read(path)
                .and_then(|file| file.find(&keys(host.as_str(), Some(name))))
                .map_err(|reason| refused(host, reason))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Stores a user and password as `docker login` does, and gives the place: a file, or the program that keeps
    /// secrets for docker.
    ///
    /// # Errors
    /// [`Error::Credentials`] when it cannot be stored. What was stored before is then unchanged.
    pub fn store(&self, host: &Host, user: &str, password: &Secret) -> Result<String, Error> {
        if user.is_empty() || user.contains([':', '\n']) || password.expose().contains('\n') {
            let reason = "a user has no colon, and neither user nor password a line break";
            return Err(refused(host, reason.to_owned()));
        }
        let store = || {
            let path = self.main()?;
            let mut file = ConfigFile::read(path)?;
            let key = stored_key(host);
            if let Some(helper) = file.helper(&key)? {
                helper::store(&helper, &key, user, password)?;
                file.set(&key, json!({}));
                file.write(path)?;
                return Ok(format!("docker-credential-{helper}"));
            }
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            file.set(&key, json!({ "auth": pair }));
            file.write(path)?;
            Ok(path.display().to_string())
        };
        store().map_err(|reason| refused(host, reason))
    }

    /// Forgets what [`Keychain::store`] stored, and says whether there was anything.
    ///
    /// # Errors
    /// [`Error::Credentials`] when it cannot be taken away.
    pub fn forget(&self, host: &Host) -> Result<bool, Error> {
        let forget = || {
            let path = self.main()?;
            let mut file = ConfigFile::read(path)?;
            let key = stored_key(host);
            let erased = match file.helper(&key)? {
                Some(helper) => {
                    let known = helper::get(&helper, &key)?.is_some();
                    helper::erase(&helper, &key)?;
                    known
                }
                None => false,
            };
            let removed = file.remove(&keys(host.as_str(), None));
            if removed {
                file.write(path)?;
            }
            Ok(erased || removed)
        };
        forget().map_err(|reason| refused(host, reason))
    }

    fn main(&self) -> Result<&Path, String> {
        let none = || "there is no place for it: neither DOCKER_CONFIG nor HOME is set".to_owned();
        self.main.as_deref().ok_or_else(none)
    }
}

fn refused(host: &Host, reason: String) -> Error {
    Error::Credentials {
        host: host.to_string(),
        reason,
    }
}

/// The key that docker stores a registry under.
fn stored_key(host: &Host) -> String {
    if HUB.contains(&host.as_str()) {
        HUB_KEY.to_owned()
    } else {
        host.to_string()
    }
}

/// The keys under which credentials may lie, the most special first: podman has some for parts of a registry.
fn keys(host: &str, name: Option<&RepoName>) -> Vec<String> {
    let hosts: Vec<&str> = if HUB.contains(&host) {
        HUB.to_vec()
    } else {
        vec![host]
    };
    let mut keys = Vec::new();
    let mut scope = name.map_or("", RepoName::as_str);
    while !scope.is_empty() {
        keys.extend(hosts.iter().map(|host| format!("{host}/{scope}")));
        scope = scope.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    keys.extend(hosts.iter().map(|&host| host.to_owned()));
    keys
}

/// What `auth` in a docker config says.
fn read_entry(entry: &Value) -> Result<Option<Credential>, String> {
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credential::Identity(Secret::new(token))));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Ok(Some(credential(user, password)));
    }
    let Some(auth) = text("auth") else {
        return Ok(None);
    };
    let wrong = || "its `auth` is not user:password in base64".to_owned();
    let decoded = STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
    let pair = String::from_utf8(decoded).map_err(|_| wrong())?;
    // docker used to end passwords with a zero byte.
    let (user, password) = pair.trim_end_matches('\0').split_once(':').ok_or_else(wrong)?;
    Ok(Some(credential(user, password)))
}

/// A user that is called `<token>` stands for a refresh token.
fn credential(user: &str, password: &str) -> Credential {
    let password = Secret::new(password);
    match user {
        "<token>" => Credential::Identity(password),
        _ => Credential::Password {
            user: user.to_owned(),
            password,
        },
    }
}

#[cfg(test)]
mod tests;
