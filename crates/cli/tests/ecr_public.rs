//! Our own client of ECR Public on our own server: what every registry promises for declared repositories, over the wire.
//!
//! The AWS SDK reads the environment of its process, so that each test runs again in a process of its own.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{env, process, process::Command, thread};

use modelkeep_client::aws::{AwsOptions, Repositories};
use modelkeep_core::{
    Manifest, Mutability, RepoName,
    content::Target as _,
    manifest, media,
    repositories::{Change, Description, Enforcement, Error},
};
use modelkeep_ledger::{Publish, Who, tag};
use modelkeep_server::{ServeConfig, Server, access::AwsKey};
use modelkeep_store::{Repair, Store};
use modelkeep_testkit::conformance::repositories::Registry;

const SELF: &str = "MODELKEEP_TEST_CLIENT";
const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "hunter2";

/// Does `work` with a registry that is served, in a process whose environment has its key and nothing else.
fn with_served(work: &dyn Fn(&Registry<'_>)) {
    if env::var_os(SELF).is_some() {
        serve(work);
        process::exit(0);
    }
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", thread::current().name().unwrap(), "--nocapture"])
        .env_clear()
        .env(SELF, "1")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

fn serve(work: &dyn Fn(&Registry<'_>)) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create(&home.path().join("store")).unwrap();
    let rule = "who = \"*\"\nactions = [\"pull\", \"push\", \"delete\", \"catalog\"]";
    let mut config: ServeConfig = toml::from_str("listen = \"127.0.0.1:0\"").unwrap();
    config.storage.headroom_mebibytes = 1;
    config.access.aws_keys = vec![format!("{KEY}:{SECRET}").parse::<AwsKey>().unwrap()];
    config.access.rules = vec![toml::from_str(rule).unwrap()];
    let server = Server::bind(store.clone(), config, |line| println!("{line}")).unwrap();
    let options = AwsOptions {
        endpoint_url: Some(server.url()),
        ..AwsOptions::default()
    };
    let shutdown = server.shutdown();
    let running = thread::spawn(move || server.run().unwrap());
    work(&Registry {
        repositories: &Repositories::ecr_public(&options).unwrap(),
        push_image: &|name| push(&store, name),
    });
    shutdown.trigger();
    running.join().unwrap();
    assert!(store.scrub(Repair::No).unwrap().problems.is_empty());
}

fn push(store: &Store, name: &RepoName) {
    let repository = store.repository(name).unwrap().unwrap();
    let image = Manifest {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        config: repository.put(media::OCI_CONFIG, b"{}").unwrap(),
        layers: Vec::new(),
        subject: None,
        annotations: Default::default(),
    };
    let publish = Publish::of(
        repository
            .put(media::OCI_MANIFEST, &manifest::to_json(&image))
            .unwrap(),
    );
    let who = Who {
        time: "2026-11-01T00:00:00Z".to_owned(),
        author: "ada".to_owned(),
        seal: None,
    };
    tag(&repository, None, &who, &["1.0".parse().unwrap()], &publish).unwrap();
}

modelkeep_testkit::repository_tests!(with_served);

#[test]
fn the_client_knows_that_this_registry_keeps_tags_and_has_them_kept() {
    with_served(&|registry| {
        let filters = vec!["latest".parse().unwrap()];
        let declared = Mutability::ImmutableWithExclusion(filters);
        let name: RepoName = "team/digits".parse().unwrap();
        let create = Change::Create(Description::new(declared.clone()));
        registry.repositories.apply(&name, &create).unwrap();
        let found = registry.repositories.observe(&name).unwrap().unwrap();
        assert_eq!(
            (found.enforcement, found.description.mutability),
            (Enforcement::Registry, declared)
        );
        let again = registry.repositories.apply(&name, &create);
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    });
}
