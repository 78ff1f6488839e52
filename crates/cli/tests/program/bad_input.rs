//! What bad input gets: a clear error, the right exit code, and nothing stored.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
};

use crate::harness::{Home, assert_same_files};

/// Pushes what must be refused, and looks that nothing was stored.
#[track_caller]
fn refused(home: &Home, arguments: &[&str], code: i32, text: &str) {
    home.refused(arguments, code, text);
    assert!(
        !home.store().join("v1/repos/digits").exists(),
        "something was stored"
    );
}

#[test]
fn directories_that_are_no_models_are_refused() {
    let home = Home::new();
    refused(&home, &["push", "digits", "1.0"], 1, "digits");
    fs::create_dir(home.path("digits")).unwrap();
    refused(&home, &["push", "digits", "1.0"], 1, "no file");
    home.write("file", "x");
    refused(&home, &["push", "file", "digits:1.0"], 1, "file");
    refused(&home, &["push", "./missing"], 2, "needs a VERSION");
}

#[test]
fn symlinks_are_followed_inside_the_directory_only() {
    let home = Home::new();
    home.model("digits");
    symlink("config.json", home.path("digits/link.json")).unwrap();
    home.ok(&["push", "digits", "1.0"]);
    home.ok(&["pull", "digits:1.0", "-o", "back"]);
    assert!(
        fs::symlink_metadata(home.path("back/link.json"))
            .unwrap()
            .is_file()
    );

    let home = Home::new();
    home.model("digits");
    home.write("secret", "x");
    symlink("../secret", home.path("digits/link.json")).unwrap();
    refused(&home, &["push", "digits", "1.0"], 1, "link.json");
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let home = Home::new();
    home.model("digits");
    let _socket = UnixListener::bind(home.path("digits/socket")).unwrap();
    refused(&home, &["push", "digits", "1.0"], 1, "socket");
}

#[test]
fn names_that_cannot_be_pulled_are_refused() {
    for name in [&b"\xff.bin"[..], b"a\\b", b"nul", b"a:b"] {
        let home = Home::new();
        home.model("digits");
        fs::write(home.path("digits").join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
        refused(&home, &["push", "digits", "1.0"], 1, "error: ");
    }
}

#[test]
fn names_that_collide_on_some_disks_are_warned_of() {
    let home = Home::new();
    home.write("digits/A.bin", "1");
    home.write("digits/a.bin", "2");
    let run = home.ok(&["push", "digits", "1.0"]);
    assert!(
        run.stderr.contains("warning:") && run.stderr.contains("A.bin"),
        "{}",
        run.stderr
    );
}

#[test]
fn versions_and_names_that_break_the_rules_are_refused() {
    let home = Home::new();
    home.model("digits");
    for version in ["", "-1", "1/0", "a b", "1+0", "ledger", "c.1", "l.1", "sha256-00"] {
        refused(&home, &["push", "digits", "--", version], 2, "error: ");
    }
    for version in ["Digits:1.0", "../digits:1.0", "digits:1.0:2", "_x:1.0"] {
        refused(&home, &["push", "digits", version], 2, "error: ");
    }
    refused(&home, &["push", "digits"], 2, "digits is a directory");
    refused(&home, &["push"], 2, "VERSION");
    refused(&home, &["push", "digits", "1.0", "--next", "minor"], 2, "--next");
    refused(
        &home,
        &["push", "digits", "1.0", "--metric", "f1"],
        2,
        "NAME=NUMBER",
    );
    refused(&home, &["push", "digits", "1.0", "--metric", "f1=x"], 2, "f1=x");
    refused(
        &home,
        &["push", "digits", "1.0", "--metric", "f1=inf"],
        2,
        "f1=inf",
    );
    refused(
        &home,
        &["push", "digits", "1.0", "--metric", "f1=1", "--metric", "f1=2"],
        2,
        "f1",
    );
}

#[test]
fn an_alias_holds_no_content_of_its_own() {
    let home = Home::new();
    home.model("digits");
    home.write(
        "digits/modelkeep.toml",
        "[repository]\naliases = [\"production\"]\n",
    );
    refused(&home, &["push", "digits", "production"], 2, "alias");
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let home = Home::new();
    home.model("digits");
    let run = home.refused(&["versions", "digits"], 1, "no repository digits");
    assert!(run.stderr.contains("modelkeep push"), "{}", run.stderr);
    home.ok(&["push", "digits", "1.0"]);
    let run = home.refused(&["versions", "digit"], 1, "no repository digit");
    assert!(run.stderr.contains("the store has digits"), "{}", run.stderr);
    let run = home.refused(&["pull", "digits:2.0"], 1, "digits has no version 2.0");
    assert!(run.stderr.contains("1.0"), "{}", run.stderr);
    let digest = format!("digits@sha256:{}", "0".repeat(64));
    home.refused(&["show", &digest], 1, "no manifest");
}

#[test]
fn a_directory_with_other_files_is_not_pulled_into() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    home.write("back/notes.txt", "mine");
    home.write("back/config.json", "mine too");
    home.refused(&["pull", "digits:1.0", "-o", "back"], 1, "back");
    assert_eq!(fs::read(home.path("back/config.json")).unwrap(), b"mine too");
    home.ok(&["pull", "digits:1.0", "-o", "back", "--force"]);
    assert_eq!(fs::read(home.path("back/notes.txt")).unwrap(), b"mine");
    fs::remove_file(home.path("back/notes.txt")).unwrap();
    assert_same_files(&home.path("digits"), &home.path("back"));
}

#[test]
fn a_pull_never_follows_a_symlink() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    fs::create_dir_all(home.path("elsewhere")).unwrap();
    fs::create_dir_all(home.path("back")).unwrap();
    symlink(home.path("elsewhere"), home.path("back/1_Pooling")).unwrap();
    let run = home.run(&["pull", "digits:1.0", "-o", "back", "--force"]);
    assert_ne!(run.code, 0);
    assert_eq!(fs::read_dir(home.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    let format = home.store().join("format");
    fs::remove_file(&format).unwrap();
    fs::write(&format, "{\"format\":\"modelkeep-store\",\"version\":2}").unwrap();
    home.refused(&["versions", "digits"], 1, "newer");
    home.refused(&["push", "digits", "1.1"], 1, "newer");
}

#[test]
fn a_directory_that_is_something_else_does_not_become_a_store() {
    let home = Home::new();
    home.model("digits");
    home.write("store/thesis.tex", "mine");
    home.refused(&["push", "digits", "1.0"], 1, "store");
    assert_eq!(fs::read_dir(home.store()).unwrap().count(), 1);
}

#[test]
fn a_failed_command_prints_nothing_on_stdout() {
    let home = Home::new();
    for arguments in [
        &["versions", "digits", "--json"][..],
        &["show", "digits:1.0", "--json"],
        &["push", "x", "1", "--json"],
    ] {
        let run = home.run(arguments);
        assert_ne!(run.code, 0);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn what_makes_no_image_is_refused_before_anything_is_stored() {
    let home = Home::new();
    home.model("digits");
    home.write(
        "digits/modelkeep.toml",
        "[image]\nlabels = { \"dev.modelkeep.x\" = \"\" }\n",
    );
    refused(&home, &["push", "digits", "1.0"], 2, "dev.modelkeep.x");
    let long = format!("[image]\nlabels = {{ x = \"{}\" }}\n", "y".repeat(5 << 20));
    home.write("digits/modelkeep.toml", long);
    refused(
        &home,
        &["push", "digits", "1.0"],
        1,
        "most that is read everywhere",
    );
    home.write("digits/modelkeep.toml", "");
    let mut push = home.command(&["push", "digits", "1.0"]);
    let run: crate::harness::Run = push.env("SOURCE_DATE_EPOCH", "now").output().unwrap().into();
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(!home.store().exists());
}
