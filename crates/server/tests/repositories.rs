//! Repositories declared in a store, whose history records what is deleted with them.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{collections::BTreeMap, path::Path};

use modelkeep_core::{
    Descriptor, Manifest, Mutability, RepoName, Tag,
    content::{Names, Target as _},
    manifest, media,
    repositories::{Change, Deletion, Description, Enforcement, Error, Images, Logo, Repositories},
};
use modelkeep_ledger::{Operation, Publish, Recorded, Refused, TagError, Who, read, tag};
use modelkeep_store::{Act, CollectOptions, Repair, Repository, Store};
use modelkeep_testkit::conformance::repositories::Registry;

fn who() -> Who {
    Who {
        time: "2026-11-01T00:00:00Z".to_owned(),
        author: "ada".to_owned(),
        seal: None,
    }
}

fn image(repository: &Repository, content: &str) -> Descriptor {
    let image = Manifest {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        config: repository.put(media::OCI_CONFIG, b"{}").unwrap(),
        layers: vec![repository.put(media::OCI_LAYER, content.as_bytes()).unwrap()],
        subject: None,
        annotations: BTreeMap::new(),
    };
    repository
        .put(media::OCI_MANIFEST, &manifest::to_json(&image))
        .unwrap()
}

fn push(repository: &Repository, version: &str, content: &str) -> Result<Descriptor, TagError> {
    let manifest = image(repository, content);
    let publish = Publish::of(manifest.clone());
    tag(repository, None, &who(), &[version.parse().unwrap()], &publish)?;
    Ok(manifest)
}

fn open(store: &Store, name: &RepoName) -> Repository {
    store.repository(name).unwrap().unwrap()
}

fn declare(store: &Store, name: &str, mutability: Mutability) -> RepoName {
    let name: RepoName = name.parse().unwrap();
    store
        .apply(&name, &Change::Create(Description::new(mutability)))
        .unwrap();
    name
}

fn home() -> (tempfile::TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create(home.path()).unwrap();
    (home, store)
}

fn with_store(clause: &dyn Fn(&Registry<'_>)) {
    let (home, store) = home();
    let recorded = Recorded::new(&store, who());
    clause(&Registry {
        repositories: &recorded,
        push_image: &|name| drop(push(&open(&store, name), "1.0", "weights").unwrap()),
    });
    assert!(store.scrub(Repair::No).unwrap().problems.is_empty());
    assert_eq!(
        std::fs::read_dir(home.path().join("v1/staging")).unwrap().count(),
        0
    );
}

modelkeep_testkit::repository_tests!(with_store);

#[test]
fn a_name_that_was_held_outlives_its_repository_for_its_own_manifest_only() {
    let (_home, store) = home();
    let filters = vec!["latest".parse().unwrap()];
    let name = declare(
        &store,
        "digits",
        Mutability::ImmutableWithExclusion(filters.clone()),
    );
    let first = open(&store, &name);
    let (one, _) = (
        push(&first, "1.0", "one").unwrap(),
        push(&first, "latest", "one").unwrap(),
    );
    let fallback: Tag = format!("sha256-{}", "0".repeat(64)).parse().unwrap();
    push(&first, fallback.as_str(), "signature").unwrap();

    let recorded = Recorded::new(&store, who());
    recorded
        .apply(&name, &Change::Delete(Deletion::WithImages))
        .unwrap();
    assert!(store.repository(&name).unwrap().is_none());
    assert!(store.repositories().unwrap().is_empty());
    let error = push(&first, "2.0", "two").unwrap_err();
    assert!(matches!(error, TagError::Content(_)), "{error}");

    declare(&store, "digits", Mutability::ImmutableWithExclusion(filters));
    let second = open(&store, &name);
    assert!(second.tags().unwrap().is_empty());
    let history = read(&second).unwrap();
    let version: Tag = "1.0".parse().unwrap();
    assert_eq!(history.kept(&version).unwrap().digest, one.digest);
    assert_eq!(history.kept(&"latest".parse().unwrap()), None);
    let error = push(&second, "1.0", "other").unwrap_err();
    assert!(
        matches!(&error, TagError::Refused(refused) if refused.iter().any(|refused: &Refused| refused.tag == version)),
        "{error}"
    );
    push(&second, "latest", "other").unwrap();
    assert_eq!(push(&second, "1.0", "one").unwrap().digest, one.digest);
    assert_eq!(second.resolve(&version).unwrap().unwrap().digest, one.digest);
}

#[test]
fn the_history_says_who_deleted_what() {
    let (home, store) = home();
    let name = declare(&store, "team/digits", Mutability::Immutable);
    let one = push(&open(&store, &name), "1.0", "one").unwrap();
    Recorded::new(&store, who())
        .apply(&name, &Change::Delete(Deletion::WithImages))
        .unwrap();
    declare(&store, "team/digits", Mutability::Immutable);
    let entry = std::fs::read(home.path().join("v1/repos/team/digits/_history/00000002")).unwrap();
    let entry = modelkeep_ledger::Entry::parse(&entry).unwrap();
    assert_eq!((entry.author(), entry.version().as_str()), ("ada", "1.0"));
    assert!(matches!(entry.operation(), Operation::Delete(delete) if delete.manifest.digest == one.digest));
}

#[test]
fn what_a_deleted_repository_alone_had_is_collected() {
    let (_home, store) = home();
    let (name, other) = (
        declare(&store, "digits", Mutability::Immutable),
        declare(&store, "other", Mutability::Immutable),
    );
    push(&open(&store, &name), "1.0", "mine").unwrap();
    push(&open(&store, &name), "1.1", "shared").unwrap();
    push(&open(&store, &other), "1.0", "shared").unwrap();
    Recorded::new(&store, who())
        .apply(&name, &Change::Delete(Deletion::WithImages))
        .unwrap();
    let collected = store
        .collect(&CollectOptions {
            grace: std::time::Duration::ZERO,
            now: std::time::SystemTime::now() + std::time::Duration::from_secs(3600),
            act: Act::Remove,
        })
        .unwrap();
    // The layer and the manifest; what both have stays.
    assert_eq!(collected.blobs, 2);
    assert!(store.scrub(Repair::No).unwrap().problems.is_empty());
}

#[test]
fn what_a_maker_or_a_deleter_that_died_left_is_not_inherited() {
    let (home, store) = home();
    let name: RepoName = "digits".parse().unwrap();
    let directory = home.path().join("v1/repos/digits");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(
        directory.join("_description"),
        r#"{"resourceTags":{"team":"vision"}}"#,
    )
    .unwrap();
    assert!(store.observe(&name).unwrap().is_none());
    assert!(store.repositories().unwrap().is_empty());
    store
        .create_repository(&name, &Mutability::Immutable, "")
        .unwrap();
    let found = store.observe(&name).unwrap().unwrap();
    assert_eq!(found.description, Description::new(Mutability::Immutable));
    assert_eq!(found.created_at, None);
}

#[test]
fn a_store_alone_deletes_no_images() {
    let (_home, store) = home();
    let name = declare(&store, "digits", Mutability::Immutable);
    push(&open(&store, &name), "1.0", "one").unwrap();
    let error = store
        .apply(&name, &Change::Delete(Deletion::WithImages))
        .unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let observed = store.observe(&name).unwrap().unwrap();
    assert_eq!(
        (observed.images, observed.enforcement),
        (Images::Exactly(1), Enforcement::Registry)
    );
}

#[test]
fn one_of_many_makers_makes_a_repository_with_all_that_it_said() {
    let (home, _) = home();
    let root = home.path();
    let make = |root: &Path, n: u8| {
        let mut description = Description::new(Mutability::Immutable);
        description.resource_tags = [("maker".to_owned(), n.to_string())].into();
        description.catalog.logo = Some(Logo::Bytes(vec![n; 1000]));
        let store = Store::open(root).unwrap();
        store.apply(&"digits".parse().unwrap(), &Change::Create(description))
    };
    for round in 0..8 {
        let results: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|n| scope.spawn(move || make(root, n))).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..8).filter(|&n| results[n].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{round}: {results:?}");
        let store = Store::open(home.path()).unwrap();
        let name: RepoName = "digits".parse().unwrap();
        let found = store.observe(&name).unwrap().unwrap();
        assert_eq!(found.description.resource_tags["maker"], winners[0].to_string());
        assert_eq!(store.logo(&name).unwrap().unwrap(), vec![winners[0] as u8; 1000]);
        store.apply(&name, &Change::Delete(Deletion::OnlyEmpty)).unwrap();
    }
}
