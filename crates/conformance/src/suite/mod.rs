//! The tests, one file per group.

mod accounts;
mod blobs;
mod cached;
mod catalog;
mod clients;
mod content;
mod data_sets;
mod deletes;
mod errors;
mod manifests;
mod mounts;
mod out_of_order;
mod ping;
mod pushes;
mod ranges;
mod referrers;
mod refused_manifests;
mod shapes;
mod tag_params;
mod tags;
mod uploads;

use crate::check::Outcome;
use crate::digest::Algorithm;
use crate::scene::Scene;

/// The body of a test.
type Case = fn(&Scene<'_>) -> Outcome;

/// A test's name in its group, and its body.
type Table = &'static [(&'static str, Case)];

/// A named test.
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) run: Box<dyn Fn(&Scene<'_>) -> Outcome + Send + Sync>,
}

/// Names each test after its function.
macro_rules! table {
    ($($case:ident),* $(,)?) => {
        &[$((stringify!($case), $case)),*]
    };
}
use table;

/// Whether the run has credentials, and so can tell strangers from friends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Accounts {
    None,
    Given,
}

/// All tests, in the order in which they start.
pub(crate) fn all_tests(accounts: Accounts) -> Vec<Test> {
    let mut tests = Vec::new();
    tests.extend(once("ping", ping::TESTS));
    tests.extend(per_algorithm("blobs", blobs::TESTS));
    tests.extend(per_algorithm("pushes", pushes::TESTS));
    tests.extend(once("uploads", uploads::TESTS));
    tests.extend(per_algorithm("out_of_order", out_of_order::TESTS));
    tests.extend(per_algorithm("ranges", ranges::TESTS));
    tests.extend(per_algorithm("mounts", mounts::TESTS));
    tests.extend(once("manifests", manifests::TESTS));
    tests.extend(data_sets::tests());
    tests.extend(per_algorithm("tag_params", tag_params::TESTS));
    tests.extend(once("tags", tags::TESTS));
    tests.extend(once("referrers", referrers::TESTS));
    tests.extend(once("deletes", deletes::TESTS));
    tests.extend(once("errors", errors::TESTS));
    tests.extend(once("refused_manifests", refused_manifests::TESTS));
    tests.extend(once("cached", cached::TESTS));
    tests.extend(once("catalog", catalog::TESTS));
    tests.extend(once("clients", clients::TESTS));
    tests.extend(once("content", content::TESTS));
    if accounts == Accounts::Given {
        tests.extend(once("accounts", accounts::TESTS));
    }
    tests
}

fn once(group: &'static str, table: Table) -> impl Iterator<Item = Test> {
    table.iter().map(move |(name, case)| Test {
        name: format!("{group}/{name}"),
        algorithm: Algorithm::Sha256,
        run: Box::new(*case),
    })
}

fn per_algorithm(group: &'static str, table: Table) -> impl Iterator<Item = Test> {
    Algorithm::BOTH.into_iter().flat_map(move |algorithm| {
        table.iter().map(move |(name, case)| Test {
            name: format!("{group}/{}/{name}", algorithm.name()),
            algorithm,
            run: Box::new(*case),
        })
    })
}
