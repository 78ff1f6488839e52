//! Versions that others made, as the user of the program meets them.

use std::{fs, io::Write};

use modelkeep_core::{Descriptor, Digest, Index, Manifest, annotation, manifest::to_json, media};
use serde_json::{Value, json};

use crate::{
    harness::{Home, files, noise},
    serve::Serving,
};

const MODEL_PACK: &str = "application/vnd.cncf.model.config.v1+json";
const FILE_PATH: &str = "org.cncf.model.filepath";

/// A version in an OCI layout.
struct Foreign<'a> {
    home: &'a Home,
    config: (&'a str, Value),
    layers: Vec<Descriptor>,
}

impl<'a> Foreign<'a> {
    fn new(home: &'a Home, config_type: &'a str, config: Value) -> Self {
        Self {
            home,
            config: (config_type, config),
            layers: Vec::new(),
        }
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        let blob = Descriptor::of(media_type, bytes);
        self.home
            .write(&format!("layout/blobs/sha256/{}", blob.digest.hex()), bytes);
        blob
    }

    fn layer(mut self, media_type: &str, bytes: &[u8], path: Option<&str>) -> Self {
        let mut layer = self.put(media_type, bytes);
        let path = path.map(|path| (FILE_PATH.to_owned(), path.to_owned()));
        layer.annotations.extend(path);
        self.layers.push(layer);
        self
    }

    /// Writes the layout, and copies it to the version `reference` of the store.
    fn publish(self, reference: &str) {
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: self.put(self.config.0, self.config.1.to_string().as_bytes()),
            layers: self.layers.clone(),
            subject: None,
            annotations: Default::default(),
        };
        let mut entry = self.put(media::OCI_MANIFEST, &to_json(&manifest));
        entry
            .annotations
            .insert(annotation::REF_NAME.to_owned(), "1".to_owned());
        let index = Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: vec![entry],
            subject: None,
            annotations: Default::default(),
        };
        self.home.write("layout/index.json", to_json(&index));
        self.home
            .write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.home.ok(&["copy", "oci:layout", reference]);
    }
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tensor `w` of that many bytes.
fn safetensors(size: usize, seed: u64) -> Vec<u8> {
    let header = format!(r#"{{"w":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}"#);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(noise(size, seed));
    bytes
}

#[test]
fn a_model_pack_of_files_is_a_version_like_any_other() {
    let home = Home::new();
    let publish = |version: &str, seed| {
        let config =
            json!({"descriptor": {"family": "bert", "licenses": ["MIT"]}, "config": {"paramSize": "1M"}});
        Foreign::new(&home, MODEL_PACK, config)
            .layer(
                "application/vnd.cncf.model.weight.v1.raw",
                &safetensors(1 << 20, seed),
                Some("w.safetensors"),
            )
            .layer(
                "application/vnd.cncf.model.doc.v1.raw",
                b"# Card\n",
                Some("docs/README.md"),
            )
            .publish(version);
    };
    publish("pack:1.0", 1);
    publish("pack:1.1", 2);
    let shown = home.json(&["show", "pack:1.0"]);
    assert_eq!(
        (&shown["kind"], &shown["config"]),
        (&"modelpack".into(), &Value::Null)
    );
    assert_eq!(shown["about"]["family"], "bert");
    assert_eq!(shown["record"]["parameters"], 1 << 20);
    let paths = shown["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["path"]);
    assert_eq!(paths.collect::<Vec<_>>(), ["docs/README.md", "w.safetensors"]);
    let text = home.ok(&["show", "pack:1.0"]).stdout;
    for part in ["a ModelPack", "bert", "MIT", "docs/README.md", "1.0 M"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let compared = home.json(&["diff", "pack:1.0", "pack:1.1"]);
    assert_eq!(
        compared["files"]["modified"][0]["path"], "w.safetensors",
        "{compared}"
    );
    assert_eq!(compared["files"]["unchanged"], 1);
    assert_eq!(
        home.json(&["inspect", "pack:1.0"])["record"]["formats"][0],
        "safetensors"
    );
    assert_eq!(home.json(&["scan", "pack:1.0"])["dangerous"], 0);
    let pulled = home.json(&["pull", "pack:1.1", "-o", "out", "--include", "*.safetensors"]);
    assert_eq!(pulled["files"], 1);
    home.ok(&["pull", "pack:1.1", "-o", "out"]);
    let found = files(&home.path("out"));
    assert_eq!(found[0], ("docs/README.md".to_owned(), b"# Card\n".to_vec()));
    assert!(found[1].1 == safetensors(1 << 20, 2));
    home.ok(&["verify", "pack:1.0"]);
    // What was pulled is what is there, and what would be pushed.
    let same = home.json(&["diff", "pack:1.1", "./out"]);
    assert_eq!(same["files"]["unchanged"], 2);
    let root = home.json(&["push", "out", "again:1.0"])["content_root"].clone();
    assert_eq!(home.json(&["show", "pack:1.1"])["content_root"], root);
    home.ok(&["versions", "pack", "--metric", "f1"]);
}

#[test]
fn a_modelkit_whose_layers_are_compressed_is_read_when_that_is_asked_for() {
    let home = Home::new();
    let kit = |version: &str, weights: &[u8]| {
        let kitfile = json!({"manifestVersion": "1.0.0", "package": {"name": "digits", "license": "MIT"}});
        let layer = gzip(&archive(&[
            ("model/w.safetensors", weights),
            ("model/config.json", b"{}"),
        ]));
        Foreign::new(&home, "application/vnd.kitops.modelkit.config.v1+json", kitfile)
            .layer("application/vnd.kitops.modelkit.model.v1.tar+gzip", &layer, None)
            .publish(version);
    };
    kit("kit:1.0", &safetensors(100_000, 1));
    kit("kit:1.1", &safetensors(100_000, 2));
    let text = home.ok(&["show", "kit:1.0"]).stdout;
    assert!(
        text.contains("a KitOps ModelKit") && text.contains("digits"),
        "{text}"
    );
    assert!(text.contains("`modelkeep inspect kit:1.0`"), "{text}");
    let shown = home.json(&["show", "kit:1.0"]);
    assert_eq!(
        (&shown["record"], &shown["content_root"]),
        (&Value::Null, &Value::Null)
    );
    let inspected = home.ok(&["inspect", "kit:1.0", "--tensors"]);
    assert!(
        inspected.stdout.contains("100000") || inspected.stdout.contains("100,000"),
        "{}",
        inspected.stdout
    );
    assert!(
        inspected.stderr.contains("its layers are archives"),
        "{}",
        inspected.stderr
    );
    let compared = home.json(&["diff", "kit:1.0", "kit:1.1"]);
    assert_eq!(compared["files"]["unchanged"], 1);
    assert_eq!(compared["tensors"]["changed"], 1, "{compared}");
    let pulled = home.ok(&["pull", "kit:1.0", "--include", "**/config.json"]);
    assert!(
        pulled.stderr.contains("`modelkeep scan kit:1.0`"),
        "{}",
        pulled.stderr
    );
    assert_eq!(
        files(&home.path("kit-1.0")),
        [("model/config.json".to_owned(), b"{}".to_vec())]
    );
    home.ok(&["verify", "kit:1.0"]);
    let evil = b"cos\nsystem\n(S'true'\ntR.";
    let layer = gzip(&archive(&[("model.pkl", evil)]));
    Foreign::new(&home, "application/vnd.kitops.modelkit.config.v1+json", json!({}))
        .layer("application/vnd.kitops.modelkit.model.v1.tar+gzip", &layer, None)
        .publish("kit:2.0");
    let scanned = home.run(&["scan", "kit:2.0"]);
    assert_eq!(scanned.code, 7, "{}{}", scanned.stdout, scanned.stderr);
    assert!(scanned.stdout.contains("model.pkl"), "{}", scanned.stdout);
}

#[test]
fn an_image_with_a_model_in_a_directory_is_looked_into_without_its_weights() {
    let home = Home::new();
    let image = |version: &str, members: &[(&str, &[u8])]| {
        let layer = archive(members);
        let config = json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]}});
        Foreign::new(&home, media::OCI_CONFIG, config)
            .layer(media::OCI_LAYER, &layer, None)
            .publish(version);
    };
    let weights = safetensors(1 << 20, 1);
    image(
        "image:1.0",
        &[("models/w.safetensors", &weights), ("bin/sh", b"sh")],
    );
    let shown = home.json(&["show", "image:1.0"]);
    assert_eq!(
        (&shown["kind"], &shown["record"]["parameters"]),
        (&"image".into(), &(1 << 20).into())
    );
    assert_eq!(
        (&shown["files"][0]["path"], &shown["files"][0]["digest"]),
        (&"w.safetensors".into(), &Value::Null)
    );
    assert!(home.ok(&["show", "image:1.0"]).stdout.contains("not stated"));
    let pulled = home.json(&["pull", "image:1.0", "-o", "out"]);
    let pushed = home.json(&["push", "out", "again:1.0"]);
    assert_eq!(pulled["content_root"], pushed["content_root"]);
    assert!(files(&home.path("out")) == [("w.safetensors".to_owned(), weights.clone())]);
    let compared = home.json(&["diff", "./out", "image:1.0"]);
    assert_eq!(
        (&compared["files"]["unchanged"], &compared["tensors"]["unchanged"]),
        (&1.into(), &1.into())
    );
    image("image:1.1", &[("opt/model/w.safetensors", &weights)]);
    let refused = home.refused_after_text(&["pull", "image:1.1", "-o", "none"], 1, "no layer");
    assert!(refused.stderr.contains("[image]"), "{}", refused.stderr);
    home.write("modelkeep.toml", "[image]\npath = \"/opt/model\"\n");
    home.ok(&["pull", "image:1.1", "-o", "there"]);
    assert_eq!(files(&home.path("there")).len(), 1);
    assert!(!home.path("none").exists());
}

#[test]
fn a_model_of_ollama_is_pulled_from_a_registry_under_plain_names() {
    let home = Home::new();
    let server = Serving::start(&home, &[]);
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        let path = format!("/v2/library/tiny/blobs/uploads/?digest={digest}");
        assert_eq!(server.send("POST", &path, "", bytes).0, 201);
        json!({"digest": digest, "size": bytes.len()})
    };
    let layer = |kind: &str, name: Option<&str>| {
        let mut layer = put(kind.as_bytes());
        layer["mediaType"] = format!("application/vnd.ollama.image.{kind}").into();
        layer["name"] = name.into();
        layer
    };
    let mut config = put(br#"{"model_format":"gguf","model_family":"llama","model_type":"1B"}"#);
    config["mediaType"] = media::DOCKER_CONFIG.into();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media::DOCKER_MANIFEST, "config": config,
        "layers": [layer("model", None), layer("template", None), layer("params", None),
            layer("json", Some("sub/config.json"))],
    });
    let path = "/v2/library/tiny/manifests/latest";
    let body = manifest.to_string();
    assert_eq!(
        server
            .send("PUT", path, media::DOCKER_MANIFEST, body.as_bytes())
            .0,
        201
    );
    let reference = format!("{}/library/tiny:latest", server.address);
    let text = home.ok(&["show", &reference]).stdout;
    assert!(
        text.contains("a model of Ollama") && text.contains("llama"),
        "{text}"
    );
    home.ok(&["pull", &reference, "-o", "out"]);
    let paths: Vec<String> = files(&home.path("out"))
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        paths,
        ["model.gguf", "params.json", "sub/config.json", "template"]
    );
    home.ok(&["verify", &reference]);
}

#[test]
fn what_must_not_be_written_is_refused_and_nothing_is_left() {
    let home = Home::new();
    Foreign::new(&home, MODEL_PACK, json!({}))
        .layer(
            "application/vnd.cncf.model.weight.v1.raw",
            b"x",
            Some("../../.bashrc"),
        )
        .publish("evil:1.0");
    home.refused(
        &["pull", "evil:1.0", "-o", "out"],
        1,
        "is to be a file that is refused",
    );
    let text = home.ok(&["show", "evil:1.0"]).stdout;
    assert!(text.contains("its files cannot be listed"), "{text}");
    Foreign::new(&home, "application/vnd.cncf.helm.config.v1+json", json!({})).publish("chart:1.0");
    home.refused(&["pull", "chart:1.0", "-o", "out"], 1, "is no model");
    let archived = gzip(&archive(&[("a", b"a")]));
    let wrong = json!({"modelfs": {"diffIds": [Digest::of(b"another")]}});
    Foreign::new(&home, MODEL_PACK, wrong)
        .layer("application/vnd.cncf.model.weight.v1.tar+gzip", &archived, None)
        .publish("wrong:1.0");
    home.refused_after_text(&["pull", "wrong:1.0", "-o", "out"], 5, "the config says");
    home.refused_after_text(&["inspect", "wrong:1.0"], 5, "the config says");
    let left = fs::read_dir(home.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left
        .filter(|name| name.to_string_lossy().contains("out"))
        .collect();
    assert_eq!(left, ["layout"]);
}
