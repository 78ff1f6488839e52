//! Histories that are signed: whose key signs, and what they refuse.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Home, Run};

/// Runs with variables besides those of the home.
fn with(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = home.command(arguments);
    command.envs(variables.iter().copied());
    command.output().unwrap().into()
}

/// As [`with`], where it must succeed and print JSON.
#[track_caller]
fn json_with(home: &Home, variables: &[(&str, &str)], arguments: &[&str]) -> Value {
    let run = with(home, variables, &[arguments, &["--json"]].concat());
    assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

/// As [`with`], where it must end with `code` and say `text`.
#[track_caller]
fn refused_with(home: &Home, variables: &[(&str, &str)], arguments: &[&str], code: i32, text: &str) {
    let run = with(home, variables, arguments);
    assert_eq!(run.code, code, "{arguments:?}: {}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains(text), "{arguments:?}: {}", run.stderr);
}

const ADA: &[(&str, &str)] = &[("MODELKEEP_SIGNING_KEY", "ada.pem")];
const BEN: &[(&str, &str)] = &[("MODELKEEP_SIGNING_KEY", "ben.pem")];
const SAFE: &[(&str, &str)] = &[("MODELKEEP_SIGNING_KEY", "safe.pem")];
/// Ada's first push, with the recovery key that lies in a safe.
const FOUNDING: &[(&str, &str)] = &[
    ("MODELKEEP_SIGNING_KEY", "ada.pem"),
    ("MODELKEEP_RECOVERY_KEY", "safe.pem.pub"),
];

/// A small model, keys of three people, and a history that Ada has founded with `digits:1.0`.
fn signed() -> Home {
    let home = keys();
    assert_eq!(
        json_with(&home, FOUNDING, &["push", "digits", "1.0"])["signed"],
        true
    );
    home
}

fn keys() -> Home {
    let home = Home::new();
    home.write("digits/config.json", "{}");
    home.write("digits/.gitattributes", "*.bin filter=lfs");
    home.write("digits/sub/a.txt", "a");
    home.write("digits/sub-x.txt", "b");
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\naliases = [\"production\"]\n",
    );
    for key in ["ada.pem", "ben.pem", "safe.pem"] {
        home.ok(&["keys", "new", key, "--no-passphrase"]);
    }
    home
}

fn change(home: &Home, step: &str) {
    home.write("digits/config.json", format!("{{\"step\": \"{step}\"}}"));
}

/// The keys of the history, as who has none sees them.
fn listed(home: &Home) -> Vec<(String, String)> {
    let keys = home.json(&["keys", "list"])["keys"].clone();
    let text = |key: &Value, field: &str| key[field].as_str().unwrap_or("-").to_owned();
    let keys = keys.as_array().unwrap().iter();
    keys.map(|key| (text(key, "name"), text(key, "role"))).collect()
}

fn pair(name: &str, role: &str) -> (String, String) {
    (name.to_owned(), role.to_owned())
}

#[test]
fn a_push_without_a_key_is_unsigned_and_says_so() {
    let home = keys();
    let run = home.ok(&["push", "digits", "1.0"]);
    assert!(
        run.stderr
            .contains("digits:1.0 is not signed; MODELKEEP_SIGNING_KEY"),
        "{}",
        run.stderr
    );
    change(&home, "2");
    let quiet = home.ok(&["push", "digits", "1.1", "--quiet"]);
    assert_eq!(quiet.stderr, "");
    change(&home, "3");
    assert_eq!(home.json(&["push", "digits", "1.2"])["signed"], false);
    assert_eq!(home.json(&["show", "1.2"])["history"]["signed_by"], Value::Null);
    assert!(home.ok(&["show", "1.2"]).stdout.contains("signed by    nobody"));
    assert!(
        home.ok(&["keys", "list"])
            .stdout
            .contains("the history is not signed")
    );
    assert_eq!(home.json(&["log"])["signed"], false);
    home.refused(&["checkpoint"], 1, "the history is not signed");
    home.refused(
        &["pull", "1.2", "--with-signature", "model.sig"],
        1,
        "digits:1.2 is not signed",
    );
    assert!(!home.path("digits-1.2").exists());
    // An empty variable is what a pipeline sets that has no secret.
    change(&home, "4");
    assert_eq!(
        json_with(
            &home,
            &[("MODELKEEP_SIGNING_KEY", "")],
            &["push", "digits", "1.3"]
        )["signed"],
        false
    );
}

#[test]
fn every_entry_of_a_signed_history_is_signed_and_says_by_whom() {
    let home = signed();
    let ada = home.json(&["keys", "list"])["keys"][0]["key"].clone();
    change(&home, "2");
    assert_eq!(json_with(&home, ADA, &["push", "digits", "1.1"])["signed"], true);
    for arguments in [
        &["promote", "1.0", "production"][..],
        &["promote", "1.1", "production"],
        &["rollback", "production"],
        &["yank", "1.1", "--reason", "slow"],
        &["restore", "1.1"],
        &["checkpoint", "-m", "still here"],
        &["copy", "digits:1.0", "digits:2.0"],
    ] {
        refused_with(
            &home,
            &[],
            arguments,
            3,
            "whoever adds to it needs one of its keys",
        );
        refused_with(&home, BEN, arguments, 3, "the history does not list the key");
        json_with(&home, ADA, arguments);
    }
    let log = home.json(&["log"]);
    assert_eq!(log["signed"], true);
    let events = log["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["signed_by"] == ada), "{log}");
    let told: Vec<_> = events
        .iter()
        .rev()
        .map(|event| event["op"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "publish",
            "publish",
            "alias",
            "alias",
            "alias",
            "yank",
            "restore",
            "checkpoint",
            "publish"
        ]
    );
    assert_eq!(home.json(&["show", "1.0"])["history"]["signed_by"], ada);
    assert_eq!(home.json(&["versions"])["versions"][0]["signed_by"], ada);
    home.ok(&["verify", "--all"]);
}

#[test]
fn a_push_whose_key_the_history_does_not_list_fails_before_anything_is_stored() {
    let home = signed();
    change(&home, "2");
    let before = crate::harness::files(&home.path("store/v1/blobs"));
    for (key, text) in [
        (&[][..], "whoever adds to it needs one of its keys"),
        (BEN, "the history does not list the key"),
        (SAFE, "is a recovery key"),
    ] {
        refused_with(&home, key, &["push", "digits", "1.1"], 3, text);
        refused_with(&home, key, &["push", "digits", "1.1", "--dry-run"], 3, text);
    }
    assert!(before == crate::harness::files(&home.path("store/v1/blobs")));
    // What stands is success, whoever asks.
    change(&home, "3");
    json_with(&home, ADA, &["push", "digits", "1.1"]);
    assert_eq!(home.json(&["push", "digits", "1.1"])["outcome"], "unchanged");
}

#[test]
fn pushing_the_same_again_signs_nothing() {
    let home = signed();
    let before = crate::harness::files(&home.path("store/v1/blobs"));
    let again = json_with(&home, ADA, &["push", "digits", "1.0"]);
    assert_eq!(
        (&again["outcome"], &again["signed"]),
        (&json!("unchanged"), &json!(true))
    );
    assert!(before == crate::harness::files(&home.path("store/v1/blobs")));
}

#[test]
fn keys_are_added_removed_and_rotated_by_those_that_are_listed() {
    let home = signed();
    assert_eq!(
        listed(&home),
        [pair("Ada", "publisher"), pair("recovery", "recovery")]
    );
    // A key does not list itself.
    refused_with(
        &home,
        BEN,
        &["keys", "add", "ben.pem.pub"],
        3,
        "the history does not list the key",
    );
    refused_with(
        &home,
        &[],
        &["keys", "add", "ben.pem.pub"],
        3,
        "needs one of its keys",
    );
    let added = json_with(
        &home,
        ADA,
        &["keys", "add", "ben.pem.pub", "--name", "Ben", "-m", "joins"],
    );
    assert_eq!(
        (&added["changed"], &added["keys"][2]["since"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(
        json_with(&home, ADA, &["keys", "add", "ben.pem.pub"])["changed"],
        false
    );
    change(&home, "2");
    json_with(&home, BEN, &["push", "digits", "1.1"]);

    // A key that was taken out signs no more, and what it has signed stays.
    json_with(&home, ADA, &["keys", "remove", "Ben"]);
    change(&home, "3");
    refused_with(
        &home,
        BEN,
        &["push", "digits", "1.2"],
        3,
        "the history does not list the key",
    );
    refused_with(
        &home,
        BEN,
        &["keys", "add", "ben.pem.pub"],
        3,
        "the history does not list the key",
    );
    home.ok(&["verify", "--all"]);
    home.ok(&["pull", "1.1", "--with-signature", "of-ben.sig"]);
    home.ok(&[
        "verify-signature",
        "digits-1.1",
        "--signature",
        "of-ben.sig",
        "--key",
        "ben.pem.pub",
    ]);

    let rotated = json_with(&home, ADA, &["keys", "rotate", "--new", "ben.pem.pub"]);
    assert_eq!(rotated["keys"][0]["name"], "Ada");
    assert_eq!(listed(&home).len(), 2);
    let newest = &home.json(&["log"])["events"][0];
    assert_eq!((&newest["op"], &newest["height"]), (&json!("keys"), &json!(5)));
    refused_with(
        &home,
        ADA,
        &["push", "digits", "1.2"],
        3,
        "the history does not list the key",
    );
    json_with(&home, BEN, &["push", "digits", "1.2"]);
}

#[test]
fn the_recovery_key_changes_keys_and_only_it_changes_recovery_keys() {
    let home = signed();
    home.ok(&["keys", "new", "new.pem", "--no-passphrase"]);
    let rotate = ["keys", "rotate", "--old", "recovery", "--new", "new.pem.pub"];
    refused_with(&home, ADA, &rotate, 3, "is no recovery key");
    refused_with(
        &home,
        ADA,
        &["keys", "remove", "recovery"],
        3,
        "is no recovery key",
    );
    refused_with(
        &home,
        ADA,
        &["keys", "add", "new.pem.pub", "--recovery"],
        3,
        "is no recovery key",
    );
    refused_with(
        &home,
        SAFE,
        &["keys", "remove", "Ada"],
        2,
        "no key in it may publish",
    );
    refused_with(&home, SAFE, &["yank", "1.0", "-r", "bad"], 3, "is a recovery key");
    // Ada's key is lost.
    json_with(
        &home,
        SAFE,
        &["keys", "rotate", "--old", "Ada", "--new", "ben.pem.pub"],
    );
    change(&home, "2");
    refused_with(
        &home,
        ADA,
        &["push", "digits", "1.1"],
        3,
        "the history does not list the key",
    );
    json_with(&home, BEN, &["push", "digits", "1.1"]);
    json_with(&home, SAFE, &rotate);
    assert_eq!(
        listed(&home),
        [pair("Ada", "publisher"), pair("recovery", "recovery")]
    );
    refused_with(
        &home,
        SAFE,
        &["keys", "add", "ada.pem.pub"],
        3,
        "the history does not list the key",
    );
    refused_with(
        &home,
        BEN,
        &["keys", "add", "new.pem.pub"],
        2,
        "is listed already",
    );
}

#[test]
fn keys_are_called_by_their_digits_and_nothing_else_is_guessed() {
    let home = signed();
    let keys = home.json(&["keys", "list"]);
    let digits = &keys["keys"][0]["key"].as_str().unwrap()[7..19];
    assert!(home.ok(&["keys", "list"]).stdout.contains(digits));
    refused_with(
        &home,
        ADA,
        &["keys", "remove", &digits[..4]],
        2,
        "the history lists no key",
    );
    refused_with(
        &home,
        ADA,
        &["keys", "remove", "Eve"],
        2,
        "the history lists no key Eve",
    );
    json_with(&home, ADA, &["keys", "add", "ben.pem.pub", "--name", "Ada"]);
    refused_with(&home, ADA, &["keys", "remove", "Ada"], 2, "more than one key");
    json_with(&home, ADA, &["keys", "remove", digits]);
    json_with(&home, BEN, &["checkpoint"]);
}

#[test]
fn an_unsigned_history_gets_keys_when_somebody_wants_that() {
    let home = keys();
    home.ok(&["push", "digits", "1.0"]);
    json_with(&home, FOUNDING, &["keys", "add"]);
    assert_eq!(
        listed(&home),
        [pair("Ada", "publisher"), pair("recovery", "recovery")]
    );
    change(&home, "2");
    home.refused(
        &["push", "digits", "1.1"],
        3,
        "whoever adds to it needs one of its keys",
    );
    json_with(&home, ADA, &["push", "digits", "1.1"]);
}

#[test]
fn the_users_own_key_signs_new_histories_and_leaves_unsigned_ones_to_others() {
    let home = keys();
    home.ok(&["push", "digits", "1.0"]);
    home.ok(&["keys", "new", "--no-passphrase"]);
    assert!(home.path(".config/modelkeep/keys/default.pem").exists());
    change(&home, "2");
    let run = home.ok(&["push", "digits", "1.1"]);
    assert!(
        run.stderr.contains("`modelkeep keys add` lists your key"),
        "{}",
        run.stderr
    );
    home.write("other/config.json", "{}");
    assert_eq!(home.json(&["push", "other", "other:1.0"])["signed"], true);
    home.ok(&["keys", "add"]);
    change(&home, "3");
    assert_eq!(home.json(&["push", "digits", "1.2"])["signed"], true);
}

#[test]
fn a_key_under_a_passphrase_is_asked_for_before_anything_is_stored() {
    let home = keys();
    let passphrase = [("MODELKEEP_SIGNING_PASSPHRASE", "correct horse")];
    assert_eq!(with(&home, &passphrase, &["keys", "new"]).code, 0);
    refused_with(
        &home,
        &[],
        &["push", "digits", "1.0"],
        2,
        "the key is under a passphrase",
    );
    assert!(!home.store().exists());
    let wrong = [("MODELKEEP_SIGNING_PASSPHRASE", "battery staple")];
    refused_with(
        &home,
        &wrong,
        &["push", "digits", "1.0"],
        2,
        "the passphrase does not open the key",
    );
    assert_eq!(
        json_with(&home, &passphrase, &["push", "digits", "1.0"])["signed"],
        true
    );
    // Who changes nothing needs no passphrase.
    assert_eq!(home.json(&["push", "digits", "1.0"])["outcome"], "unchanged");
    assert_eq!(home.json(&["keys", "list"])["keys"][0]["at_hand"], true);
    // The public half of another key beside it is noticed, and not believed.
    fs::copy(
        home.path("ada.pem.pub"),
        home.path(".config/modelkeep/keys/default.pem.pub"),
    )
    .unwrap();
    home.write("other/config.json", "{}");
    refused_with(
        &home,
        &passphrase,
        &["push", "other", "other:1.0"],
        2,
        "is not the public half",
    );
}

#[test]
fn a_pipeline_signs_with_a_key_that_is_in_its_environment_and_nowhere_else() {
    let home = keys();
    let pem = fs::read_to_string(home.path("ada.pem")).unwrap();
    for key in ["ada.pem", "ada.pem.pub"] {
        fs::remove_file(home.path(key)).unwrap();
    }
    let variables = [("MODELKEEP_SIGNING_KEY", pem.as_str())];
    assert_eq!(
        json_with(&home, &variables, &["push", "digits", "1.0"])["signed"],
        true
    );
    refused_with(
        &home,
        &[("MODELKEEP_SIGNING_KEY", "nowhere.pem")],
        &["push", "digits", "2.0"],
        1,
        "nowhere.pem",
    );
    refused_with(
        &home,
        &[("MODELKEEP_SIGNING_KEY", "-----BEGIN junk")],
        &["push", "digits", "2.0"],
        2,
        "cannot use the key",
    );
}

#[test]
fn a_program_signs_with_a_key_that_modelkeep_never_sees() {
    let home = keys();
    let signer = "openssl dgst -sha256 -sign ada.pem | base64";
    let right = [
        ("MODELKEEP_SIGNER", signer),
        ("MODELKEEP_SIGNER_PUBLIC_KEY", "ada.pem.pub"),
    ];
    let alone = [("MODELKEEP_SIGNER", signer)];
    refused_with(
        &home,
        &alone,
        &["push", "digits", "1.0"],
        2,
        "MODELKEEP_SIGNER_PUBLIC_KEY",
    );
    let both = [right[0], right[1], ADA[0]];
    refused_with(&home, &both, &["push", "digits", "1.0"], 2, "only one can sign");
    let other = [
        ("MODELKEEP_SIGNER", signer),
        ("MODELKEEP_SIGNER_PUBLIC_KEY", "ben.pem.pub"),
    ];
    refused_with(
        &home,
        &other,
        &["push", "digits", "1.0"],
        1,
        "the signature is not the key's",
    );
    let broken = [("MODELKEEP_SIGNER", "exit 7"), right[1]];
    refused_with(&home, &broken, &["push", "digits", "1.0"], 1, "exit status: 7");
    assert_eq!(
        json_with(&home, &right, &["push", "digits", "1.0"])["signed"],
        true
    );
    change(&home, "2");
    json_with(&home, ADA, &["push", "digits", "1.1"]);
    home.ok(&["verify", "--all"]);
}

#[test]
fn a_pull_gives_the_signature_outside_of_the_model() {
    let home = signed();
    for inside in ["back/model.sig", "back/sub/model.sig", "back/../back/model.sig"] {
        home.refused(
            &["pull", "1.0", "-o", "back", "--with-signature", inside],
            2,
            "would become part of the model",
        );
    }
    let pulled = home.json(&["pull", "1.0", "-o", "back", "--with-signature", "model.sig"]);
    assert_eq!(pulled["signature"], "model.sig");
    home.ok(&["verify-signature", "back", "--key", "ada.pem.pub"]);
    home.ok(&["verify-signature", "1.0", "--key", "ada.pem.pub"]);
    let digest = home.json(&["show", "1.0"])["digest"].as_str().unwrap().to_owned();
    let by_digest = format!("digits@{digest}");
    home.ok(&["pull", &by_digest, "-o", "again", "--with-signature", "again.sig"]);
    assert_eq!(
        fs::read(home.path("model.sig")).unwrap(),
        fs::read(home.path("again.sig")).unwrap()
    );
}

#[test]
fn a_signature_that_was_damaged_or_lost_is_found_and_not_given() {
    for damage in ["changed", "lost"] {
        let home = signed();
        home.ok(&["pull", "1.0", "-o", "back", "--with-signature", "model.sig"]);
        let bundle = fs::read(home.path("model.sig")).unwrap();
        let blobs = crate::harness::files(&home.path("store/v1/blobs"));
        let (path, _) = blobs.iter().find(|(_, bytes)| *bytes == bundle).unwrap();
        let path = home.path("store/v1/blobs").join(path);
        match damage {
            "lost" => fs::remove_file(&path).unwrap(),
            _ => {
                let mut permissions = fs::metadata(&path).unwrap().permissions();
                std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
                fs::set_permissions(&path, permissions).unwrap();
                let mut changed = bundle.clone();
                changed[200] ^= 1;
                fs::write(&path, changed).unwrap();
            }
        }
        let run = home.run(&["verify"]);
        assert_eq!(run.code, 5, "{damage}: {}{}", run.stdout, run.stderr);
        let run = home.run(&["pull", "1.0", "-o", "other", "--with-signature", "other.sig"]);
        assert_eq!(run.code, 5, "{damage}: {}", run.stderr);
        assert!(!home.path("other").exists() && !home.path("other.sig").exists());
    }
}

#[test]
fn every_shape_of_a_version_is_signed_over_the_same_files() {
    let home = signed();
    json_with(&home, ADA, &["push", "digits", "2.0", "--index"]);
    json_with(&home, ADA, &["push", "digits", "3.0", "--base", "digits:1.0"]);
    json_with(&home, ADA, &["copy", "digits:2.0", "other:2.0"]);
    for version in ["1.0", "2.0", "3.0", "other:2.0"] {
        let signature = format!("{version}.sig");
        let directory = format!("back-{version}").replace(':', "-");
        home.ok(&["pull", version, "-o", &directory, "--with-signature", &signature]);
        home.ok(&[
            "verify-signature",
            &directory,
            "--signature",
            &signature,
            "--key",
            "ada.pem.pub",
        ]);
    }
    home.ok(&["verify", "--all"]);
}

#[test]
fn deleting_a_signed_repository_takes_one_of_its_keys() {
    let home = signed();
    home.ok(&["adopt", "--yes"]);
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\nforce_delete = true\n",
    );
    refused_with(
        &home,
        &[],
        &["destroy", "--force", "--yes"],
        3,
        "needs one of its keys",
    );
    assert_eq!(with(&home, ADA, &["destroy", "--force", "--yes"]).code, 0);
    // The history outlives it, and with it the keys.
    refused_with(
        &home,
        BEN,
        &["push", "digits", "2.0"],
        3,
        "the history does not list the key",
    );
}
