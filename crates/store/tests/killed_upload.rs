//! An upload whose writer is killed. It is alone in its process: a child that another test starts would hold the locks
//! of all open files for the moment before it becomes another program.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use modelkeep_core::{Digest, Mutability};
use modelkeep_store::{Repository, Store};

const ROOT: &str = "MODELKEEP_TEST_STORE";
const UPLOAD: &str = "MODELKEEP_TEST_UPLOAD";
const PIECE: usize = 300_007;

fn open(root: &Path) -> (Store, Repository) {
    let store = Store::create(root).unwrap();
    let made = store.create_repository(&"digits".parse().unwrap(), &Mutability::Immutable, "");
    let repository = made.unwrap().0;
    (store, repository)
}

#[test]
fn a_killed_writer_leaves_an_upload_that_goes_on() {
    const TEST: &str = "a_killed_writer_leaves_an_upload_that_goes_on";
    let bytes: Vec<u8> = (0..16usize << 20)
        .map(|n| (n % 251) as u8 ^ (n >> 16) as u8)
        .collect();
    if let (Some(root), Ok(id)) = (env::var_os(ROOT), env::var(UPLOAD)) {
        let (_, repository) = open(Path::new(&root));
        let upload = repository.upload(&id.parse().unwrap()).unwrap().unwrap();
        let mut writing = upload.lock().unwrap();
        let offset = usize::try_from(writing.offset()).unwrap();
        for (n, piece) in bytes[offset..].chunks(PIECE).take(12).enumerate() {
            writing.write(piece).unwrap();
            if n % 3 == 2 {
                writing.save().unwrap();
            }
        }
        loop {
            std::thread::park();
        }
    }
    let home = tempfile::tempdir().unwrap();
    let (store, repository) = open(home.path());
    let id = repository
        .begin_upload("2026-01-02T03:04:05Z")
        .unwrap()
        .id()
        .clone();
    let offset = || repository.upload(&id).unwrap().unwrap().offset();
    for _ in 0..4 {
        let before = offset();
        let mut writer = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(ROOT, home.path())
            .env(UPLOAD, id.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while offset() < before + 3 * PIECE as u64 {
            assert!(writer.try_wait().unwrap().is_none(), "the writer ended by itself");
            std::thread::yield_now();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    let mut writing = repository.upload(&id).unwrap().unwrap().lock().unwrap();
    let from = usize::try_from(writing.offset()).unwrap();
    assert!((12 * PIECE..bytes.len()).contains(&from), "{from}");
    writing.write(&bytes[from..]).unwrap();
    let digest = Digest::of(&bytes);
    writing.finish(&digest).unwrap();
    assert_eq!(store.check(&digest).unwrap(), bytes.len() as u64);
}
