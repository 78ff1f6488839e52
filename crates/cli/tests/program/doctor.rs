//! What is said of a registry, and what a push costs there.

use std::{collections::BTreeMap, fs, thread};

use serde_json::Value;

use crate::{harness::Home, serve::Serving};

fn results(report: &Value) -> BTreeMap<String, String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks
        .map(|check| (text(&check["name"]), text(&check["result"])))
        .collect()
}

#[test]
fn a_server_that_keeps_versions_itself_is_known_by_it() {
    let (there, here) = (Home::new(), Home::new());
    let server = Serving::start(&there, &[]);
    here.model("model");
    let name = format!("{}/digits", server.address);
    let empty = here.json(&["doctor", &name]);
    let found = results(&empty);
    assert_eq!(
        (found["history"].as_str(), found["tag_order"].as_str()),
        ("registry", "unknown")
    );
    for version in ["1.0", "1.1"] {
        here.write("model/config.json", format!("{{\"version\": \"{version}\"}}"));
        here.ok(&["push", "model", &format!("{name}:{version}")]);
    }
    let report = here.json(&["doctor", &name]);
    let found = results(&report);
    for (check, result) in [
        ("reachable", "yes"),
        ("credentials", "none"),
        ("history", "registry"),
        ("compare_and_set", "yes"),
        ("immutable_tags", "IMMUTABLE"),
        ("referrers", "yes"),
        ("tag_order", "sorted"),
        ("tag_pages", "yes"),
        ("ranges", "yes"),
        ("list_delay", "unknown"),
        ("mount", "unknown"),
    ] {
        assert_eq!(found[check], result, "{check}");
    }
    assert_eq!(report["enforcement"], "registry");
    assert_eq!(report["protocol_tags"].as_array().unwrap().len(), 0);
    let files = |home: &Home| crate::harness::files(&home.store().join("v1/repos"));
    let before = files(&there);
    here.ok(&["doctor", &name]);
    assert_eq!(files(&there), before, "nothing was written");
    let probed = here.json(&["doctor", &name, "--probe"]);
    let found = results(&probed);
    for check in ["mount", "delete_tags", "delete_manifests"] {
        assert_eq!(found[check], "yes", "{check}");
    }
    assert!(found["list_delay"].ends_with(" ms"), "{found:?}");
    assert_eq!(probed["left_behind"].as_array().unwrap().len(), 0);
    let versions = here.json(&["versions", &name]);
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
    there.ok(&["verify", "--all"]);
    let text = here.ok(&["doctor", &name]).stdout;
    assert!(
        text.contains("enforced by: registry") && text.contains("promise: a version never moves"),
        "{text}"
    );
}

#[test]
fn a_store_is_looked_at_too_and_what_is_not_there_is_said() {
    let home = Home::new();
    home.model("model");
    home.ok(&["push", "model", "digits:1.0"]);
    let report = home.json(&["doctor", "digits"]);
    let found = results(&report);
    assert_eq!(
        (found["history"].as_str(), found["immutable_tags"].as_str()),
        ("store", "IMMUTABLE")
    );
    assert_eq!(report["enforcement"], "store");
    home.refused(&["doctor", "other"], 1, "there is no repository other");
    home.refused(&["doctor", "localhost:1/other"], 1, "cannot greet localhost:1");
}

/// What the server was asked besides blobs since the first of them.
fn requests_after_uploads(log: &str) -> Vec<String> {
    let requests = log.lines().filter_map(|line| {
        line.split_once("method=")
            .map(|(_, rest)| rest.replace("target=", ""))
    });
    let since = requests.skip_while(|request| !request.contains("/blobs/"));
    since.filter(|request| !request.contains("/blobs/")).collect()
}

#[test]
fn a_push_makes_no_more_than_three_requests_after_its_uploads() {
    for (key, most) in [(None, 2), (Some("key.pem"), 3)] {
        let (there, here) = (Home::new(), Home::new());
        let log = there.path("log");
        let server = Serving::start_with(there.command(&["serve", "--listen", "127.0.0.1:0"]), &log);
        here.model("model");
        here.ok(&["keys", "new", "key.pem", "--no-passphrase"]);
        let name = format!("{}/digits", server.address);
        let push = |version: &str| {
            let mut command = here.command(&["push", "model", &format!("{name}:{version}"), "--json"]);
            if let Some(key) = key {
                command.env("MODELKEEP_SIGNING_KEY", here.path(key));
            }
            let output = command.output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                (&report["outcome"], &report["enforcement"]),
                (&"published".into(), &"registry".into())
            );
        };
        for version in ["1.0", "1.1"] {
            here.write("model/config.json", format!("{{\"version\": \"{version}\"}}"));
            fs::write(&log, "").unwrap();
            push(version);
            // The line is written after the answer.
            let mut asked = requests_after_uploads(&fs::read_to_string(&log).unwrap());
            while !asked.iter().any(|request| request.starts_with("POST")) {
                thread::yield_now();
                asked = requests_after_uploads(&fs::read_to_string(&log).unwrap());
            }
            assert_eq!(asked.len(), most, "{asked:#?}");
            assert!(
                asked[most - 1].starts_with("POST /v2/digits/_modelkeep/history"),
                "{asked:#?}"
            );
        }
        here.ok(&["verify", &format!("{name}:1.1")]);
    }
}

#[test]
fn of_publishers_of_one_version_one_wins_and_the_others_hear_who() {
    let there = Home::new();
    let server = Serving::start(&there, &[]);
    let reference = format!("{}/digits:1.0", server.address);
    let homes: Vec<Home> = (0..4).map(|_| Home::new()).collect();
    for (number, home) in homes.iter().enumerate() {
        home.write("model/config.json", format!("{{\"publisher\": {number}}}"));
    }
    let codes: Vec<Option<i32>> = thread::scope(|scope| {
        let pushes: Vec<_> = homes
            .iter()
            .map(|home| {
                let mut command = home.command(&["push", "model", &reference]);
                scope.spawn(move || command.output().unwrap().status.code())
            })
            .collect();
        pushes.into_iter().map(|push| push.join().unwrap()).collect()
    });
    let count = |code| codes.iter().filter(|&&found| found == Some(code)).count();
    assert_eq!((count(0), count(4)), (1, 3), "{codes:?}");
    there.ok(&["verify", "--all"]);
}
