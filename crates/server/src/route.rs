//! Which act a request asks for: method and path, and nothing else (distribution-spec, "Endpoints").

use std::borrow::Cow;

use modelkeep_core::{Digest, RepoName, name::Target};
use modelkeep_store::UploadId;

use crate::http::{
    Method,
    target::{self, Plus},
};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The version check, by which clients learn how to log in.
    Enter,
    Token,
    /// An operation of the ECR Public API, which a header names.
    EcrPublic,
    /// The picture of a repository in its catalog data.
    Logo(RepoName),
    Health,
    Ready,
    Metrics,
    Catalog,
    Tags(RepoName),
    Referrers(RepoName, Digest),
    ReadHistory(RepoName),
    AddToHistory(RepoName),
    ReadManifest(RepoName, Target),
    PushManifest(RepoName, Target),
    DeleteManifest(RepoName, Target),
    ReadBlob(RepoName, Digest),
    DeleteBlob(RepoName, Digest),
    BeginUpload(RepoName),
    UploadStatus(RepoName, UploadId),
    Append(RepoName, UploadId),
    Finish(RepoName, UploadId),
    Cancel(RepoName, UploadId),
}

impl Action {
    /// The resource, for counters and logs.
    pub(crate) fn resource(&self) -> &'static str {
        match self {
            Self::Enter => "base",
            Self::Token => "token",
            Self::EcrPublic => "api",
            Self::Logo(_) => "logo",
            Self::Health | Self::Ready | Self::Metrics => "operation",
            Self::Catalog => "catalog",
            Self::Tags(_) => "tags",
            Self::Referrers(..) => "referrers",
            Self::ReadHistory(_) | Self::AddToHistory(_) => "history",
            Self::ReadManifest(..) | Self::PushManifest(..) | Self::DeleteManifest(..) => "manifest",
            Self::ReadBlob(..) | Self::DeleteBlob(..) => "blob",
            Self::BeginUpload(_)
            | Self::UploadStatus(..)
            | Self::Append(..)
            | Self::Finish(..)
            | Self::Cancel(..) => "upload",
        }
    }

    /// Whether it reads a small file or two, or what is in memory: what takes but a moment, and what clients ask all the
    /// time.
    pub(crate) fn is_brief(&self) -> bool {
        matches!(
            self,
            Self::Enter | Self::Health | Self::Tags(_) | Self::ReadManifest(..) | Self::ReadBlob(..)
        )
    }
}

/// Why a request asks for nothing that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// No such path.
    Path,
    /// The path is right, and has these methods.
    Method(&'static str),
    /// The repository's name is none.
    Name(String),
    /// The digest is none.
    Digest(String),
    /// The tag is none.
    Tag(String),
    /// The upload's name is none, so there is no such upload.
    Upload,
}

const READ: &str = "GET, HEAD";

/// What `method` and `path` ask for. The path is as sent; a slash at its end makes no difference.
pub(crate) fn route(method: Method, path: &str) -> Result<Action, NoRoute> {
    let mut parts = Vec::new();
    for part in path.strip_prefix('/').unwrap_or(path).split('/') {
        let part = target::decode(part, Plus::Itself);
        parts.push(part.ok_or_else(|| NoRoute::Name(path.to_owned()))?);
    }
    if parts.len() > 1 && parts.last().is_some_and(|last| last.is_empty()) {
        parts.pop();
    }
    let reads = |action: Action| match method {
        Method::Get | Method::Head => Ok(action),
        _ => Err(NoRoute::Method(READ)),
    };
    let words: Vec<&str> = parts.iter().map(Cow::as_ref).collect();
    match words.as_slice() {
        ["v2"] => reads(Action::Enter),
        ["v2", "_catalog"] => reads(Action::Catalog),
        ["v2", rest @ ..] => in_repository(method, rest, reads),
        ["token"] => Ok(Action::Token),
        [""] if method == Method::Post => Ok(Action::EcrPublic),
        ["logos", name @ ..] if !name.is_empty() => reads(Action::Logo(repository(name)?)),
        ["healthz"] => reads(Action::Health),
        ["readyz"] => reads(Action::Ready),
        ["metrics"] => reads(Action::Metrics),
        _ => Err(NoRoute::Path),
    }
}

/// The words behind the repository's name tell its resources apart: the last but one, or the last.
fn in_repository(
    method: Method,
    words: &[&str],
    reads: impl Fn(Action) -> Result<Action, NoRoute>,
) -> Result<Action, NoRoute> {
    match words {
        [name @ .., "tags", "list"] => reads(Action::Tags(repository(name)?)),
        [name @ .., "blobs", "uploads"] => match method {
            Method::Post => Ok(Action::BeginUpload(repository(name)?)),
            _ => Err(NoRoute::Method("POST")),
        },
        [name @ .., "blobs", "uploads", id] => upload(method, repository(name)?, id),
        [name @ .., "blobs", digest] => {
            let name = repository(name)?;
            match method {
                Method::Get | Method::Head => Ok(Action::ReadBlob(name, parse_digest(digest)?)),
                Method::Delete => Ok(Action::DeleteBlob(name, parse_digest(digest)?)),
                _ => Err(NoRoute::Method("GET, HEAD, DELETE")),
            }
        }
        [name @ .., "manifests", reference] => {
            let name = repository(name)?;
            let action = match method {
                Method::Get | Method::Head => Action::ReadManifest,
                Method::Put => Action::PushManifest,
                Method::Delete => Action::DeleteManifest,
                _ => return Err(NoRoute::Method("GET, HEAD, PUT, DELETE")),
            };
            Ok(action(name, parse_reference(reference)?))
        }
        [name @ .., "referrers", digest] => {
            let name = repository(name)?;
            // Whether it is a digest matters to those who may ask for it only.
            reads(Action::Enter)?;
            reads(Action::Referrers(name, parse_digest(digest)?))
        }
        [name @ .., "_modelkeep", "history"] => {
            let name = repository(name)?;
            match method {
                Method::Get | Method::Head => Ok(Action::ReadHistory(name)),
                Method::Post => Ok(Action::AddToHistory(name)),
                _ => Err(NoRoute::Method("GET, HEAD, POST")),
            }
        }
        _ => Err(NoRoute::Path),
    }
}

fn upload(method: Method, name: RepoName, id: &str) -> Result<Action, NoRoute> {
    let action = match method {
        Method::Get | Method::Head => Action::UploadStatus,
        Method::Patch => Action::Append,
        Method::Put => Action::Finish,
        Method::Delete => Action::Cancel,
        _ => return Err(NoRoute::Method("GET, HEAD, PATCH, PUT, DELETE")),
    };
    Ok(action(name, id.parse().map_err(|_| NoRoute::Upload)?))
}

fn repository(words: &[&str]) -> Result<RepoName, NoRoute> {
    let name = words.join("/");
    name.parse().map_err(|_| NoRoute::Name(name))
}

pub(crate) fn parse_digest(text: &str) -> Result<Digest, NoRoute> {
    text.parse().map_err(|_| NoRoute::Digest(text.to_owned()))
}

/// A tag has no colon, and a digest has one.
fn parse_reference(text: &str) -> Result<Target, NoRoute> {
    if text.contains(':') {
        return parse_digest(text).map(Target::Digest);
    }
    let tag = text.parse().map_err(|_| NoRoute::Tag(text.to_owned()))?;
    Ok(Target::Tag(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn name(text: &str) -> RepoName {
        text.parse().unwrap()
    }

    #[test]
    fn names_hold_slashes_and_even_the_words_of_other_routes() {
        for repository in ["a", "a/b/c", "tags/list", "a/manifests", "blobs/uploads", "v2"] {
            let get = |rest: &str| route(Method::Get, &format!("/v2/{repository}/{rest}"));
            assert_eq!(get("tags/list"), Ok(Action::Tags(name(repository))));
            let tag = Target::Tag("1.0".parse().unwrap());
            assert_eq!(
                get("manifests/1.0"),
                Ok(Action::ReadManifest(name(repository), tag))
            );
            let begin = route(Method::Post, &format!("/v2/{repository}/blobs/uploads/"));
            assert_eq!(begin, Ok(Action::BeginUpload(name(repository))));
            assert_eq!(
                get("_modelkeep/history"),
                Ok(Action::ReadHistory(name(repository)))
            );
            let append = route(Method::Patch, &format!("/v2/{repository}/blobs/uploads/{ID}"));
            assert_eq!(append, Ok(Action::Append(name(repository), ID.parse().unwrap())));
        }
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        assert_eq!(route(Method::Get, "/v2"), Ok(Action::Enter));
        assert_eq!(route(Method::Get, "/v2/"), Ok(Action::Enter));
        assert_eq!(
            route(Method::Post, "/v2/a/blobs/uploads"),
            Ok(Action::BeginUpload(name("a")))
        );
        assert_eq!(
            route(Method::Get, "/v2/a/tags/list/"),
            Ok(Action::Tags(name("a")))
        );
    }

    #[test]
    fn escaped_colons_are_colons() {
        let digest = Digest::of(b"x");
        let path = format!("/v2/a/blobs/{}", digest.to_string().replace(':', "%3A"));
        assert_eq!(
            route(Method::Head, &path),
            Ok(Action::ReadBlob(name("a"), digest))
        );
    }

    #[test]
    fn what_is_no_name_digest_tag_or_upload_is_told_apart() {
        for path in [
            "a/../b",
            "A",
            "a//b",
            "/a",
            "a%00b",
            "..%5cb",
            "%C3%A9",
            "%FF",
            "a%2f..%2fb",
        ] {
            let found = route(Method::Get, &format!("/v2/{path}/tags/list"));
            assert!(matches!(found, Err(NoRoute::Name(_))), "{path}: {found:?}");
        }
        let get = |path: &str| route(Method::Get, path);
        assert!(matches!(get("/v2/a/blobs/sha256:short"), Err(NoRoute::Digest(_))));
        assert!(matches!(
            get("/v2/a/manifests/sha256:short"),
            Err(NoRoute::Digest(_))
        ));
        assert!(matches!(get("/v2/a/manifests/.bad"), Err(NoRoute::Tag(_))));
        assert_eq!(get("/v2/a/blobs/uploads/x"), Err(NoRoute::Upload));
        for path in [
            "/",
            "/v3/",
            "/v2/a",
            "/v2/a/tags",
            "/v2/a/tags/list/more",
            "/v2/a/manifests",
            "/v2/_modelkeep",
            "/v2/a/_modelkeep",
            "/v2/a/_modelkeep/history/1",
            "*",
        ] {
            assert_eq!(get(path), Err(NoRoute::Path), "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        assert_eq!(route(Method::Delete, "/v2/"), Err(NoRoute::Method(READ)));
        for path in [
            "/v2/a/manifests/b",
            "/v2/a/tags/list",
            "/v2/a/referrers/b",
            "/v2/a/blobs/b",
            "/v2/a/_modelkeep/history",
            "/readyz",
        ] {
            assert!(
                matches!(route(Method::Options, path), Err(NoRoute::Method(_))),
                "{path}"
            );
        }
    }

    /// Every path of these pieces, up to five deep, is answered without a panic, and what is a route names a
    /// repository that prints as it was sent.
    #[test]
    fn any_mixture_of_pieces_is_routed_or_refused() {
        let pieces = [
            "v2",
            "",
            "a",
            "tags",
            "list",
            "blobs",
            "uploads",
            "manifests",
            "referrers",
            "_catalog",
            "_modelkeep",
            "history",
            "..",
            "%2F",
            "%",
            "sha256:0",
            ID,
        ];
        let mut paths = vec![String::new()];
        let mut routed = 0;
        for _ in 0..5 {
            paths = paths
                .iter()
                .flat_map(|path| pieces.iter().map(move |piece| format!("{path}/{piece}")))
                .filter(|path| path.starts_with("/v2") || path.len() < 8)
                .collect();
            for path in &paths {
                for method in [
                    Method::Get,
                    Method::Post,
                    Method::Put,
                    Method::Patch,
                    Method::Delete,
                ] {
                    if let Ok(Action::Tags(name)) = route(method, path) {
                        assert!(path.replace("%2F", "/").contains(name.as_str()), "{path}");
                        routed += 1;
                    }
                }
            }
        }
        assert!(routed > 0);
    }
}
