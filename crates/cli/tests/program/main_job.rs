//! A directory becomes a version, and the version becomes the directory again.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Home, assert_same_files, noise};

#[test]
fn a_pushed_directory_is_pulled_back_byte_for_byte() {
    let home = Home::new();
    home.model("digits");
    let pushed = home.json(&[
        "push",
        "digits",
        "1.0",
        "--message",
        "first",
        "--metric",
        "f1=0.9",
    ]);
    assert_eq!(pushed["outcome"], "published");
    assert_eq!(pushed["reference"], "digits:1.0");
    let pulled = home.json(&["pull", "digits:1.0", "-o", "back"]);
    assert_eq!(pulled["files"], 4);
    assert_same_files(&home.path("digits"), &home.path("back"));
    home.ok(&["verify", "--all"]);
}

#[test]
fn versions_are_listed_newest_first_with_their_parents() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0", "--message", "first"]);
    home.write("digits/config.json", "{\"hidden_size\": 64}");
    home.ok(&[
        "push",
        "digits",
        "1.1",
        "--metric",
        "f1=0.95",
        "--param",
        "epochs=30",
    ]);
    let listed = home.json(&["versions", "digits"]);
    let field = |name: &str| -> Vec<Value> {
        let versions = listed["versions"].as_array().unwrap();
        versions.iter().map(|version| version[name].clone()).collect()
    };
    assert_eq!(field("version"), ["1.1", "1.0"]);
    assert_eq!(field("parent"), [json!("1.0"), json!(null)]);
    assert_eq!(field("message"), [json!(null), json!("first")]);
    assert_eq!(field("author"), ["Ada", "Ada"]);
    assert_eq!(field("metrics"), [json!({"f1": 0.95}), json!({})]);
    assert_eq!(field("params"), [json!({"epochs": "30"}), json!({})]);
    // The large file did not change, and neither did its layer.
    let new_bytes = field("new_bytes");
    assert!(new_bytes[0].as_u64().unwrap() < 100_000, "{new_bytes:?}");
    assert!(new_bytes[1].as_u64().unwrap() > 9 << 20, "{new_bytes:?}");
    let text = home.ok(&["versions", "digits"]).stdout;
    assert!(text.starts_with("VERSION"), "{text}");
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn the_same_content_again_changes_nothing() {
    let home = Home::new();
    home.model("digits");
    let first = home.json(&["push", "digits", "1.0", "--message", "first"]);
    let again = home.json(&["push", "digits", "1.0", "--message", "another message"]);
    assert_eq!(again["outcome"], "unchanged");
    assert_eq!(again["digest"], first["digest"]);
    assert_eq!(again["bytes_written"], 0);
    // Also when nothing is remembered about the files.
    fs::remove_dir_all(home.store().join("cache")).unwrap();
    let again = home.json(&["push", "digits", "1.0"]);
    assert_eq!(again["outcome"], "unchanged");
    assert_eq!(again["bytes_written"], 0);
    assert_eq!(
        home.json(&["versions", "digits"])["versions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn other_content_under_a_version_is_refused() {
    let home = Home::new();
    home.model("digits");
    let first = home.json(&["push", "digits", "1.0"]);
    home.write("digits/config.json", "{}");
    let refused = home.refused(
        &["push", "digits", "1.0"],
        4,
        "version 1.0 exists with other content",
    );
    assert!(
        refused.stderr.contains(first["digest"].as_str().unwrap()),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.stderr.matches("sha256:").count(), 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("hint: the next free version is 1.1"),
        "{}",
        refused.stderr
    );
    assert_eq!(home.json(&["show", "digits:1.0"])["digest"], first["digest"]);
    home.ok(&["push", "digits", "1.1"]);
}

#[test]
fn next_raises_the_highest_version() {
    let home = Home::new();
    home.model("digits");
    for (step, content, version) in [
        ("minor", "a", "0.1.0"),
        ("patch", "b", "0.1.1"),
        ("major", "c", "1.0.0"),
    ] {
        home.write("digits/config.json", content);
        let pushed = home.json(&["push", "digits", "--next", step]);
        assert_eq!(pushed["version"], version);
    }
}

#[test]
fn the_digests_depend_on_files_and_settings_alone() {
    let digests: Vec<Value> = ["one", "two"]
        .iter()
        .map(|parent| {
            let home = Home::new();
            home.model(&format!("{parent}/digits"));
            home.ok(&["push", &format!("{parent}/digits"), "1.0"]);
            home.json(&["show", "digits:1.0"])["digest"].clone()
        })
        .collect();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn show_says_where_every_file_lies() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    let shown = home.json(&["show", "digits:1.0"]);
    let files = shown["files"].as_array().unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "1_Pooling/config.json",
            "README.md",
            "config.json",
            "model.safetensors"
        ]
    );
    for file in files {
        let hex = file["layer"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let layer = fs::read(home.store().join("v1/blobs/sha256").join(&hex[..2]).join(hex)).unwrap();
        let offset = usize::try_from(file["offset"].as_u64().unwrap()).unwrap();
        let size = usize::try_from(file["size"].as_u64().unwrap()).unwrap();
        let path = home.path("digits").join(file["path"].as_str().unwrap());
        assert!(layer[offset..offset + size] == fs::read(path).unwrap());
    }
    assert_eq!(
        shown["annotations"]["org.opencontainers.image.licenses"],
        "apache-2.0"
    );
    assert_eq!(shown["annotations"]["org.opencontainers.image.version"], "1.0");
    assert_eq!(shown["config"]["architecture"], "amd64");
}

#[test]
fn a_dry_run_says_what_would_happen_and_stores_nothing() {
    let home = Home::new();
    home.model("digits");
    let planned = home.json(&["push", "digits", "1.0", "--dry-run"]);
    assert_eq!(planned["outcome"], "would publish");
    assert!(!home.store().exists());
    let pushed = home.json(&["push", "digits", "1.0"]);
    assert_eq!(planned["digest"], pushed["digest"]);
}

#[test]
fn an_index_is_two_images_over_the_same_layers() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0", "--index"]);
    let shown = home.json(&["show", "digits:1.0"]);
    assert_eq!(shown["media_type"], "application/vnd.oci.image.index.v1+json");
    home.ok(&["pull", "digits:1.0", "-o", "back"]);
    assert_same_files(&home.path("digits"), &home.path("back"));
    home.ok(&["verify", "digits:1.0"]);
}

#[test]
fn only_files_that_match_are_pulled() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    let pulled = home.json(&["pull", "digits:1.0", "-o", "back", "--include", "*.json"]);
    assert_eq!(pulled["files"], 2);
    assert!(home.path("back/1_Pooling/config.json").exists());
    assert!(!home.path("back/model.safetensors").exists());
}

#[test]
fn pulling_again_writes_only_what_is_missing() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    home.ok(&["pull", "digits:1.0", "-o", "back"]);
    fs::remove_file(home.path("back/config.json")).unwrap();
    let pulled = home.json(&["pull", "digits:1.0", "-o", "back"]);
    assert_eq!(pulled["files_reused"], 3);
    assert_same_files(&home.path("digits"), &home.path("back"));
}

#[test]
fn exports_hold_the_version() {
    let home = Home::new();
    home.model("digits");
    let pushed = home.json(&["push", "digits", "1.0"]);
    home.ok(&["export", "digits:1.0", "--oci", "layout"]);
    let index: Value = serde_json::from_slice(&fs::read(home.path("layout/index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"][0]["digest"], pushed["digest"]);
    let name = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    assert_eq!(name, "1.0");
    home.ok(&["export", "digits:1.0", "--docker-archive", "digits.tar"]);
    assert!(fs::metadata(home.path("digits.tar")).unwrap().len() > 9 << 20);
}

#[test]
fn damage_is_found_and_named() {
    let home = Home::new();
    home.model("digits");
    home.ok(&["push", "digits", "1.0"]);
    let shown = home.json(&["show", "digits:1.0"]);
    let largest = shown["layers"]
        .as_array()
        .unwrap()
        .iter()
        .max_by_key(|layer| layer["size"].as_u64());
    let digest = largest.unwrap()["digest"].as_str().unwrap().to_owned();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let path = home.store().join("v1/blobs/sha256").join(&hex[..2]).join(hex);
    let mut bytes = fs::read(&path).unwrap();
    bytes[5_000_000] ^= 1;
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(&path, permissions).unwrap();
    fs::write(&path, bytes).unwrap();
    for arguments in [&["verify", "digits:1.0"][..], &["verify", "--all"]] {
        let run = home.run(arguments);
        assert_eq!(run.code, 5, "{}", run.stderr);
        assert!(run.stdout.contains(&digest), "{}", run.stdout);
    }
    home.refused(&["pull", "digits:1.0", "-o", "back"], 5, "damaged");
    assert!(!home.path("back").exists());
}

#[test]
fn an_empty_message_is_none() {
    let home = Home::new();
    home.write("m/w", "a");
    home.ok(&["push", "m", "m:1.0", "--message", ""]);
    assert!(home.json(&["versions", "m"])["versions"][0]["message"].is_null());
}

#[test]
fn verify_names_what_is_wrong_and_looks_on() {
    use std::path::PathBuf;
    type Harm = fn(PathBuf);
    let home = Home::new();
    home.write("a/w", "a");
    home.write("b/w", "b");
    let cases: [(&str, &str, Harm); 7] = [
        ("_repository", "a", |path| fs::write(path, "{").unwrap()),
        ("_history/00000002", "a:1.1: it was published", |path| {
            fs::remove_file(path).unwrap();
        }),
        ("_history/00000001", "history of a", |path| {
            fs::remove_file(path).unwrap()
        }),
        ("_blobs", "is not in the repository a", |path| {
            for link in fs::read_dir(path).unwrap() {
                fs::remove_file(link.unwrap().path()).unwrap();
            }
        }),
        ("_tags/zz", "zz cannot be read", |path| {
            fs::write(path, "{").unwrap()
        }),
        ("_history/zz", "zz cannot be read", |path| {
            fs::write(path, "").unwrap()
        }),
        ("../x y", "x y cannot be read", |path| {
            fs::write(path, "").unwrap()
        }),
    ];
    for (file, text, harm) in cases {
        home.ok(&["push", "a", "a:1.0"]);
        home.ok(&["push", "b", "a:1.1"]);
        home.ok(&["push", "b", "b:1.0"]);
        home.ok(&["verify", "--all"]);
        harm(home.store().join("v1/repos/a").join(file));
        let run = home.run(&["verify", "--all"]);
        assert_eq!(run.code, 5, "{file}: {}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains(text), "{file}: {}", run.stdout);
        fs::remove_dir_all(home.store()).unwrap();
    }
}

#[test]
fn a_manifest_that_is_gone_is_damage_for_every_command() {
    let home = Home::new();
    home.write("m/w", "a");
    let pushed = home.json(&["push", "m", "m:1.0"]);
    let hex = pushed["digest"]
        .as_str()
        .unwrap()
        .strip_prefix("sha256:")
        .unwrap()
        .to_owned();
    fs::remove_file(home.store().join("v1/blobs/sha256").join(&hex[..2]).join(&hex)).unwrap();
    assert_eq!(home.run(&["verify", "m:1.0"]).code, 5);
    for command in [
        &["show", "m:1.0"][..],
        &["pull", "m:1.0"],
        &["export", "m:1.0", "--oci", "o"],
    ] {
        home.refused(command, 5, "damaged");
    }
}

#[test]
fn a_layer_that_is_torn_is_damage_for_every_command() {
    let home = Home::new();
    home.write("m/w", "a");
    home.ok(&["push", "m", "m:1.0"]);
    let shown = home.json(&["show", "m:1.0"]);
    let digest = shown["layers"][0]["digest"].as_str().unwrap().to_owned();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let layer = home.store().join("v1/blobs/sha256").join(&hex[..2]).join(hex);
    fs::remove_file(&layer).unwrap();
    fs::write(&layer, "torn").unwrap();
    assert_eq!(home.run(&["verify", "m:1.0"]).code, 5);
    for command in [
        &["pull", "m:1.0"][..],
        &["export", "m:1.0", "--oci", "o"],
        &["export", "m:1.0", "--docker-archive", "o.tar"],
    ] {
        home.refused(command, 5, "damaged");
    }
}

#[test]
fn a_moving_tag_moves_where_the_settings_say_so() {
    let home = Home::new();
    home.model("digits");
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\nimage_tag_mutability = \"IMMUTABLE_WITH_EXCLUSION\"\n\
         image_tag_mutability_exclusion_filters = [\"dev-*\"]\n",
    );
    home.ok(&["push", "digits", "dev-1"]);
    home.ok(&["push", "digits", "1.0"]);
    home.write("digits/model.safetensors", noise(100, 2));
    home.ok(&["push", "digits", "dev-1"]);
    home.refused(&["push", "digits", "1.0"], 4, "exists with other content");
    let listed = home.json(&["versions"]);
    assert_eq!(listed["versions"].as_array().unwrap().len(), 2);
    home.ok(&["verify"]);
    home.write(
        "modelkeep.toml",
        "[repository]\nname = \"digits\"\nimage_tag_mutability = \"MUTABLE\"\n",
    );
    let run = home.run(&["push", "digits", "1.0"]);
    assert_eq!(run.code, 4);
    assert!(
        run.stderr.contains("was made as IMMUTABLE_WITH_EXCLUSION"),
        "{}",
        run.stderr
    );
}
