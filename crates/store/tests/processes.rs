//! Many processes, one store.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{
    env,
    path::Path,
    process::{Child, Command, Stdio},
};

use modelkeep_core::{
    Descriptor, Digest, Mutability, Tag,
    content::{Journal, Names, Source, Target},
    manifest, media,
};
use modelkeep_store::{Repository, Store};

const ROLE: &str = "MODELKEEP_TEST_RACER";
const ROOT: &str = "MODELKEEP_TEST_STORE";
const RACERS: usize = 8;
const VERSIONS: u32 = 25;

/// This test again, in a process of its own that plays `role`.
fn spawn(test: &str, role: &str, root: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, role)
        .env(ROOT, root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn open(root: &Path) -> Repository {
    let store = Store::create(root).unwrap();
    let made = store.create_repository(&"digits".parse().unwrap(), &Mutability::Immutable, "");
    made.unwrap().0
}

/// Gives every version to a manifest of its own, unless another has been faster.
fn race(repository: &Repository, role: &str) {
    for version in 0..VERSIONS {
        let config = repository.put(media::OCI_CONFIG, b"{}").unwrap();
        let layer = repository.put(media::OCI_LAYER, role.as_bytes()).unwrap();
        let text = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer],
            "annotations": {"version": version.to_string()}});
        let manifest = repository
            .put(media::OCI_MANIFEST, &manifest::to_json(&text))
            .unwrap();
        let tag: Tag = version.to_string().parse().unwrap();
        let mut change = Journal::begin(repository).unwrap();
        if change.resolve(&tag).unwrap().is_some() {
            continue;
        }
        change.admit(&manifest).unwrap();
        let height = change.entries(1).unwrap().len() as u64 + 1;
        change
            .append(height, format!("{tag} {}", manifest.digest).as_bytes())
            .unwrap();
        change.set_tag(&tag, &manifest).unwrap();
    }
}

#[test]
fn of_many_processes_that_give_a_version_one_does() {
    if let (Ok(role), Some(root)) = (env::var(ROLE), env::var_os(ROOT)) {
        return race(&open(Path::new(&root)), &role);
    }
    let home = tempfile::tempdir().unwrap();
    // Not even the store is there when they start.
    let root = home.path().join("store");
    let racers: Vec<Child> = (0..RACERS)
        .map(|n| {
            spawn(
                "of_many_processes_that_give_a_version_one_does",
                &n.to_string(),
                &root,
            )
        })
        .collect();
    for mut racer in racers {
        assert!(racer.wait().unwrap().success());
    }
    let repository = open(&root);
    let entries = repository.entries(1).unwrap();
    assert_eq!(entries.len(), VERSIONS as usize);
    for entry in entries {
        let entry = String::from_utf8(entry).unwrap();
        let (version, digest) = entry.split_once(' ').unwrap();
        let found: Descriptor = repository.resolve(&version.parse().unwrap()).unwrap().unwrap();
        assert_eq!(found.digest, digest.parse::<Digest>().unwrap());
        repository.fetch(&found, 4096).unwrap();
    }
    assert_eq!(repository.manifests().unwrap().len(), VERSIONS as usize);
    assert_eq!(std::fs::read_dir(root.join("v1/staging")).unwrap().count(), 0);
}

#[test]
fn a_killed_process_leaves_a_store_that_others_use() {
    if let (Ok(role), Some(root)) = (env::var(ROLE), env::var_os(ROOT)) {
        let repository = open(Path::new(&root));
        let mut change = Journal::begin(&repository).unwrap();
        for height in 1.. {
            let blob = repository.put("text/plain", format!("{role} {height}").as_bytes());
            change.append(height, &manifest::to_json(&blob.unwrap())).unwrap();
        }
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for round in 1..=5 {
        let root = home.path().join(round.to_string());
        let repository = open(&root);
        let mut writer = spawn("a_killed_process_leaves_a_store_that_others_use", "writer", &root);
        // It dies at whatever it does when it has written so much.
        while repository.entries(round * 3).unwrap().is_empty() {
            assert!(writer.try_wait().unwrap().is_none(), "the writer ended by itself");
            std::thread::yield_now();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        // The lock died with it, every entry is whole, and what it was writing is swept.
        let store = Store::create(&root).unwrap();
        let mut change = Journal::begin(&repository).unwrap();
        let entries = change.entries(1).unwrap();
        for entry in &entries {
            let blob: Descriptor = serde_json::from_slice(entry).unwrap();
            assert_eq!(store.check(&blob.digest).unwrap(), blob.size);
            repository.fetch(&blob, 4096).unwrap();
        }
        change.append(entries.len() as u64 + 1, b"after").unwrap();
        assert_eq!(std::fs::read_dir(root.join("v1/staging")).unwrap().count(), 0);
    }
}
