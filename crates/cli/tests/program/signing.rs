//! Keys, signatures over models, and what they refuse.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use crate::harness::{Home, Run};

fn signed(home: &Home) {
    home.model("digits");
    home.ok(&["keys", "new", "key.pem", "--no-passphrase"]);
    home.ok(&["sign", "digits", "--key", "key.pem"]);
}

#[test]
fn what_was_signed_is_verified_and_what_changed_is_named() {
    let home = Home::new();
    signed(&home);
    let verify = ["verify-signature", "digits", "--key", "key.pem.pub"];
    let verified = home.json(&verify);
    assert_eq!(verified["verified"], true);
    assert_eq!(verified["problems"], json!([]));
    home.write("digits/config.json", "{\"hidden_size\": 64}");
    home.write("digits/extra.bin", "extra");
    fs::remove_file(home.path("digits/README.md")).unwrap();
    let run = home.run(&verify);
    assert_eq!(run.code, 5, "{}", run.stderr);
    for line in [
        "README.md is missing",
        "config.json has other bytes",
        "extra.bin was not signed",
    ] {
        assert!(run.stdout.contains(line), "{}", run.stdout);
    }
}

#[test]
fn a_version_is_what_its_directory_was_when_it_was_signed() {
    let home = Home::new();
    signed(&home);
    home.ok(&["push", "digits", "1.0"]);
    home.ok(&["verify-signature", "digits:1.0", "--key", "key.pem.pub"]);
    home.ok(&[
        "sign",
        "digits:1.0",
        "--key",
        "key.pem",
        "--signature",
        "version.sig",
    ]);
    home.ok(&["pull", "digits:1.0", "-o", "back"]);
    home.ok(&[
        "verify-signature",
        "back",
        "--key",
        "key.pem.pub",
        "--signature",
        "version.sig",
    ]);
}

#[test]
fn a_signature_may_lie_in_the_directory_that_it_is_about() {
    let home = Home::new();
    signed(&home);
    let inside = ["digits", "--signature", "digits/model.sig"];
    home.ok(&[&["sign", "--key", "key.pem"][..], &inside].concat());
    home.ok(&[&["verify-signature", "--key", "key.pem.pub"][..], &inside].concat());
}

#[test]
fn another_key_and_a_signature_of_something_else_are_refused() {
    let home = Home::new();
    signed(&home);
    home.ok(&["keys", "new", "other.pem", "--no-passphrase"]);
    let run = home.run(&["verify-signature", "digits", "--key", "other.pem.pub"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(
        run.stdout.contains("it names a key with the hint"),
        "{}",
        run.stdout
    );
    home.write("model.sig", "{}");
    let run = home.run(&["verify-signature", "digits", "--key", "key.pem.pub"]);
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stdout.contains("it is not a bundle"), "{}", run.stdout);
}

#[test]
fn a_private_key_is_for_its_owner_alone_and_is_never_replaced() {
    let home = Home::new();
    home.ok(&["keys", "new", "key.pem", "--no-passphrase"]);
    let mode = fs::metadata(home.path("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    home.refused(
        &["keys", "new", "key.pem", "--no-passphrase"],
        2,
        "key.pem exists",
    );
    home.refused(&["keys", "new", "second.pem"], 2, "there is no terminal to ask");
    assert!(!home.path("second.pem").exists());
}

#[test]
fn a_key_under_a_passphrase_is_opened_by_the_environment() {
    let home = Home::new();
    home.model("digits");
    let with = |passphrase: &str, arguments: &[&str]| -> Run {
        home.command(arguments)
            .env("MODELKEEP_SIGNING_PASSPHRASE", passphrase)
            .output()
            .unwrap()
            .into()
    };
    assert_eq!(with("correct horse", &["keys", "new", "key.pem"]).code, 0);
    home.refused(
        &["sign", "digits", "--key", "key.pem"],
        2,
        "cannot use the key in key.pem",
    );
    let wrong = with("battery staple", &["sign", "digits", "--key", "key.pem"]);
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.stderr.contains("the passphrase does not open the key"),
        "{}",
        wrong.stderr
    );
    assert_eq!(
        with("correct horse", &["sign", "digits", "--key", "key.pem"]).code,
        0
    );
    let pem = fs::read_to_string(home.path("key.pem")).unwrap();
    let run: Run = home
        .command(&["sign", "digits"])
        .env("MODELKEEP_SIGNING_KEY", pem)
        .env("MODELKEEP_SIGNING_PASSPHRASE", "correct horse")
        .output()
        .unwrap()
        .into();
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn nothing_is_signed_with_a_key_that_nobody_named() {
    let home = Home::new();
    home.model("digits");
    home.refused(&["sign", "digits"], 2, "MODELKEEP_SIGNING_KEY");
    assert!(!home.path("model.sig").exists());
}
