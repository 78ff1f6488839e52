//! An OCI layout keeps the clauses of the ports.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

use modelkeep_package::oci_layout::OciLayoutWriter;

fn with_layout(clause: &dyn Fn(&OciLayoutWriter)) {
    let directory = tempfile::tempdir().unwrap();
    let layout = OciLayoutWriter::create(directory.path()).unwrap();
    clause(&layout);
    // Whatever a clause did, nothing of it is left half done.
    let partial = std::fs::read_dir(directory.path().join(".modelkeep-partial")).unwrap();
    assert_eq!(partial.count(), 0);
}

modelkeep_testkit::blob_tests!(with_layout);
