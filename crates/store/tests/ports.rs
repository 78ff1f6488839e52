//! A repository of a store keeps the clauses of the ports.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use modelkeep_core::Mutability;
use modelkeep_store::{Repository, Store};

fn with_repository(clause: &dyn Fn(&Repository)) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::create(home.path()).unwrap();
    let name = "team/digits".parse().unwrap();
    let (repository, _) = store
        .create_repository(&name, &Mutability::Immutable, "")
        .unwrap();
    clause(&repository);
    // Whatever a clause did, nothing of it is left half done, and what is kept is whole.
    assert_eq!(
        std::fs::read_dir(home.path().join("v1/staging")).unwrap().count(),
        0
    );
    for blob in store.blobs().unwrap() {
        let (digest, size) = blob.unwrap();
        assert_eq!(store.check(&digest).unwrap(), size);
    }
}

modelkeep_testkit::blob_tests!(with_repository);
modelkeep_testkit::name_tests!(with_repository);
