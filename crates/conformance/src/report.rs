//! Running the tests and telling what came of them.

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::auth::Credentials;
use crate::check::Failure;
use crate::client::{Client, TargetError};
use crate::digest::Random;
use crate::scene::Scene;
use crate::suite::{Accounts, Test, all_tests};

/// Which tests run, and as whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// User name and password, given when the registry asks.
    pub user: Option<(String, String)>,
    /// Only tests whose name begins with this.
    pub only: Option<String>,
    /// Tests that run at the same time.
    pub threads: NonZeroUsize,
}

impl Default for Options {
    /// All tests, nobody's name, four at a time.
    fn default() -> Self {
        Self {
            user: None,
            only: None,
            threads: const { NonZeroUsize::new(4).unwrap() },
        }
    }
}

/// How one test ended. Displays as one line.
#[derive(Clone, Debug)]
pub struct TestResult {
    /// The test's name, `group/…/what_must_hold`.
    pub name: String,
    /// What was expected and what came, when it failed.
    pub failure: Option<String>,
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => write!(f, "ok {}", self.name),
            Some(failure) => write!(f, "FAIL {}: {failure}", self.name),
        }
    }
}

/// How all the tests of a run ended, in the order in which they started.
#[derive(Clone, Debug)]
pub struct Report {
    /// One result per test.
    pub results: Vec<TestResult>,
}

impl Report {
    /// How many tests passed.
    pub fn passed(&self) -> usize {
        self.results.len() - self.failed()
    }

    /// How many tests failed.
    pub fn failed(&self) -> usize {
        self.results
            .iter()
            .filter(|result| result.failure.is_some())
            .count()
    }

    /// `{"passed":…,"failed":…,"tests":[{"name":…,"failure":… or null},…]}`.
    pub fn to_json(&self) -> Value {
        let tests: Vec<_> = self
            .results
            .iter()
            .map(|result| json!({ "name": result.name, "failure": result.failure }))
            .collect();
        json!({ "passed": self.passed(), "failed": self.failed(), "tests": tests })
    }
}

/// The names of all tests that a run without credentials has.
///
/// A run with [`Options::user`] has the tests of the group `accounts` as well.
pub fn test_names() -> Vec<String> {
    all_tests(Accounts::None)
        .into_iter()
        .map(|test| test.name)
        .collect()
}

/// Runs the tests against the registry at `url` and tells each result as it comes.
///
/// # Errors
///
/// When `url` is not a plain HTTP address that resolves, or no test is wanted. A registry
/// that does not answer is no error here: every test fails.
pub fn run(
    url: &str,
    options: &Options,
    on_result: impl Fn(&TestResult) + Sync,
) -> Result<Report, TargetError> {
    let credentials = options
        .user
        .clone()
        .map(|(user, password)| Credentials { user, password });
    let client = Client::new(url, credentials)?;
    let prefix = options.only.as_deref().unwrap_or_default();
    let accounts = match options.user {
        Some(_) => Accounts::Given,
        None => Accounts::None,
    };
    let tests: Vec<_> = all_tests(accounts)
        .into_iter()
        .filter(|test| test.name.starts_with(prefix))
        .collect();
    if tests.is_empty() {
        return Err(TargetError::NoSuchTest(prefix.to_owned()));
    }

    // Seeded by the system, so that no two runs share repositories or content.
    let seed = RandomState::new().hash_one("conformance");
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![None; tests.len()]);
    thread::scope(|scope| {
        for _ in 0..options.threads.get().min(tests.len()) {
            scope.spawn(|| {
                while let Some((place, test)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    tests.get(place).map(|test| (place, test))
                } {
                    let result = run_one(&client, test, seed, place);
                    on_result(&result);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Report {
        results: results.into_iter().flatten().collect(),
    })
}

fn run_one(client: &Client, test: &Test, seed: u64, place: usize) -> TestResult {
    let home = format!("conformance-{seed:016x}/t{place}");
    let scene = Scene {
        client,
        repo: format!("{home}/one"),
        other: format!("{home}/two"),
        algorithm: test.algorithm,
        random: RefCell::new(Random(Random(seed ^ place as u64).word())),
    };
    let failure = (test.run)(&scene).err().map(|Failure(text)| text);
    TestResult {
        name: test.name.clone(),
        failure,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_test_has_a_name_of_its_own() {
        let names = test_names();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn every_test_fails_on_a_port_where_nobody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let report = run(&url, &Options::default(), |_| {}).unwrap();
        assert_eq!(report.passed(), 0);
        assert_eq!(report.failed(), test_names().len());
    }

    #[test]
    fn prefix_that_names_no_test_is_an_error() {
        let options = Options {
            only: Some("nothing/".to_owned()),
            ..Options::default()
        };
        let error = run("http://127.0.0.1:1", &options, |_| {}).unwrap_err();
        assert!(matches!(error, TargetError::NoSuchTest(_)));
    }
}
