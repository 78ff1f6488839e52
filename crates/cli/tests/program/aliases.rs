//! Names that move, and versions that are advised against.

use serde_json::{Value, json};

use crate::harness::Home;

/// A repository with the alias `production` and three versions.
fn repository() -> Home {
    let home = Home::new();
    home.model("digits");
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\nimage_tag_mutability = \"IMMUTABLE\"\naliases = [\"production\"]\n",
    );
    for (version, metric) in [("1.0", "f1=0.80"), ("1.1", "f1=0.90"), ("1.2", "f1=0.95")] {
        home.write("digits/config.json", format!("{{\"version\": \"{version}\"}}"));
        home.ok(&["push", "digits", version, "--metric", metric]);
    }
    home
}

fn points_at(home: &Home) -> Value {
    home.json(&["aliases"])["aliases"][0]["version"].clone()
}

#[test]
fn an_alias_is_promoted_rolled_back_and_remembered() {
    let home = repository();
    home.ok(&["promote", "1.1", "production", "-m", "the first"]);
    let again = home.json(&["promote", "1.1", "production"]);
    assert_eq!(again["changed"], false);
    home.ok(&["promote", "digits:1.2", "production"]);
    assert_eq!(points_at(&home), "1.2");
    let back = home.json(&["rollback", "production", "-m", "slow"]);
    assert_eq!(
        (&back["version"], &back["changed"]),
        (&json!("1.1"), &json!(true))
    );
    assert_eq!(points_at(&home), "1.1");
    let log = home.json(&["log"]);
    let events = log["events"].as_array().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["op"].as_str().unwrap(), event["version"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("alias", Some("1.1")),
            ("alias", Some("1.2")),
            ("alias", Some("1.1")),
            ("publish", None),
            ("publish", None),
            ("publish", None)
        ]
    );
    assert_eq!(events[0]["message"], "slow");
    let text = home.ok(&["log"]).stdout;
    assert!(text.contains("alias production -> 1.1"), "{text}");
    home.ok(&["verify", "--all"]);
}

#[test]
fn an_alias_is_pulled_and_shown_as_its_version_and_listed_beside_it() {
    let home = repository();
    home.ok(&["promote", "1.1", "production"]);
    home.ok(&["pull", "production", "-o", "back"]);
    let config = std::fs::read_to_string(home.path("back/config.json")).unwrap();
    assert!(config.contains("1.1"), "{config}");
    assert_eq!(home.json(&["show", "production"])["metrics"]["f1"], 0.9);
    let text = home.ok(&["versions"]).stdout;
    assert!(text.contains("1.1 (production)"), "{text}");
}

#[test]
fn a_promotion_can_demand_what_the_version_must_be() {
    let home = repository();
    let demand = ["--require", "verified", "--require", "metric f1>=0.9"];
    let refused = [&["--quiet", "promote", "1.0", "production"], &demand[..]].concat();
    home.refused(&refused, 7, "has f1 0.8, and f1>=0.9 is required");
    home.refused(
        &["promote", "1.1", "production", "--require", "metric accuracy>0.5"],
        7,
        "says nothing of accuracy",
    );
    home.ok(&[&["promote", "1.1", "production"], &demand[..]].concat());
    home.refused(
        &["promote", "1.1", "production", "--require", "luck"],
        2,
        "write `verified`",
    );
}

#[test]
fn names_that_the_policy_holds_are_no_aliases() {
    let home = repository();
    home.refused(&["promote", "1.1", "staging"], 7, "staging is no alias");
    home.refused(&["promote", "1.1", "1.0"], 7, "1.0 is no alias");
    home.refused(&["promote", "9.9", "production"], 1, "there is no version 9.9");
    home.refused(
        &["rollback", "production"],
        1,
        "has not pointed at another version",
    );
}

#[test]
fn a_yanked_version_is_refused_by_name_and_fetched_by_digest() {
    let home = repository();
    home.ok(&["yank", "1.1", "--reason", "it leaks names"]);
    let refused = home.refused(&["pull", "1.1", "-o", "back"], 7, "it leaks names");
    let digest = home.json(&["show", "1.1"])["digest"].as_str().unwrap().to_owned();
    assert!(refused.stderr.contains(&digest), "{}", refused.stderr);
    home.refused(&["copy", "1.1", "oci:layout"], 7, "it leaks names");
    home.refused(&["export", "1.1", "--oci", "layout"], 7, "it leaks names");
    home.refused(&["promote", "1.1", "production"], 7, "it leaks names");
    home.ok(&["pull", &format!("digits@{digest}"), "-o", "back"]);
    assert_eq!(
        home.json(&["versions"])["versions"][1]["yanked"],
        "it leaks names"
    );
    let shown = home.ok(&["show", "1.1"]).stdout;
    assert!(shown.contains("it leaks names"), "{shown}");
    home.ok(&["restore", "1.1"]);
    home.ok(&["pull", "1.1", "-o", "again"]);
    home.refused(&["yank", "1.1", "--reason", " "], 2, "--reason says");
}

#[test]
fn what_an_alias_points_at_is_not_yanked() {
    let home = repository();
    home.ok(&["promote", "1.1", "production"]);
    home.refused(
        &["yank", "1.1", "--reason", "slow"],
        7,
        "production points at version 1.1",
    );
}
