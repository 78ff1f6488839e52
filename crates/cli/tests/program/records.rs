//! What a model is, and what two of them differ in.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{Home, noise},
    serve::Serving,
};

/// A safetensors file of tensors of one KiB and more, some of them with other values.
fn weights(count: usize, bytes: usize, changed: &[usize]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    for n in 0..count {
        let name = format!("model.layers.{n:05}.self_attn.q_proj.weight");
        let entry = json!({"dtype": "U8", "shape": [bytes], "data_offsets": [n * bytes, (n + 1) * bytes]});
        header.insert(name, entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    for n in 0..count {
        let seed = if changed.contains(&n) { n + count } else { n };
        file.extend(noise(bytes, seed as u64 + 1));
    }
    file
}

fn model(home: &Home, directory: &str, changed: &[usize], metrics: &str) {
    home.write(
        &format!("{directory}/model.safetensors"),
        weights(12, 1 << 20, changed),
    );
    home.write(
        &format!("{directory}/config.json"),
        r#"{"architectures":["BertModel"],"hidden_size":8}"#,
    );
    home.write(&format!("{directory}/metrics.json"), metrics);
    home.write(
        &format!("{directory}/README.md"),
        "---\nlicense: mit\n---\n# Tiny\n",
    );
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|entry| entry["name"].as_str().unwrap()).collect()
}

#[test]
fn the_record_of_a_version_follows_from_its_files_alone() {
    let (home, other) = (Home::new(), Home::new());
    for home in [&home, &other] {
        model(home, "model", &[], "{}");
    }
    let first = home.json(&["push", "model", "a:1.0"]);
    assert_eq!(other.json(&["push", "model", "a:1.0"])["digest"], first["digest"]);
    // Layers that are known are not read again: their tensors have their hashes all the same.
    let again = home.json(&["push", "model", "b:1.0"]);
    assert_eq!(
        (&again["bytes_read"], &again["digest"]),
        (&json!(0), &first["digest"])
    );
    fs::remove_dir_all(home.store().join("cache/tensors")).unwrap();
    assert_eq!(home.json(&["push", "model", "c:1.0"])["digest"], first["digest"]);
    assert_eq!(
        home.json(&["push", "model", "d:1.0", "--dry-run"])["digest"],
        first["digest"]
    );

    let record = &home.json(&["show", "a:1.0"])["record"];
    assert_eq!(record["parameters"], 12 << 20);
    assert_eq!(record["architecture"], "BertModel");
    assert_eq!(record["license"], "mit");
    let rows = record["tensors"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    assert!(
        rows.iter()
            .all(|row| row[5].as_str().is_some_and(|hash| hash.len() == 64))
    );
    let shown = home.ok(&["inspect", "a:1.0", "--tensors"]).stdout;
    assert!(
        shown.contains("model.layers.00011.self_attn.q_proj.weight"),
        "{shown}"
    );
}

#[test]
fn a_long_table_of_tensors_lies_in_a_layer_of_its_own() {
    let home = Home::new();
    home.write("model/model.safetensors", weights(3_000, 4, &[]));
    let pushed = home.json(&["push", "model", "many:1.0"]);
    let shown = home.json(&["show", "many:1.0"]);
    assert_eq!(shown["layers"].as_array().unwrap().len(), 2);
    let record = &shown["record"];
    assert_eq!(record["tensors"]["rows"].as_array().unwrap().len(), 3_000);
    assert_eq!(
        record["tensors"]["rows"],
        home.json(&["inspect", "many:1.0"])["record"]["tensors"]["rows"]
    );
    home.ok(&["verify", "many:1.0"]);
    home.ok(&["pull", "many:1.0", "-o", "out"]);
    assert!(!home.path("out/.modelkeep").exists());
    // What lies there is Modelkeep's own, and not pushed.
    home.write("out/.modelkeep/tensors.json", "{}");
    assert_eq!(
        home.json(&["push", "out", "again:1.0"])["digest"],
        pushed["digest"]
    );

    home.write("model/model.safetensors", weights(3_000, 4, &[7]));
    home.ok(&["push", "model", "many:1.1"]);
    let diff = home.json(&["diff", "many:1.0", "many:1.1"]);
    assert_eq!(
        names(&diff["tensors"]["list"]),
        ["model.layers.00007.self_attn.q_proj.weight"]
    );
    assert_eq!(diff["tensors"]["unchanged"], 2_999);
}

#[test]
fn versions_on_a_registry_are_compared_without_their_weights() {
    let (there, here) = (Home::new(), Home::new());
    let server = Serving::start(&there, &[]);
    let name = format!("{}/tiny", server.address);
    model(&here, "old", &[], r#"{"f1":0.5}"#);
    model(&here, "new", &[3], r#"{"f1":0.75}"#);
    here.write(
        "new/config.json",
        r#"{"architectures":["BertModel"],"hidden_size":16}"#,
    );
    let (old, new) = (format!("{name}:1.0"), format!("{name}:1.1"));
    here.ok(&["push", "old", &old]);
    here.ok(&["push", "new", &new]);
    // Whoever asked for the weights would be told that they are not there.
    let mut removed = 0;
    for reference in [&old, &new] {
        let shown = here.json(&["show", reference]);
        let weights = shown["files"]
            .as_array()
            .unwrap()
            .iter()
            .find(|file| file["path"] == "model.safetensors");
        let layer = weights.unwrap()["layer"]
            .as_str()
            .unwrap()
            .strip_prefix("sha256:")
            .unwrap();
        for (path, _) in crate::harness::files(&there.store()) {
            if path.starts_with("v1/blobs/") && path.contains(layer) {
                fs::remove_file(there.store().join(path)).unwrap();
                removed += 1;
            }
        }
    }
    assert_eq!(removed, 2);
    let diff = here.json(&["diff", &old, &new]);
    assert_eq!(
        names(&diff["tensors"]["list"]),
        ["model.layers.00003.self_attn.q_proj.weight"]
    );
    assert_eq!(
        diff["metrics"],
        json!([{"name": "f1", "from": 0.5, "to": 0.75, "delta": 0.25}])
    );
    assert_eq!(diff["texts"]["config"]["config.json"][0]["key"], "hidden_size");
    assert_eq!(
        diff["incompatible"],
        json!(["architecture: hidden_size was 8 and is 16"])
    );
    // A directory against a version of the registry: only the directory is read.
    let diff = here.json(&["diff", &old, "new"]);
    assert_eq!(
        names(&diff["tensors"]["list"]),
        ["model.layers.00003.self_attn.q_proj.weight"]
    );
    let listed = here.json(&["versions", &name, "--where", "f1>0.6"]);
    assert_eq!(listed["versions"].as_array().unwrap().len(), 1);
    assert_eq!(listed["versions"][0]["metrics"]["f1"], 0.75);
}

#[test]
fn a_difference_is_told_as_text_counts_or_markdown() {
    let home = Home::new();
    model(&home, "old", &[], r#"{"f1":0.5}"#);
    model(&home, "new", &[3], r#"{"f1":0.75}"#);
    home.write("new/vocab.txt", "a\nb\n");
    let text = home.ok(&["diff", "old", "new"]).stdout;
    for line in [
        "old -> new\n",
        "files: 1 added, 2 modified, 2 same; 12.6 MB to fetch\n",
        "  A  vocab.txt",
        "tensors: 1 changed, 11 same\n",
        "  f1  0.5  ->  0.75  +0.25\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let counts = home.ok(&["diff", "old", "new", "--stat"]).stdout;
    assert!(
        counts.contains("tensors: 1 changed, 11 same\n") && !counts.contains("q_proj"),
        "{counts}"
    );
    let markdown = home.ok(&["diff", "old", "new", "--format", "markdown"]).stdout;
    assert!(markdown.starts_with("### old → new\n"), "{markdown}");
    assert!(
        markdown.contains("| f1 | 0.5 | -> | 0.75 | +0.25 |\n"),
        "{markdown}"
    );
    assert!(!home.store().exists(), "looking makes no store");
    home.refused(&["diff", "old", "nothing:1.0"], 1, "nothing");
    home.refused(&["inspect", "./none"], 2, "there is no directory ./none");
}

#[test]
fn a_broken_model_file_is_a_problem_and_no_failure() {
    let home = Home::new();
    home.model("model");
    let record = home.json(&["inspect", "model"])["record"].clone();
    assert_eq!(record["problems"][0]["file"], "model.safetensors");
    home.ok(&["push", "model", "broken:1.0"]);
    assert_eq!(home.json(&["show", "broken:1.0"])["record"], record);
}
