//! The whole black-box suite, with 0 failed.

use modelkeep_conformance::{Options, run};
use modelkeep_server::{CreateRepositories, ServeConfig};

use crate::support::Running;

#[test]
fn every_request_of_the_list_is_answered_right() {
    let server = Running::start(ServeConfig {
        create_repositories: CreateRepositories::Mutable,
        ..Running::config()
    });
    let report = run(&server.url, &Options::default(), |result| {
        if result.failure.is_some() {
            println!("{result}");
        }
    });
    let report = report.unwrap();
    assert_eq!(report.failed(), 0, "of {}", report.results.len());
    assert!(report.passed() >= 568, "{}", report.passed());
}
