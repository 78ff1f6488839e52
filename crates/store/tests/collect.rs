//! Collecting and scrubbing, alone and beside others.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{
    env, fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Mutability,
    content::{Error, Expect, Journal, Need, Source, Target},
    manifest, media,
};
use modelkeep_store::{Act, CollectOptions, Collected, Problem, Repair, Repository, Store};
use tempfile::TempDir;

const ROLE: &str = "MODELKEEP_TEST_ROLE";
const ROOT: &str = "MODELKEEP_TEST_STORE";
const PUSHERS: usize = 4;
const PUSHES: u32 = 40;

fn home() -> (TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create(home.path()).unwrap();
    (home, store)
}

fn repository(store: &Store, name: &str) -> Repository {
    let made = store.create_repository(&name.parse().unwrap(), &Mutability::Immutable, "");
    made.unwrap().0
}

/// Collects whatever was not relied on in this very instant.
fn now() -> CollectOptions {
    CollectOptions {
        grace: Duration::ZERO,
        now: SystemTime::now() + Duration::from_secs(1),
        act: Act::Remove,
    }
}

fn figures(collected: &Collected) -> (u64, u64, u64, u64) {
    assert!(collected.kept.is_empty(), "{:?}", collected.kept);
    (
        collected.links,
        collected.blobs,
        collected.uploads,
        collected.bytes,
    )
}

/// Stores an image, whose manifest nobody has admitted.
fn image(repository: &Repository, layers: &[&str], subject: Option<&Descriptor>) -> Descriptor {
    let config = repository.put(media::OCI_CONFIG, b"{}").unwrap();
    let layers: Vec<Descriptor> = layers
        .iter()
        .map(|layer| repository.put(media::OCI_LAYER, layer.as_bytes()).unwrap())
        .collect();
    let mut text = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
    if let Some(subject) = subject {
        text["subject"] = serde_json::to_value(subject).unwrap();
    }
    repository
        .put(media::OCI_MANIFEST, &manifest::to_json(&text))
        .unwrap()
}

fn push(repository: &Repository, layers: &[&str], subject: Option<&Descriptor>) -> Descriptor {
    let manifest = image(repository, layers, subject);
    Journal::begin(repository).unwrap().admit(&manifest).unwrap();
    manifest
}

fn withdraw(repository: &Repository, manifest: &Descriptor) {
    Journal::begin(repository)
        .unwrap()
        .withdraw(&manifest.digest)
        .unwrap();
}

fn blob_path(home: &TempDir, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    home.path().join(format!("v1/blobs/sha256/{}/{hex}", &hex[..2]))
}

#[test]
fn what_no_manifest_needs_goes_and_the_rest_stays() {
    let (home, store) = home();
    let (one, two) = (repository(&store, "one"), repository(&store, "two"));
    let kept = push(&one, &["shared", "own"], None);
    let gone = push(&two, &["shared", "gone"], None);
    let loose = two.put("text/plain", b"loose").unwrap();
    drop(two.begin_upload("").unwrap());
    withdraw(&two, &gone);
    let report = CollectOptions {
        act: Act::Report,
        ..now()
    };
    // The manifest, the config, both layers and what was loose; of those only three blobs are nobody else's.
    let bytes = gone.size + 4 + loose.size;
    let expected = (5, 3, 1, bytes);
    assert_eq!(figures(&store.collect(&report).unwrap()), expected);
    assert_eq!(store.blobs().unwrap().count(), 7);
    assert_eq!(figures(&store.collect(&now()).unwrap()), expected);
    assert_eq!(figures(&store.collect(&now()).unwrap()), (0, 0, 0, 0));
    assert_eq!(store.blobs().unwrap().count(), 4);
    assert!(!blob_path(&home, &loose.digest).exists());
    let manifest = one.fetch(&kept, kept.size).unwrap();
    assert!(!manifest.is_empty() && store.scrub(Repair::No).unwrap().problems.is_empty());
}

#[test]
fn what_was_relied_on_lately_stays() {
    let (_home, store) = home();
    let (one, two) = (repository(&store, "one"), repository(&store, "two"));
    let blob = one.put("text/plain", b"abc").unwrap();
    let graceful = CollectOptions {
        grace: Duration::from_secs(3600),
        now: SystemTime::now(),
        act: Act::Remove,
    };
    assert_eq!(figures(&store.collect(&graceful).unwrap()), (0, 0, 0, 0));
    // Each way to rely on a link makes it young again.
    let link = |repository: &Repository| {
        let links = format!("v1/repos/{}/_blobs", repository.name());
        let name = format!("sha256.{}", blob.digest.hex());
        store.root().join(links).join(name)
    };
    let age = |repository: &Repository| {
        let old = SystemTime::now() - Duration::from_secs(7200);
        fs::File::open(link(repository))
            .unwrap()
            .set_modified(old)
            .unwrap();
    };
    let ways: [&dyn Fn(); 4] = [
        &|| assert_eq!(one.need(&blob).unwrap(), Need::Nothing),
        &|| assert_eq!(one.has_blob(&blob.digest).unwrap(), Some(3)),
        &|| assert!(two.mount(&blob.digest, &one).unwrap()),
        &|| drop(one.put("text/plain", b"abc").unwrap()),
    ];
    for way in ways {
        age(&one);
        way();
        assert_eq!(store.collect(&graceful).unwrap().links, 0);
    }
    age(&one);
    assert_eq!(figures(&store.collect(&graceful).unwrap()), (1, 0, 0, 0));
    assert_eq!(one.has_blob(&blob.digest).unwrap(), None);
    assert_eq!(two.has_blob(&blob.digest).unwrap(), Some(3));
}

#[test]
fn a_manifest_whose_blob_was_collected_is_refused_until_it_is_brought_again() {
    let (_home, store) = home();
    let digits = repository(&store, "digits");
    let manifest = image(&digits, &["layer"], None);
    assert_eq!(store.collect(&now()).unwrap().blobs, 3);
    let refused = Journal::begin(&digits).unwrap().admit(&manifest);
    assert!(matches!(refused, Err(Error::NotFound { .. })));
    assert_eq!(push(&digits, &["layer"], None), manifest);
    assert_eq!(figures(&store.collect(&now()).unwrap()), (0, 0, 0, 0));
}

#[test]
fn where_a_manifest_cannot_be_read_everything_stays() {
    let (home, store) = home();
    let (broken, sound) = (repository(&store, "broken"), repository(&store, "sound"));
    let manifest = push(&broken, &["layer"], None);
    broken.put("text/plain", b"loose").unwrap();
    sound.put("text/plain", b"other").unwrap();
    let path = blob_path(&home, &manifest.digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, vec![b'x'; manifest.size as usize]).unwrap();
    let collected = store.collect(&now()).unwrap();
    assert_eq!((collected.links, collected.blobs, collected.bytes), (1, 1, 5));
    let kept: Vec<&str> = collected.kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(kept, ["broken"]);
    assert_eq!(store.blobs().unwrap().count(), 4);
}

#[test]
fn who_has_a_blob_open_reads_it_to_its_end() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let blob = digits.put("text/plain", &[7; 5000]).unwrap();
    let range = ByteRange {
        offset: 0,
        length: 5000,
    };
    let mut reader = digits.open(&blob, range).unwrap();
    assert_eq!(store.collect(&now()).unwrap().blobs, 1);
    assert!(!blob_path(&home, &blob.digest).exists());
    let mut found = Vec::new();
    reader.read_to_end(&mut found).unwrap();
    assert_eq!(found, [7; 5000]);
}

#[test]
fn a_blob_that_is_being_written_is_not_collected() {
    let (_home, store) = home();
    let digits = repository(&store, "digits");
    let mut sink = Target::begin(&digits, Expect::Unknown { size: 3 }).unwrap();
    sink.write(0, b"abc").unwrap();
    let mut writing = digits.begin_upload("").unwrap().lock().unwrap();
    writing.write(b"def").unwrap();
    assert_eq!(figures(&store.collect(&now()).unwrap()), (0, 0, 0, 0));
    let mut hasher = modelkeep_core::Hasher::new(modelkeep_core::Algorithm::Sha256);
    hasher.update(b"abc");
    sink.commit(&hasher.finish()).unwrap();
    writing.finish(&Digest::of(b"def")).unwrap();
    assert_eq!(store.blobs().unwrap().count(), 2);
}

#[test]
fn derived_records_come_back_from_the_manifests() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let subject = push(&digits, &["one"], None);
    let referrer = push(&digits, &["two"], Some(&subject));
    let directory = home.path().join("v1/repos/digits");
    let records = || -> Vec<PathBuf> {
        let places = [
            "_blobs".to_owned(),
            format!("_subject/sha256.{}", subject.digest.hex()),
        ];
        let mut found: Vec<PathBuf> = places
            .iter()
            .filter_map(|place| fs::read_dir(directory.join(place)).ok())
            .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
            .collect();
        found.sort();
        found
    };
    let whole = records();
    assert_eq!(whole.len(), 6, "{whole:?}");
    for path in &whole {
        fs::remove_file(path).unwrap();
    }
    // Damage is reported first, and nothing is written; what manifests need stays even so.
    assert_eq!(store.scrub(Repair::No).unwrap().problems.len(), 6);
    assert!(records().is_empty());
    assert_eq!(figures(&store.collect(&now()).unwrap()), (0, 0, 0, 0));
    assert_eq!(digits.referrers(&subject.digest).unwrap(), []);
    let scrubbed = store.scrub(Repair::Yes).unwrap();
    assert!(
        scrubbed
            .problems
            .iter()
            .all(|problem| matches!(problem, Problem::Derived { .. }))
    );
    assert_eq!(records(), whole);
    assert_eq!(
        digits.referrers(&subject.digest).unwrap()[0].digest,
        referrer.digest
    );
    let again = store.scrub(Repair::Yes).unwrap();
    assert!(again.problems.is_empty() && again.blobs == 5);
    // A note without its manifest goes.
    fs::remove_file(directory.join(format!("_manifests/sha256.{}", referrer.digest.hex()))).unwrap();
    assert_eq!(store.scrub(Repair::Yes).unwrap().problems.len(), 1);
    assert_eq!(records().len(), 5);
}

#[test]
fn a_damaged_blob_is_put_aside_and_brought_again() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    push(&digits, &["layer"], None);
    let layer = Descriptor::of(media::OCI_LAYER, b"layer");
    let path = blob_path(&home, &layer.digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, b"Layer").unwrap();
    let damaged = |problems: &[Problem]| matches!(problems, [Problem::Damaged { digest, .. }, ..] if *digest == layer.digest);
    assert!(damaged(&store.scrub(Repair::No).unwrap().problems));
    assert_eq!(digits.need(&layer).unwrap(), Need::Nothing);
    let repaired = store.scrub(Repair::Yes).unwrap();
    assert!(damaged(&repaired.problems));
    assert!(matches!(&repaired.problems[1], Problem::Missing { part, .. } if *part == layer.digest));
    assert_eq!(digits.need(&layer).unwrap(), Need::From(0));
    digits.put(media::OCI_LAYER, b"layer").unwrap();
    assert!(store.scrub(Repair::No).unwrap().problems.is_empty());
    let aside = home
        .path()
        .join("v1/damaged")
        .join(format!("sha256.{}", layer.digest.hex()));
    assert_eq!(fs::read(aside).unwrap(), b"Layer");
}

fn spawn(test: &str, role: &str, root: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, role)
        .env(ROOT, root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Pushes images that share layers with what other processes push, until each is admitted: a layer that was collected
/// before its manifest came is brought again.
fn race(store: &Store, role: &str) {
    let own = repository(store, &format!("r{role}"));
    let shared = repository(store, "shared");
    for n in 0..PUSHES {
        let layers = [format!("layer {}", n % 7), format!("layer {role} {n}")];
        let layers = [layers[0].as_str(), layers[1].as_str()];
        let into = if n % 2 == 0 { &own } else { &shared };
        let manifest = loop {
            if n % 3 == 0 {
                for layer in &layers {
                    into.mount(&Digest::of(layer.as_bytes()), &shared).unwrap();
                }
            }
            let manifest = image(into, &layers, None);
            match Journal::begin(into).unwrap().admit(&manifest) {
                Ok(()) => break manifest,
                Err(Error::NotFound { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        // Some of it becomes garbage again.
        if n % 5 == 0 {
            withdraw(into, &manifest);
        }
    }
}

#[test]
fn collections_beside_pushes_lose_nothing() {
    const TEST: &str = "collections_beside_pushes_lose_nothing";
    if let (Ok(role), Some(root)) = (env::var(ROLE), env::var_os(ROOT)) {
        let store = Store::create(Path::new(&root)).unwrap();
        if role == "collector" {
            loop {
                let collected = store.collect(&now()).unwrap();
                assert!(collected.kept.is_empty(), "{:?}", collected.kept);
            }
        }
        return race(&store, &role);
    }
    let (home, store) = home();
    let mut collectors = [(); 2].map(|()| spawn(TEST, "collector", home.path()));
    let pushers: Vec<Child> = (0..PUSHERS)
        .map(|n| spawn(TEST, &n.to_string(), home.path()))
        .collect();
    for mut pusher in pushers {
        assert!(pusher.wait().unwrap().success());
    }
    for collector in &mut collectors {
        assert!(collector.try_wait().unwrap().is_none(), "a collector failed");
        collector.kill().unwrap();
        collector.wait().unwrap();
    }
    store.collect(&now()).unwrap();
    let scrubbed = store.scrub(Repair::No).unwrap();
    assert!(scrubbed.problems.is_empty(), "{:?}", scrubbed.problems);
    let manifests: usize = store
        .repositories()
        .unwrap()
        .iter()
        .map(|name| {
            store
                .repository(name)
                .unwrap()
                .unwrap()
                .manifests()
                .unwrap()
                .len()
        })
        .sum();
    assert_eq!(manifests, PUSHERS * PUSHES as usize * 4 / 5);
}
