//! Where a version comes from: the time, the author, and the git repository around the model.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use jiff::Timestamp;
use modelkeep_package::scan::Snapshot;

use crate::error::Failure;

/// What git, the environment and the cache of a hub say.
#[derive(Debug, Default)]
pub(crate) struct Provenance {
    /// `SOURCE_DATE_EPOCH`, else the time of the commit, RFC 3339.
    pub(crate) created: Option<String>,
    /// The commit, in git or on the hub.
    pub(crate) revision: Option<String>,
    /// URL of the remote `origin`, without credentials, or of the model on the hub.
    pub(crate) source: Option<String>,
    /// The model on a hub that the directory is a snapshot of.
    pub(crate) origin: Option<String>,
    /// Who is publishing.
    pub(crate) author: String,
}

/// The time now, RFC 3339 in UTC, in whole seconds.
pub(crate) fn now() -> String {
    rfc3339(Timestamp::now().as_second()).unwrap_or_default()
}

fn rfc3339(seconds: i64) -> Option<String> {
    Some(Timestamp::from_second(seconds).ok()?.to_string())
}

impl Provenance {
    /// Asks git and the environment about `directory`; of a snapshot in a cache of the Hugging Face Hub its name says
    /// where it comes from.
    ///
    /// # Errors
    /// A `SOURCE_DATE_EPOCH` that is no time.
    pub(crate) fn find(directory: &Path) -> Result<Self, Failure> {
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => Some(text.parse().ok().and_then(rfc3339).ok_or_else(|| {
                Failure::usage(format!(
                    "SOURCE_DATE_EPOCH is {text:?}, and must be a number of seconds since 1970"
                ))
            })?),
            Err(_) => None,
        };
        let snapshot = Snapshot::of(directory);
        let in_git = snapshot.is_none()
            && fs::canonicalize(directory)
                .is_ok_and(|path| path.ancestors().any(|parent| parent.join(".git").exists()));
        let commit = in_git
            .then(|| git(directory, &["log", "-1", "--format=%H %ct"]))
            .flatten();
        let commit = commit.as_deref().and_then(|line| line.trim().split_once(' '));
        let config = git(
            directory,
            &[
                "config",
                "--get-regexp",
                r"^(user\.(name|email)|remote\.origin\.url)$",
            ],
        );
        let config = |key: &str| {
            let lines = config.as_deref().unwrap_or_default().lines();
            let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            values.next_back().map(str::to_owned)
        };
        let source = config("remote.origin.url").filter(|_| in_git);
        let of_git = commit.map(|(revision, _)| revision.to_owned());
        let of_hub = snapshot.as_ref().map(|snapshot| snapshot.revision.clone());
        let hub = |snapshot: &Snapshot| format!("https://huggingface.co/{}", snapshot.repository);
        let origin = |Snapshot {
                          repository, revision, ..
                      }: &Snapshot| format!("hf://{repository}@{revision}");
        Ok(Self {
            created: epoch.or_else(|| rfc3339(commit?.1.parse().ok()?)),
            revision: of_hub.or(of_git),
            source: snapshot
                .as_ref()
                .map(hub)
                .or_else(|| source.map(|url| without_credentials(&url))),
            origin: snapshot.as_ref().map(origin),
            author: author(config("user.name"), config("user.email")),
        })
    }
}

/// What git prints, or `None` if there is no git, or it fails.
fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())??;
    Some(text).filter(|text| !text.trim().is_empty())
}

/// A URL without the user and password that CI systems put into it.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// `MODELKEEP_AUTHOR`, else who git commits as, else the user of the machine.
fn author(name: Option<String>, email: Option<String>) -> String {
    let variable = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(author) = variable("MODELKEEP_AUTHOR") {
        return author;
    }
    match (name, email) {
        (Some(name), Some(email)) => format!("{name} <{email}>"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => variable("USER")
            .or_else(|| variable("LOGNAME"))
            .unwrap_or_else(|| "unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_do_not_leave_the_machine() {
        for (url, clean) in [
            (
                "https://user:token@example.com/a/b.git",
                "https://example.com/a/b.git",
            ),
            ("https://x@y@example.com", "https://example.com"),
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ] {
            assert_eq!(without_credentials(url), clean);
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
