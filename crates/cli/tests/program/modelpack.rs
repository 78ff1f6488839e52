//! Versions that are ModelPack artifacts.

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{Home, assert_same_files, noise},
    serve::Serving,
};

/// A model with directories, files with the same bytes, and one without any.
fn model(home: &Home) {
    home.model("model");
    home.write("model/same.json", "{}");
    home.write("model/empty", "");
    home.write("model/metrics.json", r#"{"f1": 0.5}"#);
}

fn paths(layers: &Value) -> Vec<&str> {
    let layers = layers.as_array().unwrap().iter();
    layers
        .map(|layer| layer["annotations"]["org.cncf.model.filepath"].as_str().unwrap())
        .collect()
}

#[test]
fn a_version_may_be_an_artifact_and_is_all_that_a_version_is() {
    let (home, other) = (Home::new(), Home::new());
    for home in [&home, &other] {
        model(home);
    }
    let push = ["push", "model", "digits:1.0", "--format", "modelpack"];
    let pushed = home.json(&[&push[..], &["--metric", "loss=0.25", "-m", "first"]].concat());
    // Where each file is a layer, the layers have no bytes but those of the files.
    assert_eq!(pushed["bytes_written"], pushed["bytes"]);
    assert_eq!(pushed["layers"], 7);
    fs::rename(other.path("model"), other.path("elsewhere")).unwrap();
    let again = [
        "push",
        "elsewhere",
        "digits:1.0",
        "--format",
        "modelpack",
        "--metric",
        "loss=0.25",
        "-m",
        "first",
    ];
    assert_eq!(other.json(&again)["digest"], pushed["digest"]);
    assert_eq!(home.json(&push)["outcome"], "unchanged");

    let shown = home.json(&["show", "digits:1.0"]);
    assert_eq!(
        paths(&shown["layers"]),
        [
            "1_Pooling/config.json",
            "README.md",
            "config.json",
            "empty",
            "metrics.json",
            "model.safetensors",
            "same.json"
        ]
    );
    assert_eq!(shown["metrics"], json!({"loss": 0.25}));
    assert_eq!(shown["history"]["message"], "first");
    assert_eq!(shown["content_root"], pushed["content_root"]);
    assert_eq!(shown["record"]["license"], "apache-2.0");
    let text = home.ok(&["show", "digits:1.0"]).stdout;
    assert!(
        text.contains("ModelPack") && text.contains("model.safetensors"),
        "{text}"
    );
    let listed = home.json(&["versions", "digits", "--where", "f1>0.4"]);
    assert_eq!(listed["versions"][0]["version"], "1.0");
    home.ok(&["verify", "digits:1.0"]);
    home.ok(&["verify", "--all"]);
    home.ok(&["scrub"]);
    home.ok(&["pull", "digits:1.0", "-o", "out"]);
    assert_same_files(&home.path("out"), &home.path("model"));

    home.write("model/metrics.json", r#"{"f1": 0.75}"#);
    let next = home.json(&["push", "model", "digits:1.1", "--format", "modelpack"]);
    assert_eq!(next["layers_reused"], 6);
    let diff = home.json(&["diff", "digits:1.0", "digits:1.1"]);
    assert_eq!(diff["files"]["modified"].as_array().unwrap().len(), 1, "{diff}");
    assert_eq!(diff["files"]["unchanged"], 6);
    // The same files are the same model, whatever holds them.
    home.ok(&["push", "model", "digits:1.2"]);
    let diff = home.json(&["diff", "digits:1.1", "digits:1.2"]);
    assert_eq!(
        (&diff["files"]["unchanged"], &diff["files"]["bytes_to_fetch"]),
        (&json!(7), &json!(0))
    );
    assert_eq!(
        home.json(&["push", "model", "digits:1.2", "--format", "modelpack"])["outcome"],
        "unchanged"
    );
}

#[test]
fn an_artifact_goes_to_a_registry_and_comes_back() {
    let (there, here) = (Home::new(), Home::new());
    let server = Serving::start(&there, &[]);
    model(&here);
    here.write("model/modelkeep.toml", "[image]\nformat = \"modelpack\"\n");
    let version = format!("{}/team/digits:1.0", server.address);
    let pushed = here.json(&["push", "model", &version]);
    let settings = here.json(&["push", "model", "digits:1.0"]);
    assert_eq!(settings["digest"], pushed["digest"]);
    assert_eq!(here.json(&["push", "model", &version])["outcome"], "unchanged");
    assert_eq!(
        there.json(&["show", "team/digits:1.0"])["digest"],
        pushed["digest"]
    );
    let shown = here.json(&["show", &version]);
    let artifact = &shown["annotations"]["dev.modelkeep.root"];
    assert_eq!(artifact, &pushed["content_root"]);
    here.ok(&["verify", &version]);
    here.ok(&["pull", &version, "-o", "out"]);
    fs::remove_file(here.path("model/modelkeep.toml")).unwrap();
    assert_same_files(&here.path("out"), &here.path("model"));
    // A copy keeps what it is.
    here.ok(&["copy", &version, "copied:1.0"]);
    assert_eq!(here.json(&["show", "copied:1.0"])["digest"], pushed["digest"]);
    assert_eq!(
        here.json(&["show", "copied:1.0"])["content_root"],
        pushed["content_root"]
    );
    here.ok(&["export", "copied:1.0", "--oci", "layout"]);
    let refused = here.refused(
        &["export", "copied:1.0", "--docker-archive", "x.tar"],
        1,
        "not that of an image",
    );
    assert!(refused.stderr.contains("--oci DIR"), "{}", refused.stderr);
}

#[test]
fn a_long_table_of_tensors_is_a_layer_beside_the_files() {
    let home = Home::new();
    let mut header = serde_json::Map::new();
    for n in 0..3_000 {
        let entry = json!({"dtype": "U8", "shape": [4], "data_offsets": [n * 4, (n + 1) * 4]});
        header.insert(format!("model.layers.{n:05}.self_attn.q_proj.weight"), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(noise(12_000, 1));
    home.write("model/model.safetensors", file);
    home.ok(&["push", "model", "many:1.0", "--format", "modelpack"]);
    let shown = home.json(&["show", "many:1.0"]);
    assert_eq!(
        paths(&shown["layers"]),
        ["model.safetensors", ".modelkeep/tensors.json"]
    );
    assert_eq!(shown["files"].as_array().unwrap().len(), 1);
    assert_eq!(
        shown["record"]["tensors"]["rows"].as_array().unwrap().len(),
        3_000
    );
    home.ok(&["verify", "many:1.0"]);
    home.ok(&["pull", "many:1.0", "-o", "out"]);
    assert_same_files(&home.path("out"), &home.path("model"));
}

#[test]
fn an_index_may_hold_an_image_and_an_artifact_over_the_same_layers() {
    let home = Home::new();
    model(&home);
    let pushed = home.json(&["push", "model", "digits:1.0", "--index", "--format", "modelpack"]);
    home.ok(&["push", "model", "plain:1.0", "--index"]);
    let layers = |version| home.json(&["show", version])["layers"].clone();
    assert_eq!(layers("digits:1.0"), layers("plain:1.0"));
    home.ok(&["verify", "digits:1.0"]);
    home.ok(&["pull", "digits:1.0", "-o", "out"]);
    assert_same_files(&home.path("out"), &home.path("model"));
    home.ok(&["export", "digits:1.0", "--oci", "layout"]);
    let blob = |digest: &Value| -> Value {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        let path = home.path(&format!("layout/blobs/sha256/{hex}"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let index = blob(&pushed["digest"]);
    let manifests = index["manifests"].as_array().unwrap();
    let architectures: Vec<&Value> = manifests
        .iter()
        .map(|manifest| &manifest["platform"]["architecture"])
        .collect();
    assert_eq!(architectures, ["amd64", "arm64", "unknown"]);
    assert_eq!(
        manifests[2]["artifactType"],
        "application/vnd.cncf.model.manifest.v1+json"
    );
    let (image, artifact) = (blob(&manifests[0]["digest"]), blob(&manifests[2]["digest"]));
    let digests = |manifest: &Value| -> Vec<Value> {
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["digest"].clone()).collect()
    };
    assert_eq!(digests(&image), digests(&artifact));
    assert_eq!(paths(&artifact["layers"]), ["models", "models/model.safetensors"]);
    assert_eq!(
        artifact["layers"][1]["mediaType"],
        "application/vnd.cncf.model.weight.v1.tar"
    );
    let config = blob(&artifact["config"]["digest"]);
    assert_eq!(config["modelfs"]["diffIds"], json!(digests(&image)));
}

#[test]
fn what_no_artifact_can_be_is_refused_before_anything_is_read() {
    let home = Home::new();
    home.model("model");
    home.ok(&["push", "model", "base:1.0"]);
    let refused = home.refused(
        &[
            "push",
            "model",
            "x:1.0",
            "--format",
            "modelpack",
            "--base",
            "base:1.0",
        ],
        2,
        "lies on no image",
    );
    assert!(refused.stderr.contains("--format image"), "{}", refused.stderr);
    for n in 0..10_000 {
        home.write(&format!("many/{n}"), "");
    }
    let refused = home.refused(
        &["push", "many", "x:1.0", "--format", "modelpack"],
        1,
        "the manifest would have",
    );
    assert!(refused.stderr.contains("10000 files"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--format image"), "{}", refused.stderr);
    home.refused(&["show", "x:1.0"], 1, "x");
}
