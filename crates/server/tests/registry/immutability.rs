//! Tags that stay, whoever asks.

use std::fs;

use modelkeep_core::Digest;
use modelkeep_server::{CreateRepositories, ServeConfig};

use crate::support::Running;

#[test]
fn a_tag_is_given_once_and_the_same_again_changes_nothing() {
    let server = Running::start(Running::config());
    let (first, digest) = server.push("digits", "1.0", "one");
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(server.push("digits", "1.0", "one").0.status, 201);
    let (refused, _) = server.push("digits", "1.0", "two");
    refused.refused(409, "DENIED");
    let message = refused.text();
    assert!(
        message.contains(&digest.to_string()) && message.contains("next free version is 1.1"),
        "{message}"
    );
    let found = server.get("/v2/digits/manifests/1.0");
    assert_eq!(
        found.field("Docker-Content-Digest"),
        Some(digest.to_string().as_str())
    );
    let name = "digits".parse().unwrap();
    let repository = server.store().repository(&name).unwrap().unwrap();
    let history = modelkeep_ledger::read(&repository).unwrap();
    assert_eq!(history.height(), 1);
    let entry = history.last().unwrap();
    assert_eq!(
        (entry.author.as_str(), &entry.manifest().digest),
        ("anonymous@127.0.0.1", &digest)
    );
}

#[test]
fn an_immutable_tag_and_all_that_it_needs_cannot_be_deleted() {
    let server = Running::start(Running::config());
    let (_, digest) = server.push("digits", "1.0", "one");
    let blob = Digest::of(b"{}");
    for path in [
        "/v2/digits/manifests/1.0".to_owned(),
        format!("/v2/digits/manifests/{digest}"),
        format!("/v2/digits/blobs/{blob}"),
        format!("/v2/digits/blobs/{digest}"),
    ] {
        server.send("DELETE", &path, &[], b"").refused(405, "DENIED");
        assert_eq!(server.get(&path).status, 200, "{path}");
    }
}

#[test]
fn of_several_tags_all_are_set_or_none() {
    let server = Running::start(Running::config());
    server.push("digits", "1.0", "one");
    let (refused, _) = server.push("digits", "DIGEST?tag=1.1&tag=1.0", "two");
    refused.refused(409, "DENIED");
    server
        .get("/v2/digits/manifests/1.1")
        .refused(404, "MANIFEST_UNKNOWN");
    let (taken, digest) = server.push("digits", "DIGEST?tag=1.1&tag=1.2", "two");
    assert_eq!((taken.status, taken.field("OCI-Tag")), (201, Some("1.1")));
    let found = server.get("/v2/digits/manifests/1.2");
    assert_eq!(
        found.field("Docker-Content-Digest"),
        Some(digest.to_string().as_str())
    );
}

#[test]
fn tags_that_are_named_after_a_digest_move_all_the_same() {
    let server = Running::start(Running::config());
    let (_, digest) = server.push("digits", "1.0", "one");
    let tag = format!("sha256-{}.sig", digest.hex());
    for mark in ["first", "second"] {
        assert_eq!(server.push("digits", &tag, mark).0.status, 201);
    }
    let deleted = server.send("DELETE", &format!("/v2/digits/manifests/{tag}"), &[], b"");
    assert_eq!(deleted.status, 202);
}

#[test]
fn what_is_told_to_make_no_repositories_makes_none() {
    let server = Running::start(ServeConfig {
        create_repositories: CreateRepositories::Never,
        ..Running::config()
    });
    let post = server.send("POST", "/v2/digits/blobs/uploads/", &[], b"");
    post.refused(404, "NAME_UNKNOWN");
    server.get("/v2/digits/tags/list").refused(404, "NAME_UNKNOWN");
}

#[test]
fn a_version_whose_publisher_died_before_its_tag_is_there_for_readers() {
    let server = Running::start(Running::config());
    let (_, digest) = server.push("a", "1.0", "one");
    let tag = server.store().root().join("v1/repos/a/_tags/1.0");
    fs::remove_file(&tag).unwrap();
    let found = server.get("/v2/a/manifests/1.0");
    assert_eq!(
        (found.status, found.field("Docker-Content-Digest")),
        (200, Some(digest.to_string().as_str()))
    );
    assert!(tag.exists(), "it is written on the way");
    assert_eq!(server.get("/v2/a/manifests/1.1").status, 404);
}
