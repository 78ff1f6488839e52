//! A store among foreign files, broken records, damaged blobs, and what killed processes leave.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use modelkeep_core::{
    Algorithm, Buffer, ByteRange, Descriptor, Digest, Hasher, Mutability, RepoName, Tag,
    content::{Error, Expect, Journal, Names, Need, Source, Target},
    manifest, media,
};
use modelkeep_disk::Outcome;
use modelkeep_store::{Repository, Store};
use tempfile::TempDir;

const CREATED: &str = "2026-01-02T03:04:05Z";

fn home() -> (TempDir, Store) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create(home.path()).unwrap();
    (home, store)
}

fn name(text: &str) -> RepoName {
    text.parse().unwrap()
}

fn repository(store: &Store, text: &str) -> Repository {
    let made = store.create_repository(&name(text), &Mutability::Immutable, CREATED);
    made.unwrap().0
}

fn blob_path(home: &TempDir, digest: &Digest) -> PathBuf {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    home.path()
        .join(format!("v1/blobs/{algorithm}/{}/{hex}", &hex[..2]))
}

/// Writes over a blob as only a broken disk does.
fn damage(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A manifest without layers, tagged `1.0`.
fn publish(repository: &Repository) -> Descriptor {
    let config = repository.put(media::OCI_CONFIG, b"{}").unwrap();
    let text = serde_json::json!({"schemaVersion": 2, "config": config, "layers": []});
    let descriptor = repository
        .put(media::OCI_MANIFEST, &manifest::to_json(&text))
        .unwrap();
    let mut change = Journal::begin(repository).unwrap();
    change.admit(&descriptor).unwrap();
    change.append(1, b"entry").unwrap();
    change.set_tag(&"1.0".parse().unwrap(), &descriptor).unwrap();
    drop(change);
    descriptor
}

#[test]
fn a_store_that_is_not_there_is_not_found() {
    let home = tempfile::tempdir().unwrap();
    for path in [home.path(), &home.path().join("none")] {
        assert!(matches!(Store::open(path), Err(Error::NotFound { .. })));
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn a_store_is_made_once_by_however_many() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("deep/store");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Store::create(&root).unwrap());
        }
    });
    let format = fs::read_to_string(root.join("format")).unwrap();
    assert_eq!(format, r#"{"format":"modelkeep-store","version":1}"#);
    assert!(Store::open(&root).unwrap().repositories().unwrap().is_empty());
}

#[test]
fn a_store_is_not_made_among_other_files() {
    let home = tempfile::tempdir().unwrap();
    // A file system of its own begins with this.
    fs::create_dir(home.path().join("lost+found")).unwrap();
    Store::create(home.path()).unwrap();
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("thesis.tex"), "").unwrap();
    let error = Store::create(home.path()).unwrap_err();
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn a_newer_or_broken_store_is_let_be() {
    let (home, _) = home();
    for (format, says) in [
        (
            r#"{"format":"modelkeep-store","version":2}"#,
            "use a newer modelkeep",
        ),
        (r#"{"format":"something else","version":1}"#, "something else"),
        ("", "format"),
    ] {
        fs::write(home.path().join("format"), format).unwrap();
        for result in [Store::open(home.path()), Store::create(home.path())] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }));
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

#[test]
fn what_a_killed_process_staged_is_swept() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let living = Target::begin(&digits, Expect::Unknown { size: 1 }).unwrap();
    let staging = home.path().join("v1/staging");
    fs::write(staging.join("0123456789abcdef"), [0; 4096]).unwrap();
    Store::create(home.path()).unwrap();
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 1);
    drop(living);
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
}

#[test]
fn repositories_nest_and_are_listed() {
    let (_home, store) = home();
    for text in ["a/b/c", "a", "b-c", "a.b"] {
        repository(&store, text);
    }
    let names = ["a", "a.b", "a/b/c", "b-c"].map(name);
    assert_eq!(store.repositories().unwrap(), names);
    assert!(store.repository(&name("a/b")).unwrap().is_none());
    assert_eq!(store.repository(&name("a")).unwrap().unwrap().name(), &name("a"));
}

#[test]
fn a_repository_is_made_once_and_keeps_its_policy() {
    let (home, store) = home();
    let policies = [
        Mutability::Mutable,
        Mutability::ImmutableWithExclusion(vec!["dev-*".parse().unwrap()]),
        Mutability::Immutable,
    ];
    let made: Vec<(Mutability, Repository, Outcome)> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..9)
            .map(|n| {
                let (store, policy) = (&store, policies[n % 3].clone());
                scope.spawn(move || {
                    let (found, outcome) = store
                        .create_repository(&name("digits"), &policy, CREATED)
                        .unwrap();
                    (policy, found, outcome)
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    let winners: Vec<_> = made
        .iter()
        .filter(|(_, _, outcome)| *outcome == Outcome::Created)
        .collect();
    assert_eq!(winners.len(), 1);
    for (_, found, _) in &made {
        assert_eq!(found.mutability(), &winners[0].0);
        assert_eq!(found.created(), CREATED);
    }
    // The policy may be changed by another process; who holds the lock sees what holds.
    let record = home.path().join("v1/repos/digits/_repository");
    fs::write(&record, r#"{"version":1,"mutability":"MUTABLE","created":""}"#).unwrap();
    let change = Journal::begin(&made[0].1).unwrap();
    assert_eq!(change.mutability(), &Mutability::Mutable);
    drop(change);
    fs::remove_file(&record).unwrap();
    assert!(matches!(Journal::begin(&made[0].1), Err(Error::NotFound { .. })));
}

#[test]
fn repositories_share_blobs_and_read_only_what_they_have() {
    let (_home, store) = home();
    let (one, two) = (repository(&store, "one"), repository(&store, "two"));
    let blob = one.put("text/plain", b"abc").unwrap();
    assert!(matches!(two.fetch(&blob, 3), Err(Error::NotFound { .. })));
    assert_eq!(two.need(&blob).unwrap(), Need::Nothing);
    assert_eq!(two.fetch(&blob, 3).unwrap(), b"abc");
    assert_eq!(store.blobs().unwrap().count(), 1);
}

#[test]
fn a_large_blob_is_written_in_aligned_pieces() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let bytes: Vec<u8> = (0..(3 << 20) + 4097).map(|n: u32| (n % 251) as u8).collect();
    let size = bytes.len() as u64;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut sink = Target::begin(&digits, Expect::Unknown { size }).unwrap();
    let mut buffer = Buffer::new(1 << 20);
    for (n, piece) in bytes.chunks(1 << 20).enumerate() {
        buffer[..piece.len()].copy_from_slice(piece);
        hasher.update(piece);
        sink.write((n as u64) << 20, &buffer[..piece.len()]).unwrap();
    }
    let hashed = hasher.finish();
    sink.commit(&hashed).unwrap();
    assert_eq!(store.check(hashed.digest()).unwrap(), size);
    let blob = Descriptor::new(media::OCI_LAYER, &hashed);
    assert!(digits.fetch(&blob, size).unwrap() == bytes);
    // Ranges that end within a block, and that begin there, read in aligned pieces.
    for (offset, length) in [
        (0, size),
        (4096, (2 << 20) + 1),
        (7, 2 << 20),
        (1 << 20, size - (1 << 20)),
    ] {
        let mut reader = digits.open(&blob, ByteRange { offset, length }).unwrap();
        let mut found = Vec::new();
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => break,
                read => found.extend_from_slice(&buffer[..read]),
            }
        }
        assert!(
            found == bytes[offset as usize..][..length as usize],
            "{offset} {length}"
        );
    }
    let mode = fs::metadata(blob_path(&home, hashed.digest()))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o333, 0, "a blob can be written to: {mode:o}");
}

#[test]
fn a_blob_that_no_disk_holds_is_refused_and_leaves_nothing() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    for size in [1 << 60, u64::MAX] {
        let sink = Target::begin(&digits, Expect::Unknown { size });
        assert!(matches!(sink.err(), Some(Error::Io { .. })));
    }
    assert_eq!(fs::read_dir(home.path().join("v1/staging")).unwrap().count(), 0);
}

#[test]
fn a_damaged_blob_is_found() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let blob = digits.put("text/plain", b"abc").unwrap();
    damage(&blob_path(&home, &blob.digest), b"abd");
    assert!(matches!(store.check(&blob.digest), Err(Error::Damaged { .. })));
    assert!(matches!(digits.fetch(&blob, 3), Err(Error::Damaged { .. })));
    let never = Digest::of(b"never");
    assert!(matches!(store.check(&never), Err(Error::NotFound { .. })));
}

#[test]
fn a_torn_blob_is_needed_again_and_replaced() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let blob = digits.put("text/plain", b"abc").unwrap();
    let path = blob_path(&home, &blob.digest);
    let whole = ByteRange { offset: 0, length: 3 };
    damage(&path, b"ab");
    assert!(matches!(
        digits.open(&blob, whole).err(),
        Some(Error::Damaged { .. })
    ));
    assert_eq!(digits.need(&blob).unwrap(), Need::From(0));
    digits.put("text/plain", b"abc").unwrap();
    assert_eq!(digits.fetch(&blob, 3).unwrap(), b"abc");
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        digits.open(&blob, whole).err(),
        Some(Error::Damaged { .. })
    ));
}

#[test]
fn a_blob_that_shrinks_while_it_is_read_is_no_short_blob() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let blob = digits.put("text/plain", &[7; 5000]).unwrap();
    let mut reader = digits
        .open(
            &blob,
            ByteRange {
                offset: 0,
                length: 5000,
            },
        )
        .unwrap();
    damage(&blob_path(&home, &blob.digest), &[7; 100]);
    let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn all_blobs_are_listed_and_foreign_files_among_them_are_named() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let mut expected: Vec<(Digest, u64)> = (0..20)
        .map(|n| digits.put("text/plain", &vec![n; usize::from(n)]).unwrap())
        .map(|blob| (blob.digest, blob.size))
        .collect();
    expected.sort();
    let found: Vec<_> = store.blobs().unwrap().map(Result::unwrap).collect();
    assert_eq!(found, expected);
    let foreign = home.path().join("v1/blobs/sha256/zz");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("file"), "").unwrap();
    let (right, wrong): (Vec<_>, Vec<_>) = store.blobs().unwrap().partition(Result::is_ok);
    assert_eq!((right.len(), wrong.len()), (20, 1));
    let error = wrong.into_iter().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("sha256/zz/file"), "{error}");
}

#[test]
fn manifests_are_remembered_with_their_type() {
    let (_home, store) = home();
    let digits = repository(&store, "digits");
    let manifest = publish(&digits);
    let found = store.repository(&name("digits")).unwrap().unwrap();
    assert_eq!(
        found.manifest(&manifest.digest).unwrap().as_ref(),
        Some(&manifest)
    );
    assert_eq!(found.manifests().unwrap(), [manifest]);
    assert_eq!(found.manifest(&Digest::of(b"none")).unwrap(), None);
}

#[test]
fn a_manifest_keeps_the_type_that_it_came_with() {
    let (_home, store) = home();
    let digits = repository(&store, "digits");
    let manifest = publish(&digits);
    let docker = Descriptor::plain(media::DOCKER_MANIFEST, manifest.digest.clone(), manifest.size);
    let error = Journal::begin(&digits).unwrap().admit(&docker).unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    assert_eq!(digits.manifests().unwrap(), [manifest]);
}

#[test]
fn broken_records_are_named() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let manifest = publish(&digits);
    let tag: Tag = "1.0".parse().unwrap();
    let directory = home.path().join("v1/repos/digits");
    let hex = manifest.digest.hex();
    for (file, broken) in [
        (
            "_tags/1.0".to_owned(),
            r#"{"mediaType":"x","digest":"sha256:..","size":1}"#,
        ),
        (format!("_manifests/sha256.{hex}"), r#"{"size":-1}"#),
        ("_repository".to_owned(), r#"{"version":1}"#),
        (
            "_repository".to_owned(),
            r#"{"version":2,"mutability":"MUTABLE","created":""}"#,
        ),
    ] {
        let path = directory.join(&file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, broken).unwrap();
        let errors = [
            digits.resolve(&tag).err(),
            digits.manifests().err(),
            store.repository(&name("digits")).err(),
        ];
        let errors: Vec<Error> = errors.into_iter().flatten().collect();
        assert_eq!(errors.len(), 1, "{file}");
        assert!(matches!(&errors[0], Error::Malformed { what, .. } if what.ends_with(&file)));
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_history_with_a_hole_is_damaged_and_cannot_be_continued() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let mut change = Journal::begin(&digits).unwrap();
    for height in 1..=3 {
        change.append(height, b"entry").unwrap();
    }
    drop(change);
    assert_eq!(digits.entries(2).unwrap().len(), 2);
    let entry = |height: u64| home.path().join(format!("v1/repos/digits/_history/{height:08}"));
    for lost in [2, 1] {
        fs::remove_file(entry(lost)).unwrap();
        let error = digits.entries(1).unwrap_err();
        assert!(matches!(&error, Error::Damaged { expected, .. } if *expected == format!("entry {lost}")));
    }
}

#[test]
fn an_entry_larger_than_any_is_not_read_into_memory() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    let mut change = Journal::begin(&digits).unwrap();
    assert!(change.append(1, &vec![b' '; (4 << 20) + 1]).is_err());
    change.append(1, b"entry").unwrap();
    drop(change);
    let path = home.path().join("v1/repos/digits/_history/00000001");
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert!(matches!(digits.entries(1), Err(Error::Malformed { what, .. }) if what.ends_with("00000001")));
}

#[test]
fn foreign_files_among_records_are_named() {
    let (home, store) = home();
    let digits = repository(&store, "digits");
    publish(&digits);
    let repositories = home.path().join("v1/repos");
    // File managers leave these everywhere.
    for place in [
        "",
        "digits",
        "digits/_tags",
        "digits/_manifests",
        "digits/_history",
    ] {
        fs::write(repositories.join(place).join(".DS_Store"), "").unwrap();
    }
    assert!(digits.tags().is_ok() && digits.manifests().is_ok() && store.repositories().is_ok());
    assert_eq!(digits.entries(1).unwrap().len(), 1);
    for file in [
        "digits/_tags/V1",
        "digits/_manifests/x",
        "digits/_history/2",
        "Upper",
    ] {
        let path = repositories.join(file);
        fs::write(&path, "").unwrap();
        let errors = [
            digits.tags().err(),
            digits.manifests().err(),
            digits.entries(1).err(),
            store.repositories().err(),
        ];
        let errors: Vec<Error> = errors.into_iter().flatten().collect();
        assert_eq!(errors.len(), 1, "{file}");
        assert!(matches!(&errors[0], Error::Malformed { what, .. } if what.ends_with(file)));
        fs::remove_file(path).unwrap();
    }
}
