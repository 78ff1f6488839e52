//! Models on top of other images.

use std::fs;

use modelkeep_core::{Descriptor, Digest, Index, Manifest, Platform, annotation, manifest::to_json, media};
use serde_json::{Value, json};

use crate::{
    harness::{Home, assert_same_files},
    serve::Serving,
};

/// A layout with a base image for each architecture, named `1`; an index if there are several.
fn base(home: &Home, layout: &str, architectures: &[&str]) -> Descriptor {
    let put = |media_type: &str, bytes: &[u8]| {
        let blob = Descriptor::of(media_type, bytes);
        home.write(&format!("{layout}/blobs/sha256/{}", blob.digest.hex()), bytes);
        blob
    };
    let image = |architecture: &&str| {
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"maintainer": "me"}},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"unpacked").to_string()]},
            "history": [{"created_by": "a base"}]
        });
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: put(media::OCI_CONFIG, &to_json(&config)),
            // No archive at all: nobody looks into it.
            layers: vec![put(
                media::OCI_LAYER_GZIP,
                format!("\x1f{architecture}").as_bytes(),
            )],
            subject: None,
            annotations: Default::default(),
        };
        Descriptor {
            platform: Some(Platform {
                architecture: (*architecture).to_owned(),
                os: "linux".to_owned(),
                variant: None,
            }),
            ..put(media::OCI_MANIFEST, &to_json(&manifest))
        }
    };
    let index = |manifests| Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: Default::default(),
    };
    let images: Vec<Descriptor> = architectures.iter().map(image).collect();
    let mut top = match images.as_slice() {
        [only] => Descriptor::plain(&only.media_type, only.digest.clone(), only.size),
        _ => put(media::OCI_INDEX, &to_json(&index(images))),
    };
    let root = top.clone();
    top.annotations
        .insert(annotation::REF_NAME.to_owned(), "1".to_owned());
    home.write(&format!("{layout}/index.json"), to_json(&index(vec![top])));
    home.write(
        &format!("{layout}/oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    root
}

fn layers(shown: &Value) -> Vec<&str> {
    let layers = shown["layers"].as_array().unwrap();
    layers
        .iter()
        .map(|layer| layer["digest"].as_str().unwrap())
        .collect()
}

#[test]
fn a_model_on_a_base_is_that_image_and_that_model() {
    let home = Home::new();
    home.model("model");
    let root = base(&home, "base", &["arm64"]);
    home.ok(&["push", "model", "digits:1.0"]);
    let dry = home.json(&["push", "model", "server:1.0", "--base", "oci:base:1", "--dry-run"]);
    let pushed = home.json(&["push", "model", "server:1.0", "--base", "oci:base:1"]);
    assert_eq!(
        (&pushed["outcome"], &pushed["digest"]),
        (&"published".into(), &dry["digest"])
    );
    assert_eq!(
        pushed["base"],
        json!({"name": null, "digest": root.digest.to_string()})
    );
    let (plain, shown) = (
        home.json(&["show", "digits:1.0"]),
        home.json(&["show", "server:1.0"]),
    );
    assert_eq!(layers(&shown)[1..], layers(&plain));
    assert_eq!(shown["content_root"], plain["content_root"]);
    assert_eq!(shown["base"]["digest"], root.digest.to_string());
    assert_eq!(
        (&plain["base"], &shown["config"]["architecture"]),
        (&Value::Null, &"arm64".into())
    );
    assert_eq!(shown["config"]["config"]["Labels"]["maintainer"], "me");
    assert!(home.ok(&["show", "server:1.0"]).stdout.contains("base "));
    home.ok(&["pull", "server:1.0", "-o", "out"]);
    assert_same_files(&home.path("model"), &home.path("out"));
    home.ok(&["verify", "--all"]);
}

#[test]
fn the_same_files_on_the_same_base_are_the_same_version() {
    let (home, other) = (Home::new(), Home::new());
    let mut digests = Vec::new();
    for home in [&home, &other] {
        home.model("model");
        base(home, "base", &["amd64", "arm64"]);
        let pushed = home.json(&["push", "model", "server:1.0", "--base", "oci:base"]);
        let again = home.json(&["push", "model", "server:1.0", "--base", "oci:base"]);
        assert_eq!(
            (&again["outcome"], &again["digest"]),
            (&"unchanged".into(), &pushed["digest"])
        );
        digests.push(pushed["digest"].clone());
    }
    assert_eq!(digests[0], digests[1]);
    home.refused(&["push", "model", "server:1.0"], 4, "exists with other content");
    base(&home, "another", &["amd64"]);
    let arguments = ["push", "model", "server:1.0", "--base", "oci:another"];
    home.refused(&arguments, 4, "exists with other content");
    home.refused(
        &["copy", "server:1.0", "digits:sha256-0"],
        2,
        "cannot be a version",
    );
}

#[test]
fn every_platform_of_the_base_has_the_model() {
    let home = Home::new();
    home.model("model");
    base(&home, "base", &["amd64", "arm64"]);
    home.write(
        "model/modelkeep.toml",
        "[image]\nbase = \"oci:../base:1\"\ncmd = [\"serve\"]\nenv = { MODEL = \"/models\" }\n",
    );
    let there = Home::new();
    let server = Serving::start(&there, &[]);
    let remote = format!("{}/team/server:1.0", server.address);
    let pushed = home.json(&["push", "model", &remote]);
    assert_eq!(
        home.json(&["push", "model", "server:1.0"])["digest"],
        pushed["digest"]
    );
    home.ok(&["copy", &remote, "oci:layout:1.0"]);
    let blob = |digest: &str| -> Value {
        let path = format!("layout/blobs/sha256/{}", digest.split(':').next_back().unwrap());
        serde_json::from_slice(&fs::read(home.path(&path)).unwrap()).unwrap()
    };
    let index = blob(pushed["digest"].as_str().unwrap());
    let manifests = index["manifests"].as_array().unwrap();
    let mut above = Vec::new();
    for (entry, architecture) in manifests.iter().zip(["amd64", "arm64"]) {
        assert_eq!(entry["platform"]["architecture"], architecture);
        let manifest = blob(entry["digest"].as_str().unwrap());
        let config = blob(manifest["config"]["digest"].as_str().unwrap());
        assert_eq!(config["architecture"], architecture);
        assert_eq!(config["config"]["Cmd"], json!(["serve"]));
        assert_eq!(config["config"]["Env"], json!(["PATH=/bin", "MODEL=/models"]));
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(
            layers.len(),
            config["rootfs"]["diff_ids"].as_array().unwrap().len()
        );
        assert_eq!(layers.len(), config["history"].as_array().unwrap().len());
        above.push(layers[1..].to_vec());
    }
    assert_eq!(above[0], above[1]);
    // On top of what lies in a registry: taken over there, and named.
    home.write("model/modelkeep.toml", "");
    home.model("second");
    let next = format!("{}/team/next:1.0", server.address);
    let on_top = home.json(&["push", "second", &next, "--base", &remote]);
    assert_eq!(
        on_top["base"],
        json!({"name": remote, "digest": pushed["digest"]})
    );
    home.ok(&["pull", &next, "-o", "out"]);
    assert_same_files(&home.path("second"), &home.path("out"));
    there.ok(&["verify", "--all"]);
}

#[test]
fn one_platform_of_the_base_is_as_if_its_image_had_been_named() {
    let home = Home::new();
    home.model("model");
    base(&home, "both", &["amd64", "arm64"]);
    let arm64 = base(&home, "one", &["arm64"]);
    let push = |name: &str, base: &[&str]| home.json(&[&["push", "model", name, "--base"], base].concat());
    let chosen = push("chosen:1.0", &["oci:both", "--platform", "linux/arm64"]);
    assert_eq!(chosen["base"]["digest"], arm64.digest.to_string());
    assert_eq!(chosen["digest"], push("named:1.0", &["oci:one"])["digest"]);
    let all = [
        "oci:both",
        "--platform",
        "linux/amd64",
        "--platform",
        "linux/arm64",
    ];
    assert_eq!(
        push("all:1.0", &all)["digest"],
        push("every:1.0", &["oci:both"])["digest"]
    );
    let refused = |arguments: &[&str], code, text| {
        home.refused(&[&["push", "model", "none:1.0"], arguments].concat(), code, text)
    };
    refused(
        &["--base", "oci:both", "--platform", "linux/s390x"],
        1,
        "has no image for linux/s390x; it has linux/amd64, linux/arm64",
    );
    refused(
        &["--base", "oci:both", "--platform", "arm64"],
        2,
        "such as linux/amd64",
    );
    refused(&["--platform", "linux/arm64"], 2, "--base");
}

#[test]
fn what_is_no_base_is_refused_before_anything_is_stored() {
    let home = Home::new();
    home.model("model");
    base(&home, "base", &["amd64"]);
    let refused = |arguments: &[&str], code, text| {
        home.refused(
            &[&["push", "model", "server:1.0"], arguments].concat(),
            code,
            text,
        )
    };
    refused(&["--base", "oci:none"], 1, "open the OCI layout none");
    refused(&["--base", "oci:base:2"], 1, "which has 1");
    refused(&["--base", "busybox:1"], 1, "docker.io/library/NAME:TAG");
    refused(&["--base", "docker-daemon:busybox:1"], 2, "copy it first");
    refused(&["--base", "oci:base", "--index"], 2, "--index");
    home.write("base/index.json", r#"{"schemaVersion":2,"manifests":[]}"#);
    refused(&["--base", "oci:base"], 1, "an image is not in base");
    assert!(!home.store().join("v1/repositories").exists());
}

#[test]
fn a_base_that_is_not_what_its_digest_says_is_no_version() {
    let home = Home::new();
    home.model("model");
    base(&home, "base", &["amd64"]);
    let layer = Digest::of("\x1famd64".as_bytes());
    home.write(&format!("base/blobs/sha256/{}", layer.hex()), "\x1fAMD64");
    home.refused(
        &["push", "model", "server:1.0", "--base", "oci:base"],
        5,
        "cannot write",
    );
    home.refused(&["show", "server:1.0"], 1, "server");
}
