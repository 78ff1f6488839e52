//! Many processes on one store, and processes that die.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use crate::harness::{Home, assert_same_files, noise};

#[test]
fn of_many_pushers_of_one_version_one_wins() {
    for round in 0..3 {
        let home = Home::new();
        for pusher in 0..8 {
            home.write(&format!("{pusher}/model.bin"), noise(100_000, round * 8 + pusher));
        }
        let children: Vec<Child> = (0..8)
            .map(|pusher| {
                let mut command = home.command(&["push", &pusher.to_string(), "digits:1.0", "--json"]);
                command
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let runs: Vec<_> = children
            .into_iter()
            .map(|child| child.wait_with_output().unwrap())
            .collect();
        let winners: Vec<usize> = (0..8).filter(|&n| runs[n].status.code() == Some(0)).collect();
        let refused = runs.iter().filter(|run| run.status.code() == Some(4)).count();
        assert_eq!((winners.len(), refused), (1, 7), "{runs:?}");
        let listed = home.json(&["versions", "digits"]);
        assert_eq!(listed["versions"].as_array().unwrap().len(), 1);
        let won: serde_json::Value = serde_json::from_slice(&runs[winners[0]].stdout).unwrap();
        assert_eq!(listed["versions"][0]["digest"], won["digest"]);
        home.ok(&["pull", "digits:1.0", "-o", "back"]);
        assert_same_files(&home.path(&winners[0].to_string()), &home.path("back"));
        home.ok(&["verify", "--all"]);
        // Nothing of a loser is a manifest of the repository.
        let manifests = fs::read_dir(home.store().join("v1/repos/digits/_manifests")).unwrap();
        assert_eq!(manifests.count(), 1);
    }
}

#[test]
fn pushers_of_different_versions_all_succeed() {
    let home = Home::new();
    for pusher in 0..6 {
        home.write(&format!("{pusher}/model.bin"), noise(50_000, pusher));
    }
    let children: Vec<Child> = (0..6)
        .map(|pusher| {
            let version = format!("digits:1.{pusher}");
            home.command(&["push", &pusher.to_string(), &version, "--quiet"])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(
        home.json(&["versions", "digits"])["versions"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    home.ok(&["verify", "--all"]);
}

#[test]
fn a_push_that_is_killed_leaves_the_store_valid_and_the_next_one_finishes() {
    let home = Home::new();
    for n in 0..4 {
        home.write(&format!("digits/model-{n}.bin"), noise(12 << 20, n));
    }
    // The delays only choose where the process dies; every place must do.
    for delay in [1, 5, 10, 20, 40, 80] {
        let mut child = home
            .command(&["push", "digits", "1.0", "--quiet"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        if home.store().join("format").exists() {
            home.ok(&["verify", "--all"]);
        }
    }
    home.ok(&["push", "digits", "1.0"]);
    home.ok(&["verify", "--all"]);
    let staged = fs::read_dir(home.store().join("v1/staging")).unwrap();
    assert_eq!(staged.count(), 0, "what the dead left is swept");
    for delay in [1, 5, 10, 20, 40, 80] {
        let mut child = home
            .command(&["pull", "digits:1.0", "-o", "back", "--quiet"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    home.ok(&["pull", "digits:1.0", "-o", "back"]);
    assert_same_files(&home.path("digits"), &home.path("back"));
    let left: Vec<_> = fs::read_dir(home.path("."))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.contains("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_push_finishes_the_tag_of_one_that_died_before_it() {
    let home = Home::new();
    home.write("m/w", "a");
    home.ok(&["push", "m", "m:1.0"]);
    let tag = home.store().join("v1/repos/m/_tags/1.0");
    let written = fs::read(&tag).unwrap();
    fs::remove_file(&tag).unwrap();
    assert_eq!(home.json(&["push", "m", "m:1.0"])["outcome"], "unchanged");
    assert_eq!(fs::read(&tag).unwrap(), written);
}

#[test]
fn a_push_of_the_same_content_writes_again_what_the_store_has_lost() {
    let home = Home::new();
    home.model("m");
    home.ok(&["push", "m", "m:1.0"]);
    let shown = home.json(&["show", "m:1.0"]);
    for layer in shown["layers"].as_array().unwrap() {
        let hex = layer["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        fs::remove_file(home.store().join("v1/blobs/sha256").join(&hex[..2]).join(hex)).unwrap();
    }
    assert_eq!(home.run(&["verify", "m:1.0"]).code, 5);
    let again = home.json(&["push", "m", "m:1.0"]);
    assert_eq!(again["outcome"], "unchanged");
    assert_eq!(again["digest"], shown["digest"]);
    home.ok(&["verify", "m:1.0"]);
    // The same files elsewhere in an image are other layers, and nothing that this version lacks.
    home.write("m/modelkeep.toml", "[image]\npath = \"/elsewhere\"\n");
    let elsewhere = home.json(&["push", "m", "m:1.0"]);
    assert_eq!(
        (&elsewhere["outcome"], &elsewhere["bytes_written"]),
        (&"unchanged".into(), &0.into())
    );
}
