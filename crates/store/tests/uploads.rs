//! Uploads over many requests, processes and deaths.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use modelkeep_core::{Algorithm, Descriptor, Digest, Mutability, content::Source, media};
use modelkeep_store::{Repository, Store, UploadError, UploadId};
use tempfile::TempDir;

const BEGUN: &str = "2026-01-02T03:04:05Z";
const PIECE: usize = 300_007;

fn open(root: &Path) -> (Store, Repository) {
    let store = Store::create(root).unwrap();
    let made = store.create_repository(&"digits".parse().unwrap(), &Mutability::Immutable, "");
    let repository = made.unwrap().0;
    (store, repository)
}

fn home() -> (TempDir, Store, Repository) {
    let home = tempfile::tempdir().unwrap();
    let (store, repository) = open(home.path());
    (home, store, repository)
}

fn model(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect()
}

fn is_blob(repository: &Repository, digest: &Digest, bytes: &[u8]) {
    let blob = Descriptor::plain(media::OCI_LAYER, digest.clone(), bytes.len() as u64);
    assert!(repository.fetch(&blob, bytes.len() as u64).unwrap() == bytes);
}

fn uploads(home: &TempDir) -> usize {
    fs::read_dir(home.path().join("v1/uploads")).map_or(0, Iterator::count)
}

#[test]
fn only_32_hexadecimal_digits_name_an_upload() {
    let (_home, _store, repository) = home();
    let upload = repository.begin_upload(BEGUN).unwrap();
    assert_eq!(upload.id().to_string().parse().as_ref(), Ok(upload.id()));
    let upper = "A".repeat(32);
    let short = "0".repeat(31);
    for text in ["", "..", "../../../../../../../../etc/passwd", &upper, &short] {
        assert!(text.parse::<UploadId>().is_err(), "{text}");
    }
}

#[test]
fn a_blob_arrives_in_pieces_of_any_size() {
    let (home, store, repository) = home();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for (size, piece) in [
            (0, 1),
            (2, 1),
            (5000, 4096),
            (3 << 20, 1 << 20),
            ((3 << 20) + 4097, PIECE),
        ] {
            let bytes = model(size);
            let digest = Digest::of_with(algorithm, &bytes);
            let id = repository.begin_upload(BEGUN).unwrap().id().clone();
            let mut offset = 0;
            for piece in bytes.chunks(piece) {
                let upload = repository.upload(&id).unwrap().unwrap();
                assert_eq!((upload.offset(), upload.begun()), (offset, BEGUN));
                let mut writing = upload.lock().unwrap();
                writing.expect(piece.len() as u64).unwrap();
                writing.write(piece).unwrap();
                writing.save().unwrap();
                offset += piece.len() as u64;
            }
            let writing = repository.upload(&id).unwrap().unwrap().lock().unwrap();
            assert_eq!(writing.finish(&digest).unwrap(), size as u64);
            is_blob(&repository, &digest, &bytes);
            assert_eq!(store.check(&digest).unwrap(), size as u64);
            assert!(repository.upload(&id).unwrap().is_none());
        }
    }
    assert_eq!(uploads(&home), 0);
}

#[test]
fn a_blob_is_the_same_however_often_its_bytes_pause() {
    let (_home, store, repository) = home();
    let bytes = model((9 << 20) + 4097);
    let mut writing = repository.begin_upload(BEGUN).unwrap().lock().unwrap();
    let mut offset = 0;
    let mut lent = 0;
    while offset < bytes.len() {
        let space = writing.space();
        let taken = space.len().min(PIECE).min(bytes.len() - offset);
        space[..taken].copy_from_slice(&bytes[offset..offset + taken]);
        writing.advance(taken).unwrap();
        offset += taken;
        lent += usize::from(writing.holds_memory());
        if offset % 5 == 0 {
            writing.rest().unwrap();
            assert!(!writing.holds_memory());
            assert_eq!(writing.offset(), offset as u64);
        }
    }
    assert!(lent > 0, "bytes that come fast are lent a buffer");
    let digest = Digest::of(&bytes);
    writing.finish(&digest).unwrap();
    assert_eq!(store.check(&digest).unwrap(), bytes.len() as u64);
}

#[test]
fn one_writes_at_a_time_and_the_next_goes_on_where_it_ended() {
    let (_home, _store, repository) = home();
    let upload = repository.begin_upload(BEGUN).unwrap();
    let mut writing = upload.lock().unwrap();
    for busy in [upload.lock().err(), upload.cancel().err()] {
        assert!(matches!(busy, Some(UploadError::Busy)));
    }
    writing.write(b"abc").unwrap();
    writing.save().unwrap();
    // Not saved, and so not there.
    writing.write(b"xyz").unwrap();
    drop(writing);
    let mut writing = upload.lock().unwrap();
    assert_eq!(writing.offset(), 3);
    writing.write(b"def").unwrap();
    writing.finish(&Digest::of(b"abcdef")).unwrap();
    assert!(matches!(upload.lock().err(), Some(UploadError::Gone)));
}

#[test]
fn an_upload_belongs_to_its_repository() {
    let (_home, store, repository) = home();
    let other = store.create_repository(&"other".parse().unwrap(), &Mutability::Immutable, "");
    let upload = repository.begin_upload(BEGUN).unwrap();
    assert!(other.unwrap().0.upload(upload.id()).unwrap().is_none());
    assert!(repository.upload(upload.id()).unwrap().is_some());
}

#[test]
fn what_is_not_the_digest_is_refused_and_the_upload_is_no_more() {
    let (home, store, repository) = home();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let mut writing = repository.begin_upload(BEGUN).unwrap().lock().unwrap();
        writing.write(b"abd").unwrap();
        let expected = Digest::of_with(algorithm, b"abc");
        let error = writing.finish(&expected).unwrap_err();
        assert!(
            matches!(error, UploadError::Digest { found, .. } if found == Digest::of_with(algorithm, b"abd"))
        );
        assert_eq!(repository.has_blob(&expected).unwrap(), None);
    }
    assert_eq!((uploads(&home), store.blobs().unwrap().count()), (0, 0));
}

#[test]
fn a_blob_that_is_here_stays_and_is_linked() {
    let (home, store, repository) = home();
    let other = store.create_repository(&"other".parse().unwrap(), &Mutability::Immutable, "");
    let other = other.unwrap().0;
    let digest = Digest::of(b"abc");
    for repository in [&repository, &other, &other] {
        let mut writing = repository.begin_upload(BEGUN).unwrap().lock().unwrap();
        writing.write(b"abc").unwrap();
        writing.finish(&digest).unwrap();
        is_blob(repository, &digest, b"abc");
    }
    assert_eq!((uploads(&home), store.blobs().unwrap().count()), (0, 1));
}

#[test]
fn a_cancelled_upload_leaves_nothing() {
    let (home, _store, repository) = home();
    let upload = repository.begin_upload(BEGUN).unwrap();
    upload.cancel().unwrap();
    assert!(matches!(upload.cancel(), Err(UploadError::Gone)));
    let mut writing = repository.begin_upload(BEGUN).unwrap().lock().unwrap();
    writing.write(b"abc").unwrap();
    writing.cancel().unwrap();
    assert_eq!(uploads(&home), 0);
}

#[test]
fn stale_uploads_are_swept_and_living_ones_are_not() {
    let (home, store, repository) = home();
    let mut stale = repository.begin_upload(BEGUN).unwrap().lock().unwrap();
    stale.write(&[1; 100]).unwrap();
    stale.save().unwrap();
    drop(stale);
    let living = repository.begin_upload(BEGUN).unwrap();
    let writing = living.lock().unwrap();
    let past = SystemTime::now() - Duration::from_secs(3600);
    assert_eq!(store.sweep_uploads(past).unwrap().uploads, 0);
    let swept = store
        .sweep_uploads(SystemTime::now() + Duration::from_secs(1))
        .unwrap();
    assert_eq!((swept.uploads, swept.bytes), (1, 100));
    assert_eq!(uploads(&home), 1);
    drop(writing);
    assert!(repository.upload(living.id()).unwrap().is_some());
}

#[test]
fn a_broken_record_is_named_and_one_that_a_power_cut_emptied_is_no_upload() {
    let (home, _store, repository) = home();
    let upload = repository.begin_upload(BEGUN).unwrap();
    let state = home.path().join(format!("v1/uploads/{}/state", upload.id()));
    let whole = fs::read_to_string(&state).unwrap();
    for broken in [
        "{".to_owned(),
        whole.replace("\"offset\":0", "\"offset\":1"),
        whole.replace("\"sha256\":\"", "\"sha256\":\"zz"),
    ] {
        fs::write(&state, broken).unwrap();
        assert!(upload.lock().is_err());
    }
    fs::write(&state, "").unwrap();
    assert!(repository.upload(upload.id()).unwrap().is_none());
}

#[test]
fn an_upload_that_lost_bytes_is_damaged() {
    let (home, _store, repository) = home();
    let upload = repository.begin_upload(BEGUN).unwrap();
    let mut writing = upload.lock().unwrap();
    writing.write(&[1; 5000]).unwrap();
    writing.save().unwrap();
    drop(writing);
    fs::write(
        home.path().join(format!("v1/uploads/{}/data", upload.id())),
        [1; 4999],
    )
    .unwrap();
    assert!(matches!(upload.lock().err(), Some(UploadError::Content(_))));
}

#[test]
fn room_that_no_disk_has_is_refused() {
    let (_home, _store, repository) = home();
    let mut writing = repository.begin_upload(BEGUN).unwrap().lock().unwrap();
    for bytes in [1 << 60, u64::MAX] {
        assert!(writing.expect(bytes).is_err());
    }
    writing.write(b"abc").unwrap();
    writing.finish(&Digest::of(b"abc")).unwrap();
}

#[test]
fn what_is_given_up_leaves_its_room_and_the_upload_goes_on_from_the_save() {
    let (home, _store, repository) = home();
    let upload = repository.begin_upload(BEGUN).unwrap();
    let bytes = model(3 << 20);
    let mut writing = upload.lock().unwrap();
    writing.write(&bytes[..PIECE]).unwrap();
    writing.save().unwrap();
    writing.write(&bytes[PIECE..]).unwrap();
    writing.give_up().unwrap();
    let data = home.path().join(format!("v1/uploads/{}/data", upload.id()));
    assert_eq!(fs::metadata(data).unwrap().len(), PIECE as u64);
    let mut writing = upload.lock().unwrap();
    assert_eq!(writing.offset(), PIECE as u64);
    writing.write(&bytes[PIECE..]).unwrap();
    let digest = Digest::of(&bytes);
    writing.finish(&digest).unwrap();
    is_blob(&repository, &digest, &bytes);
}

#[test]
fn an_upload_remembers_its_smallest_part_but_the_last_over_processes() {
    let (_home, _store, repository) = home();
    let begun = repository.begin_upload(BEGUN).unwrap();
    let mut smallest = Vec::new();
    for part in [500, 300, 400, 100] {
        let upload = repository.upload(begun.id()).unwrap().unwrap();
        let mut writing = upload.lock().unwrap();
        writing.write(&model(part)).unwrap();
        writing.save().unwrap();
        // Saving once more adds no part.
        writing.save().unwrap();
        smallest.push(repository.upload(begun.id()).unwrap().unwrap().smallest_part());
    }
    assert_eq!(smallest, [None, Some(500), Some(300), Some(300)]);
}
