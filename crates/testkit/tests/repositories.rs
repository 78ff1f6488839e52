//! Declared repositories in memory keep the clauses, with the powers of each registry.

use modelkeep_core::repositories::Powers;
use modelkeep_testkit::{LogosAre, MemoryRepositories, conformance::repositories::Registry};

fn with(powers: Powers, logos: LogosAre, clause: &dyn Fn(&Registry<'_>)) {
    let memory = MemoryRepositories::new(powers, logos);
    clause(&Registry {
        repositories: &memory,
        push_image: &|name| memory.push_image(name),
    });
}

mod embedded {
    use super::*;

    fn with_memory(clause: &dyn Fn(&Registry<'_>)) {
        with(Powers::embedded(), LogosAre::Digests, clause);
    }

    modelkeep_testkit::repository_tests!(with_memory);
}

mod ecr_public {
    use super::*;

    fn with_memory(clause: &dyn Fn(&Registry<'_>)) {
        with(Powers::ecr_public(), LogosAre::Urls, clause);
    }

    modelkeep_testkit::repository_tests!(with_memory);
}

mod ecr {
    use super::*;

    fn with_memory(clause: &dyn Fn(&Registry<'_>)) {
        with(Powers::ecr(), LogosAre::Urls, clause);
    }

    modelkeep_testkit::repository_tests!(with_memory);
}
