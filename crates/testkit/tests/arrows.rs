//! Which crate may know which: arrows go one way.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// The crates of each crate's dependencies that are ours. What is not listed is forbidden.
const ALLOWED: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("disk", &["core"]),
    ("package", &["core", "disk"]),
    ("store", &["core", "disk"]),
    ("transfer", &["core"]),
    ("client", &["core"]),
    ("ledger", &["core"]),
    ("provision", &["core"]),
    ("server", &["core", "disk", "ledger", "store"]),
    (
        "cli",
        &[
            "client",
            "core",
            "disk",
            "ledger",
            "package",
            "provision",
            "server",
            "store",
            "transfer",
        ],
    ),
    ("testkit", &["core"]),
    ("conformance", &[]),
];

/// What tests may know besides.
const FOR_TESTS: &[&str] = &["conformance", "testkit"];

/// `modelkeep-core` is `core`, and the binary's package `modelkeep` is `cli`.
fn short(package: &str) -> Option<&str> {
    match package {
        "modelkeep" => Some("cli"),
        _ => package.strip_prefix("modelkeep-"),
    }
}

#[test]
fn arrows_between_crates_go_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let from = short(name).unwrap_or_else(|| panic!("{name} is not named after Modelkeep"));
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(name, _)| *name == from)
            .unwrap_or_else(|| panic!("nothing says what {from} may know"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(to) = dependency["name"].as_str().and_then(short) else {
                continue;
            };
            let for_tests = dependency["kind"] == "dev" && FOR_TESTS.contains(&to);
            assert!(allowed.contains(&to) || for_tests, "{from} must not know {to}");
        }
        seen.insert(from.to_owned());
    }
    assert!(seen.contains("core") && seen.contains("testkit"), "{seen:?}");
}
