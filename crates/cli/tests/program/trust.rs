//! What is remembered of the histories of registries: here `modelkeep serve`, whose store somebody has changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{harness::Home, serve::Serving};

/// A server with one version, unsigned, and who has seen it.
struct Scene {
    there: Home,
    here: Home,
    server: Serving,
    name: String,
}

impl Scene {
    fn new() -> Self {
        let (there, here) = (Home::new(), Home::new());
        let server = Serving::start(&there, &[]);
        let name = format!("{}/digits", server.address);
        let scene = Self {
            there,
            here,
            server,
            name,
        };
        scene.push("1.0");
        scene
    }

    fn push(&self, version: &str) {
        self.here.write("model/version.txt", version);
        self.here
            .ok(&["push", "model", &format!("{}:{version}", self.name)]);
    }

    fn repository(&self) -> PathBuf {
        self.there.store().join("v1/repos/digits")
    }

    fn known(&self) -> PathBuf {
        self.here.store().join("known")
    }

    fn seen(&self) -> PathBuf {
        let place = self.known().join("places").join(&self.server.address);
        place.join("digits/_seen")
    }

    fn pull(&self, version: &str, code: i32, text: &str) -> String {
        let name = format!("{}:{version}", self.name);
        let run = self.here.run(&["pull", &name, "-o", "out", "--force"]);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(text), "{}", run.stderr);
        run.stderr
    }
}

fn evidence(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { evidence(&path) } else { 1 })
        .sum()
}

#[test]
fn a_server_that_shows_less_than_was_seen_is_refused_until_it_is_put_back() {
    let scene = Scene::new();
    scene.push("1.1");
    scene.pull("1.1", 0, "");
    let (newest, tag) = (
        scene.repository().join("_history/00000002"),
        scene.repository().join("_tags/1.1"),
    );
    let (entry, pointed) = (fs::read(&newest).unwrap(), fs::read(&tag).unwrap());
    fs::remove_file(&newest).unwrap();
    fs::remove_file(&tag).unwrap();
    let refused = scene.pull("1.0", 8, "2 of it have been seen");
    assert!(refused.contains("known/evidence"), "{refused}");
    assert_eq!(evidence(&scene.known().join("evidence")), 2);
    let found = scene.here.refused_check(&["verify", &scene.name], 5);
    assert_eq!(found["problems"].as_array().unwrap().len(), 2, "{found}");
    let healed = scene.here.json(&["verify", &scene.name, "--heal"]);
    assert_eq!(
        (&healed["ok"], healed["healed"].as_array().unwrap().len()),
        (&true.into(), 1),
        "{healed}"
    );
    assert_eq!(
        (fs::read(&newest).unwrap(), fs::read(&tag).unwrap()),
        (entry, pointed)
    );
    scene.pull("1.1", 0, "");
}

#[test]
fn another_history_is_refused_until_what_was_seen_is_removed() {
    let scene = Scene::new();
    scene.pull("1.0", 0, "");
    let first = scene.repository().join("_history/00000001");
    let entry = fs::read_to_string(&first).unwrap();
    fs::write(&first, entry.replace("\"author\":\"", "\"author\":\"not ")).unwrap();
    let refused = scene.pull("1.0", 8, "the one that was here before");
    let hint = refused.lines().find_map(|line| line.split_once("`rm "));
    let files = hint.unwrap().1.trim_end_matches('`');
    for file in files.split(' ') {
        fs::remove_file(file).unwrap();
    }
    scene.pull("1.0", 0, "");
}

#[test]
fn what_is_remembered_may_be_lost_and_not_be_damaged() {
    let scene = Scene::new();
    scene.pull("1.0", 0, "");
    fs::remove_dir_all(scene.known().join("histories")).unwrap();
    scene.pull("1.0", 0, "");
    assert!(scene.known().join("histories").is_dir());
    let seen = fs::read_to_string(scene.seen()).unwrap();
    fs::write(scene.seen(), seen.replace("\"height\":1", "\"height\":0")).unwrap();
    scene.pull("1.0", 5, "and is damaged");
    fs::write(scene.seen(), seen).unwrap();
    scene.pull("1.0", 0, "");
}

#[test]
fn a_history_that_may_have_been_kept_in_the_past_is_refused() {
    let scene = Scene::new();
    let first = scene.repository().join("_history/00000001");
    let entry = fs::read_to_string(&first).unwrap();
    let digest = scene.here.json(&["show", &format!("{}:1.0", scene.name)])["digest"].clone();
    let year = entry.split_once("\"time\":\"").unwrap().1[..4].to_owned();
    let version = format!("{}:1.0", scene.name);
    let by_digest = format!("{}@{}", scene.name, digest.as_str().unwrap());
    for (said, text) in [("2020", "max_age is 30d"), ("2999", "yet to come")] {
        let changed = entry.replace(&format!("\"time\":\"{year}"), &format!("\"time\":\"{said}"));
        fs::write(&first, changed).unwrap();
        let fresh = Home::new();
        let run = |words: &[&str], age: &str| {
            let mut command = fresh.command(words);
            let output = command.env("MODELKEEP_MAX_AGE", age).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        for words in [
            &["pull", &version, "-o", "out"][..],
            &["lock", &version],
            &["copy", &version, "oci:layout"],
        ] {
            let (code, stderr) = run(words, "30d");
            assert_eq!(code, Some(7), "{words:?} {stderr}");
            assert!(stderr.contains(text), "{stderr}");
        }
        assert_eq!(run(&["pull", &by_digest, "-o", "out"], "30d").0, Some(0));
        assert_eq!(run(&["show", &version], "30d").0, Some(0));
        let (code, stderr) = run(&["pull", &version, "-o", "out"], "a month");
        assert_eq!(code, Some(2), "{stderr}");
    }
}
