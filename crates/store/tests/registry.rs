//! What a registry asks of a store: referrers, mounts, deletes, and lists by the page.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use modelkeep_core::{
    Descriptor, Digest, Mutability, RepoName, Tag,
    content::{Error, Journal, Need, Source, Target},
    manifest, media,
};
use modelkeep_store::{Repository, Store};
use serde_json::{Value, json};
use tempfile::TempDir;

fn home() -> (TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create(home.path()).unwrap();
    (home, store)
}

fn repository(store: &Store, name: &str) -> Repository {
    let made = store.create_repository(&name.parse().unwrap(), &Mutability::Immutable, "");
    made.unwrap().0
}

/// Pushes an image that has `fields` too.
fn push(repository: &Repository, media_type: &str, fields: Value) -> Descriptor {
    let mut text = match media_type {
        media::OCI_INDEX => json!({"schemaVersion": 2, "manifests": []}),
        _ => {
            let config = repository.put(media::OCI_CONFIG, b"{}").unwrap();
            json!({"schemaVersion": 2, "config": config, "layers": []})
        }
    };
    text.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    let manifest = repository.put(media_type, &manifest::to_json(&text)).unwrap();
    Journal::begin(repository).unwrap().admit(&manifest).unwrap();
    manifest
}

fn withdraw(repository: &Repository, digest: &Digest) {
    Journal::begin(repository).unwrap().withdraw(digest).unwrap();
}

#[test]
fn referrers_are_listed_with_their_types_and_annotations() {
    let (_home, store) = home();
    let (digits, other) = (repository(&store, "digits"), repository(&store, "other"));
    // Nobody has pushed it.
    let subject = Descriptor::of(media::OCI_MANIFEST, b"subject");
    assert_eq!(digits.referrers(&subject.digest).unwrap(), []);
    let by = |n: u8| json!({"subject": subject, "annotations": {"n": n.to_string()}});
    let mut typed = by(1);
    typed["artifactType"] = json!("application/x-sbom");
    let mut expected = [
        (
            push(&digits, media::OCI_MANIFEST, typed),
            Some("application/x-sbom"),
            "1",
        ),
        (
            push(&digits, media::OCI_MANIFEST, by(2)),
            Some(media::OCI_CONFIG),
            "2",
        ),
        (push(&digits, media::OCI_INDEX, by(3)), None, "3"),
    ];
    push(&digits, media::OCI_MANIFEST, json!({"annotations": {"n": "4"}}));
    expected.sort_by(|a, b| a.0.digest.cmp(&b.0.digest));
    let found = digits.referrers(&subject.digest).unwrap();
    assert_eq!(found.len(), 3);
    for (found, (manifest, artifact_type, n)) in found.iter().zip(&expected) {
        assert_eq!((&found.digest, found.size), (&manifest.digest, manifest.size));
        assert_eq!(found.media_type, manifest.media_type);
        assert_eq!(found.artifact_type.as_deref(), *artifact_type);
        assert_eq!(found.annotations["n"], *n);
    }
    assert_eq!(other.referrers(&subject.digest).unwrap(), []);
    for (manifest, ..) in &expected {
        withdraw(&digits, &manifest.digest);
    }
    assert_eq!(digits.referrers(&subject.digest).unwrap(), []);
    assert!(
        store
            .scrub(modelkeep_store::Repair::No)
            .unwrap()
            .problems
            .is_empty()
    );
}

#[test]
fn a_repository_has_only_what_it_brought_or_mounted() {
    let (_home, store) = home();
    let [one, two, three] = ["one", "two", "three"].map(|name| repository(&store, name));
    let blob = one.put("text/plain", b"abc").unwrap();
    assert_eq!(one.has_blob(&blob.digest).unwrap(), Some(3));
    // It is here, and not theirs.
    assert_eq!(two.has_blob(&blob.digest).unwrap(), None);
    assert!(!three.mount(&blob.digest, &two).unwrap());
    assert!(two.mount(&blob.digest, &one).unwrap());
    assert_eq!(two.has_blob(&blob.digest).unwrap(), Some(3));
    assert_eq!(two.fetch(&blob, 3).unwrap(), b"abc");
    let holders = |digest| -> Vec<String> {
        let holders = store.holders(digest).unwrap();
        holders.map(|holder| holder.unwrap().name().to_string()).collect()
    };
    assert_eq!(holders(&blob.digest), ["one", "two"]);
    assert!(holders(&Digest::of(b"never")).is_empty());
    assert!(!two.mount(&Digest::of(b"never"), &one).unwrap());
}

#[test]
fn a_blob_is_unlinked_unless_a_manifest_needs_it() {
    let (_home, store) = home();
    let (digits, other) = (repository(&store, "digits"), repository(&store, "other"));
    let manifest = push(&digits, media::OCI_MANIFEST, json!({}));
    let config = Digest::of(b"{}");
    assert!(other.mount(&config, &digits).unwrap());
    for needed in [&config, &manifest.digest] {
        let error = digits.unlink_blob(needed).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
    }
    assert!(other.unlink_blob(&config).unwrap());
    assert!(!other.unlink_blob(&config).unwrap());
    assert_eq!(other.has_blob(&config).unwrap(), None);
    withdraw(&digits, &manifest.digest);
    assert!(digits.unlink_blob(&config).unwrap());
    assert_eq!(digits.has_blob(&config).unwrap(), None);
    let config = Descriptor::plain(media::OCI_CONFIG, config, 2);
    assert_eq!(digits.need(&config).unwrap(), Need::Nothing);
}

#[test]
fn repositories_are_listed_by_the_page_in_byte_order() {
    let (_home, store) = home();
    let mut names = [
        "a", "a/b", "a-b", "a-b/c", "a.b", "a/b-c", "a0", "b/c/d", "b/c", "c",
    ];
    for name in names {
        repository(&store, name);
    }
    names.sort_unstable();
    let names: Vec<RepoName> = names.iter().map(|name| name.parse().unwrap()).collect();
    assert_eq!(store.repositories().unwrap(), names);
    for size in 1..=names.len() {
        let mut pages: Vec<RepoName> = Vec::new();
        loop {
            let page = store.repositories_after(pages.last(), size).unwrap();
            assert!(page.len() <= size);
            if page.is_empty() {
                break;
            }
            pages.extend(page);
        }
        assert_eq!(pages, names, "pages of {size}");
    }
    // Whether or not the last one is there, or ever was.
    let after = |last: &str| store.repositories_after(Some(&last.parse().unwrap()), 1).unwrap();
    assert_eq!(after("a/bb"), [names[6].clone()]);
    assert_eq!(after("z"), []);
    assert_eq!(store.repositories_after(None, 0).unwrap(), []);
}

#[test]
fn tags_are_listed_in_byte_order_as_they_are_now() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let manifest = push(&digits, media::OCI_MANIFEST, json!({}));
    let mut tags: Vec<Tag> = ["1.0", "v1", "V1", "1.10", "1.9", "RC", "rc"]
        .iter()
        .map(|tag| tag.parse().unwrap())
        .collect();
    let mut change = Journal::begin(&digits).unwrap();
    for tag in &tags {
        change.set_tag(tag, &manifest).unwrap();
    }
    drop(change);
    tags.sort_unstable();
    assert_eq!(digits.tag_list().unwrap()[..], tags);
    // A change is seen, whoever makes it.
    let elsewhere = Store::open(home.path()).unwrap();
    let elsewhere = elsewhere.repository(digits.name()).unwrap().unwrap();
    for _ in 0..2 {
        let gone = tags.remove(1);
        Journal::begin(&elsewhere).unwrap().remove_tag(&gone).unwrap();
        assert_eq!(digits.tag_list().unwrap()[..], tags);
    }
}

#[test]
fn a_tag_is_resolved_without_its_repository_being_opened() {
    let (home, store) = home();
    let (name, tag): (RepoName, Tag) = ("digits".parse().unwrap(), "1.0".parse().unwrap());
    let resolve = || store.resolve(&name, &tag).unwrap();
    assert_eq!(resolve(), None, "there is no repository");
    let digits = repository(&store, "digits");
    assert_eq!(resolve(), None, "there is no tag");
    let manifest = push(&digits, media::OCI_MANIFEST, json!({}));
    let other = Store::open(home.path()).unwrap();
    let change = |tagged: bool| {
        let digits = other.repository(&name).unwrap().unwrap();
        let mut change = Journal::begin(&digits).unwrap();
        match tagged {
            true => change.set_tag(&tag, &manifest).unwrap(),
            false => change.remove_tag(&tag).unwrap(),
        }
    };
    change(true);
    assert_eq!(resolve().as_deref(), Some(&manifest));
    change(false);
    assert_eq!(resolve(), None, "somebody else removed the tag");
}
