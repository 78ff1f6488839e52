//! The end in memory keeps the clauses.

use modelkeep_testkit::Memory;

fn with_memory(clause: &dyn Fn(&Memory)) {
    clause(&Memory::default());
}

modelkeep_testkit::blob_tests!(with_memory);
modelkeep_testkit::name_tests!(with_memory);
