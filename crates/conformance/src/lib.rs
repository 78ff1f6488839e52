//! Black-box tests of an OCI Distribution registry, one named test per request.
//!
//! The target is any registry that speaks plain HTTP. Each test works in repositories
//! of its own with content of its own, so that tests run side by side, in any order,
//! and again on the same registry. There is no third outcome beside passed and failed:
//! a registry that lacks a feature fails the tests of that feature.
//!
//! What is required is version 1.1 of the specification with the additions made since
//! (tags as parameters, cancelled uploads, digest headers), the error codes, and what
//! the common clients rely on beyond the text. Repositories must be born of a push and
//! let their tags move; deletion must be on; blobs must be answered, not redirected.
//!
//! ```no_run
//! use modelkeep_conformance::{Options, run};
//!
//! let report = run("http://127.0.0.1:5000", &Options::default(), |result| {
//!     println!("{result}");
//! })?;
//! assert_eq!(report.failed(), 0);
//! # Ok::<(), modelkeep_conformance::TargetError>(())
//! ```

#![forbid(unsafe_code)]

mod answer;
mod auth;
mod check;
mod client;
mod digest;
mod http;
mod manifest;
mod report;
mod scene;
mod suite;

pub use client::TargetError;
pub use report::{Options, Report, TestResult, run, test_names};
