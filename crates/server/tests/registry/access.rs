//! Accounts, from outside.

use std::net::SocketAddr;

use modelkeep_conformance::{Options, run};
use modelkeep_server::{CreateRepositories, ServeConfig, Server, access::AccessConfig};
use modelkeep_store::Store;
use tempfile::TempDir;

use crate::support::Running;

/// `ada:lovelace`, hashed with the least cost that there is.
const ACCOUNTS: &str = "ada:$2y$04$loBUR6ZYRYrlTXJIFbhQz.0TVt5asJLwhRjTrx5ii4lvH/D7.pn9O\n";

pub(crate) fn accounts(home: &TempDir, settings: &str) -> AccessConfig {
    let path = home.path().join("htpasswd");
    std::fs::write(&path, ACCOUNTS).unwrap();
    AccessConfig {
        htpasswd: Some(path),
        ..toml::from_str(settings).unwrap()
    }
}

/// `ada:lovelace`.
pub(crate) const ADA: (&str, &str) = ("Authorization", "Basic YWRhOmxvdmVsYWNl");

#[test]
fn accounts_pull_and_push_by_token_and_strangers_do_not() {
    let home = tempfile::tempdir().unwrap();
    let rules = r#"
        [[rule]]
        who = "*"
        actions = ["pull", "push", "delete", "catalog"]
    "#;
    for mode in ["bearer", "basic"] {
        let server = Running::start(ServeConfig {
            create_repositories: CreateRepositories::Mutable,
            access: accounts(&home, &format!("mode = \"{mode}\"\n{rules}")),
            ..Running::config()
        });
        for only in [
            "accounts/",
            "ping/",
            "mounts/sha256/",
            "deletes/",
            "catalog/",
            "tag_params/sha256/",
        ] {
            let options = Options {
                user: Some(("ada".to_owned(), "lovelace".to_owned())),
                only: Some(only.to_owned()),
                ..Options::default()
            };
            let report = run(&server.url, &options, |result| {
                if result.failure.is_some() {
                    println!("{mode}: {result}");
                }
            });
            assert_eq!(report.unwrap().failed(), 0, "{mode} {only}");
        }
    }
}

#[test]
fn anonymous_pull_lets_strangers_read_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let server = Running::start(ServeConfig {
        access: accounts(&home, "anonymous_pull = true"),
        ..Running::config()
    });
    let (pushed, digest) = server.push_as("digits", "1.0", "one", &[ADA]);
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    assert_eq!(server.get("/v2/digits/manifests/1.0").status, 200);
    let post = server.send("POST", "/v2/digits/blobs/uploads/", &[], b"");
    post.refused(401, "UNAUTHORIZED");
    let challenge = post.field("WWW-Authenticate").unwrap();
    assert!(
        challenge.contains("scope=\"repository:digits:pull,push\""),
        "{challenge}"
    );
    let path = format!("/v2/digits/manifests/{digest}");
    server
        .send("DELETE", &path, &[], b"")
        .refused(401, "UNAUTHORIZED");
    server.send("DELETE", &path, &[ADA], b"").refused(403, "DENIED");
    server.get("/metrics").refused(401, "UNAUTHORIZED");
    assert_eq!(server.send("GET", "/metrics", &[ADA], b"").status, 200);
    let name = "digits".parse().unwrap();
    let repository = server.store().repository(&name).unwrap().unwrap();
    let history = modelkeep_ledger::read(&repository).unwrap();
    assert_eq!(history.last().unwrap().author, "ada");
}

#[test]
fn an_upload_that_may_not_be_is_refused_before_its_body() {
    let home = tempfile::tempdir().unwrap();
    let server = Running::start(ServeConfig {
        access: accounts(&home, ""),
        ..Running::config()
    });
    let post = server.send("POST", "/v2/digits/blobs/uploads/", &[], &[0; 100_000]);
    post.refused(401, "UNAUTHORIZED");
    assert!(server.store().repositories().unwrap().is_empty());
}

#[test]
fn a_blob_that_may_not_be_read_there_is_not_mounted() {
    let home = tempfile::tempdir().unwrap();
    let rules = r#"
        [[rule]]
        who = "ada"
        repositories = "mine/*"
        actions = ["pull", "push"]
    "#;
    let store = home.path().join("store");
    let secret = {
        let open = Running::start_on(&store, Running::config());
        let path = "/v2/secret/blobs/uploads/?digest=";
        let digest = modelkeep_core::Digest::of(b"secret");
        let pushed = open.send("POST", &format!("{path}{digest}"), &[], b"secret");
        assert_eq!(pushed.status, 201);
        digest
    };
    let server = Running::start_on(
        &store,
        ServeConfig {
            access: accounts(&home, rules),
            ..Running::config()
        },
    );
    for query in [format!("mount={secret}&from=secret"), format!("mount={secret}")] {
        let path = format!("/v2/mine/a/blobs/uploads/?{query}");
        assert_eq!(server.send("POST", &path, &[ADA], b"").status, 202, "{query}");
    }
    let path = format!("/v2/mine/a/blobs/{secret}");
    server
        .send("GET", &path, &[ADA], b"")
        .refused(404, "BLOB_UNKNOWN");
}

#[test]
fn without_accounts_other_machines_are_not_listened_to() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create(&home.path().join("store")).unwrap();
    let config = ServeConfig {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        ..Running::config()
    };
    let error = Server::bind(store, config, |_: &str| {})
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("`htpasswd` under [access]"), "{error}");
}
