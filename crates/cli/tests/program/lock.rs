//! `modelkeep.lock`, and what becomes of tags that somebody has moved.

use std::fs;

use crate::{harness::Home, serve::Serving};

/// A store with two versions, and an alias of the first.
fn repository() -> Home {
    let home = Home::new();
    home.model("model");
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\naliases = [\"production\"]\n",
    );
    for version in ["1.0", "1.1"] {
        home.write("model/version.txt", version);
        home.ok(&["push", "model", version]);
    }
    home.ok(&["promote", "1.0", "production"]);
    home
}

fn lock_file(home: &Home) -> String {
    fs::read_to_string(home.path("modelkeep.lock")).unwrap()
}

fn pulled(home: &Home, directory: &str) -> String {
    fs::read_to_string(home.path(directory).join("version.txt")).unwrap()
}

#[test]
fn what_is_locked_is_pulled_by_its_digest_whatever_becomes_of_tags_and_history() {
    let home = repository();
    let digest = home.json(&["show", "1.0"])["digest"].clone();
    let locked = home.json(&["lock", "production"]);
    assert_eq!(locked["changed"], true);
    let model = &locked["models"][0];
    assert_eq!(
        (&model["version"], &model["alias"]),
        (&"1.0".into(), &"production".into())
    );
    assert_eq!(model["digest"], digest);
    assert_eq!(locked["repositories"][0]["height"], 3);
    assert_eq!(locked["repositories"][0]["signed"], false);
    // Again, nothing is written.
    let before = lock_file(&home);
    assert_eq!(home.json(&["lock"])["changed"], false);
    assert_eq!(lock_file(&home), before);
    // The alias goes elsewhere; the lock stays until it is asked to go on.
    home.ok(&["promote", "1.1", "production"]);
    home.ok(&["pull", "--locked", "production", "-o", "one"]);
    assert_eq!(pulled(&home, "one"), "1.0");
    // Neither tags nor history are there any more.
    let store = home.store().join("v1/repos/digits");
    let (tags, history) = (store.join("_tags"), store.join("_history"));
    for directory in [&tags, &history] {
        fs::rename(directory, directory.with_extension("away")).unwrap();
        fs::create_dir(directory).unwrap();
    }
    home.ok(&["pull", "--locked", "-o", "two"]);
    assert_eq!(pulled(&home, "two"), "1.0");
    home.refused(&["lock"], 8, "have been taken away");
    assert_eq!(lock_file(&home), before);
    for directory in [&tags, &history] {
        fs::remove_dir(directory).unwrap();
        fs::rename(directory.with_extension("away"), directory).unwrap();
    }
    let locked = home.json(&["lock"]);
    assert_eq!(locked["models"].as_array().unwrap().len(), 1);
    assert_eq!(locked["models"][0]["version"], "1.1");
    home.ok(&["pull", "--locked", "1.1"]);
    assert_eq!(pulled(&home, "digits-1.1"), "1.1");
}

#[test]
fn a_history_that_is_older_or_another_one_than_was_locked_is_refused() {
    let home = repository();
    home.ok(&["lock", "1.0", "1.1"]);
    let before = lock_file(&home);
    let history = home.store().join("v1/repos/digits/_history");
    let newest = history.join("00000003");
    let entry = fs::read(&newest).unwrap();
    fs::remove_file(&newest).unwrap();
    let refused = home.refused(&["lock"], 8, "the newer ones have been taken away");
    assert!(refused.stderr.contains("pull --locked"), "{}", refused.stderr);
    // Somebody writes another history over it.
    fs::write(&newest, String::from_utf8(entry).unwrap().replace("Ada", "Eve")).unwrap();
    home.refused(&["lock", "1.0"], 8, "there are two histories");
    // Or begins anew.
    let other = Home::new();
    other.model("digits");
    other.ok(&["push", "digits", "1.0"]);
    fs::remove_dir_all(&history).unwrap();
    fs::create_dir(&history).unwrap();
    let first = other.store().join("v1/repos/digits/_history/00000001");
    fs::copy(first, history.join("00000001")).unwrap();
    home.refused(&["lock", "1.0"], 8, "and the one that was here before is");
    assert_eq!(lock_file(&home), before);
}

#[test]
fn a_yanked_version_is_pulled_by_the_lock_with_a_warning_and_not_locked_anew() {
    let home = repository();
    home.ok(&["lock", "1.1"]);
    home.ok(&["yank", "1.1", "--reason", "it leaks names"]);
    let run = home.ok(&["pull", "--locked", "1.1", "-o", "one"]);
    assert!(
        run.stderr.contains("yanked by Ada: it leaks names"),
        "{}",
        run.stderr
    );
    assert_eq!(pulled(&home, "one"), "1.1");
    let run = home.ok(&["lock"]);
    assert!(run.stderr.contains("it leaks names"), "{}", run.stderr);
    fs::remove_file(home.path("modelkeep.lock")).unwrap();
    home.refused_after_text(&["lock", "1.1"], 7, "it leaks names");
    assert!(!home.path("modelkeep.lock").exists());
}

#[test]
fn a_changed_lock_file_is_refused() {
    let home = repository();
    home.ok(&["lock", "1.0", "1.1"]);
    let text = lock_file(&home);
    for (from, to) in [
        ("sha256:", "sha256:0"),
        ("1.1", "1.2"),
        ("digits", "others"),
        ("# What", "# That"),
    ] {
        fs::write(home.path("modelkeep.lock"), text.replacen(from, to, 1)).unwrap();
        home.refused(&["pull", "--locked"], 5, "is not what `modelkeep lock` writes");
        home.refused(&["lock"], 5, "is not what `modelkeep lock` writes");
    }
    fs::remove_file(home.path("modelkeep.lock")).unwrap();
    home.refused(&["pull", "--locked"], 2, "there is no modelkeep.lock");
    home.refused(&["lock"], 2, "nothing is locked yet");
}

#[test]
fn versions_of_a_server_are_locked_and_pulled() {
    let (there, here) = (repository(), Home::new());
    let server = Serving::start(&there, &[]);
    let name = format!("{}/digits", server.address);
    let locked = here.json(&["lock", &format!("{name}:1.0")]);
    assert_eq!(
        locked["models"][0]["digest"],
        there.json(&["show", "1.0"])["digest"]
    );
    there.ok(&["promote", "1.1", "production"]);
    here.ok(&["pull", "--locked", "digits:1.0", "-o", "one"]);
    assert_eq!(pulled(&here, "one"), "1.0");
}

#[test]
fn tags_that_are_not_what_the_history_says_are_listed_and_put_back() {
    let home = repository();
    let tags = home.store().join("v1/repos/digits/_tags");
    let (one, other, alias) = (tags.join("1.0"), tags.join("1.1"), tags.join("production"));
    let right = |path: &std::path::Path| fs::read(path).unwrap();
    let (was_one, was_other, was_alias) = (right(&one), right(&other), right(&alias));
    home.ok(&["promote", "1.1", "production"]);
    let now_alias = right(&alias);
    home.ok(&["yank", "1.0", "--reason", "old"]);
    // Swapped, rolled back.
    fs::write(&one, &was_other).unwrap();
    fs::write(&other, &was_one).unwrap();
    fs::write(&alias, &was_alias).unwrap();
    let found = home.refused_check(&["verify"], 5);
    assert_eq!(found["problems"].as_array().unwrap().len(), 3, "{found}");
    // What is asked for by name is what it was.
    home.ok(&["pull", "1.1", "-o", "right"]);
    assert_eq!(pulled(&home, "right"), "1.1");
    home.ok(&["pull", "production", "-o", "aliased"]);
    assert_eq!(pulled(&home, "aliased"), "1.1");
    // One of them, and that of the newest entry, then all.
    let healed = home.json(&["verify", "1.1", "--heal"]);
    assert_eq!(healed["healed"].as_array().unwrap().len(), 1, "{healed}");
    assert_eq!(right(&other), was_other);
    home.ok(&["verify", "--heal"]);
    assert_eq!((right(&one), right(&alias)), (was_one, now_alias));
    // Deleted.
    fs::remove_file(&other).unwrap();
    fs::remove_file(&alias).unwrap();
    let found = home.refused_check(&["verify"], 5);
    assert_eq!(found["problems"].as_array().unwrap().len(), 2, "{found}");
    home.ok(&["verify", "--all", "--heal"]);
    let found = home.json(&["verify"]);
    assert_eq!(
        (&found["ok"], &found["healed"]),
        (&true.into(), &serde_json::json!([]))
    );
}
