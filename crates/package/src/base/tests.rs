use std::collections::BTreeMap;

use modelkeep_core::{Index, annotation, manifest::to_json};

use super::*;
use crate::{
    image::{self, Image, ImageSettings, Platforms, Provenance},
    testing::{Memory, Version, pack},
};

const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What the config of a base says, but for its layers.
fn said(architecture: &str) -> Value {
    json!({
        "architecture": architecture, "os": "linux", "created": "2020-01-01T00:00:00Z", "variant": "v8",
        "container_config": {"Cmd": ["build"]},
        "config": {
            "Env": ["PATH=/bin", "LANG=C"], "Entrypoint": ["/bin/sh"], "Cmd": ["-c", "x"], "User": "app",
            "WorkingDir": "/srv", "ExposedPorts": {"80/tcp": {}}, "OnBuild": ["RUN x"],
            "Labels": {"maintainer": "me", annotation::VERSION: "9", "dev.modelkeep.root": "theirs"}
        },
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"unpacked").to_string()]},
        "history": [{"created_by": "a"}, {"created_by": "b", "empty_layer": true}],
        "x-unknown": 1
    })
}

fn add(memory: &mut Memory, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let descriptor = Descriptor::of(media_type, &bytes);
    memory.add(bytes);
    descriptor
}

/// An image that docker pushed.
fn base_image(memory: &mut Memory, config: &Value) -> Descriptor {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::DOCKER_MANIFEST.to_owned()),
        artifact_type: None,
        config: add(memory, media::DOCKER_CONFIG, to_json(config)),
        layers: vec![add(memory, DOCKER_GZIP, b"packed".to_vec())],
        subject: None,
        annotations: BTreeMap::new(),
    };
    add(memory, media::DOCKER_MANIFEST, to_json(&manifest))
}

fn base_index(memory: &mut Memory, manifests: Vec<Descriptor>) -> Descriptor {
    let index = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    };
    add(memory, media::OCI_INDEX, to_json(&index))
}

fn platform(architecture: &str, os: &str) -> Option<Platform> {
    Some(Platform {
        architecture: architecture.to_owned(),
        os: os.to_owned(),
        variant: None,
    })
}

fn model() -> Version {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), "a").unwrap();
    pack(directory.path())
}

fn laid_on(base: &Base, run: RunSettings) -> Image {
    let Version { contents, layers, .. } = model();
    let settings = ImageSettings {
        run,
        ..ImageSettings::default()
    };
    let provenance = Provenance {
        version: "1.0".to_owned(),
        ..Provenance::default()
    };
    image::build(
        contents,
        &layers,
        &settings,
        &provenance,
        Platforms::Of(base),
        &Limits::default(),
    )
    .unwrap()
}

fn config(image: &Image) -> Value {
    serde_json::from_slice(&image.configs[0].bytes).unwrap()
}

fn manifest(image: &Image, number: usize) -> Manifest {
    serde_json::from_slice(&image.manifests[number].bytes).unwrap()
}

#[test]
fn a_model_lies_on_top_and_the_layers_below_stay_as_they_are() {
    let mut memory = Memory::default();
    let root = base_image(&mut memory, &said("arm64"));
    let base = Base::read(&memory, &root, Some("ghcr.io/a/b:1".to_owned())).unwrap();
    assert_eq!((base.most_layers(), base.is_index()), (1, false));
    let image = laid_on(&base, RunSettings::default());
    let manifest = manifest(&image, 0);
    let [below, above] = manifest.layers.as_slice() else {
        panic!("{manifest:?}");
    };
    assert_eq!(*below, Descriptor::of(media::OCI_LAYER_GZIP, b"packed"));
    assert_eq!(base.layers(), std::slice::from_ref(below));
    assert_eq!(manifest.media_type.as_deref(), Some(media::OCI_MANIFEST));
    assert_eq!(manifest.annotations[annotation::BASE_NAME], "ghcr.io/a/b:1");
    assert_eq!(
        manifest.annotations[annotation::BASE_DIGEST],
        root.digest.to_string()
    );
    assert_eq!(image.index, None);
    let config = config(&image);
    let unpacked = Digest::of(b"unpacked").to_string();
    assert_eq!(
        config["rootfs"]["diff_ids"],
        json!([unpacked, above.digest.to_string()])
    );
    let history = json!([{"created_by": "a"}, {"created_by": "b", "empty_layer": true},
        {"created_by": "modelkeep push 1.0"}]);
    assert_eq!(config["history"], history);
    assert_eq!(
        (&config["architecture"], &config["variant"]),
        (&json!("arm64"), &json!("v8"))
    );
    assert_eq!(
        (&config["x-unknown"], &config["created"]),
        (&json!(1), &json!("2020-01-01T00:00:00Z"))
    );
    assert_eq!(config.get("container_config"), None);
}

#[test]
fn what_the_base_says_holds_where_nothing_else_is_said() {
    let mut memory = Memory::default();
    let root = base_image(&mut memory, &said("amd64"));
    let base = Base::read(&memory, &root, None).unwrap();
    let of = |run| config(&laid_on(&base, run))["config"].clone();
    let inherited = of(RunSettings::default());
    assert_eq!(inherited["Entrypoint"], json!(["/bin/sh"]));
    assert_eq!(inherited["Cmd"], json!(["-c", "x"]));
    assert_eq!(inherited["Env"], json!(["PATH=/bin", "LANG=C"]));
    assert_eq!(
        (&inherited["User"], &inherited["WorkingDir"]),
        (&json!("app"), &json!("/srv"))
    );
    assert_eq!(inherited["ExposedPorts"], json!({"80/tcp": {}}));
    assert_eq!(inherited.get("OnBuild"), None);
    let labels = inherited["Labels"].as_object().unwrap();
    assert_eq!(
        (&labels["maintainer"], &labels[annotation::VERSION]),
        (&json!("me"), &json!("1.0"))
    );
    assert_ne!(labels["dev.modelkeep.root"], json!("theirs"));
    assert!(!labels.contains_key(annotation::BASE_NAME));
    let said = of(RunSettings {
        entrypoint: vec!["/serve".to_owned()],
        env: BTreeMap::from([
            ("LANG".to_owned(), "de".to_owned()),
            ("MODEL".to_owned(), "/models".to_owned()),
        ]),
        user: Some("1000".to_owned()),
        ..RunSettings::default()
    });
    assert_eq!((&said["Entrypoint"], said.get("Cmd")), (&json!(["/serve"]), None));
    assert_eq!(said["Env"], json!(["PATH=/bin", "LANG=de", "MODEL=/models"]));
    assert_eq!(said["User"], json!("1000"));
    let command = of(RunSettings {
        cmd: vec!["y".to_owned()],
        ..RunSettings::default()
    });
    assert_eq!(
        (&command["Entrypoint"], &command["Cmd"]),
        (&json!(["/bin/sh"]), &json!(["y"]))
    );
}

#[test]
fn every_platform_of_the_base_gets_the_same_model_layers() {
    let mut memory = Memory::default();
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let image = base_image(&mut memory, &said(architecture));
        entries.push(Descriptor {
            platform: platform(architecture, "linux"),
            ..image
        });
    }
    // Neither is there: an attestation, and an image for something else.
    for (name, os) in [("unknown", "unknown"), ("amd64", "windows")] {
        entries.push(Descriptor {
            platform: platform(name, os),
            ..Descriptor::of(media::OCI_MANIFEST, os.as_bytes())
        });
    }
    let root = base_index(&mut memory, entries);
    let base = Base::read(&memory, &root, None).unwrap();
    // Both have the same layer.
    assert_eq!((base.layers().len(), base.is_index()), (1, true));
    let image = laid_on(&base, RunSettings::default());
    let index: Index = serde_json::from_slice(&image.index.as_ref().unwrap().bytes).unwrap();
    let architectures: Vec<&str> = index
        .manifests
        .iter()
        .map(|entry| entry.platform.as_ref().unwrap().architecture.as_str())
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    assert_eq!(
        index.annotations[annotation::BASE_DIGEST],
        root.digest.to_string()
    );
    let [one, two] = [manifest(&image, 0), manifest(&image, 1)];
    assert_eq!(one.layers, two.layers);
    assert_ne!(one.config, two.config);
    assert_ne!(
        one.annotations[annotation::BASE_DIGEST],
        two.annotations[annotation::BASE_DIGEST]
    );
    assert_eq!(image.top(), laid_on(&base, RunSettings::default()).top());
}

#[test]
fn of_an_index_only_what_is_wanted_is_read() {
    let mut memory = Memory::default();
    let mut entries = Vec::new();
    for (architecture, variant) in [("amd64", None), ("arm", Some("v6")), ("arm", Some("v7"))] {
        entries.push(Descriptor {
            platform: Some(Platform {
                architecture: architecture.to_owned(),
                os: "linux".to_owned(),
                variant: variant.map(str::to_owned),
            }),
            ..base_image(&mut memory, &said(architecture))
        });
    }
    let amd64 = entries[0].clone();
    // A mirror that has not got it.
    entries.push(Descriptor {
        platform: platform("s390x", "linux"),
        ..Descriptor::of(media::OCI_MANIFEST, b"lost")
    });
    let root = base_index(&mut memory, entries);
    let read = |wanted: &[&str]| {
        let wanted: Vec<Platform> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        Base::read_for(&memory, &root, None, &wanted)
    };
    assert!(matches!(read(&[]), Err(BaseError::Source(_))));
    let one = read(&["linux/amd64"]).unwrap();
    assert_eq!(
        one,
        Base::read(&memory, &amd64, None)
            .map(|mut named| {
                // The index says the platform without the variant that the config has.
                named.images[0].platform = amd64.platform.clone().unwrap();
                named
            })
            .unwrap()
    );
    let both = read(&["linux/arm"]).unwrap();
    assert_eq!(
        (both.images.len(), both.is_index(), both.digest()),
        (2, true, &root.digest)
    );
    assert_eq!(read(&["linux/arm/v7", "linux/amd64"]).unwrap().images.len(), 2);
    let lacking = read(&["linux/amd64", "linux/riscv64"]).unwrap_err();
    assert!(
        lacking.to_string().ends_with(
            "has no image for linux/riscv64; it has linux/amd64, linux/arm/v6, linux/arm/v7, linux/s390x"
        ),
        "{lacking}"
    );
    // A single image is looked at too.
    let wrong = Base::read_for(&memory, &amd64, None, &["linux/arm64".parse().unwrap()]).unwrap_err();
    assert!(matches!(wrong, BaseError::NoPlatform { .. }), "{wrong}");
}

#[test]
fn what_is_no_base_is_refused() {
    let mut memory = Memory::default();
    let mut refused = |config: Value| {
        let root = base_image(&mut memory, &config);
        Base::read(&memory, &root, None).unwrap_err()
    };
    let with = |key: &str, value: Value| {
        let mut config = said("amd64");
        config[key] = value;
        config
    };
    assert!(matches!(
        refused(with("os", json!("windows"))),
        BaseError::NoImage(_)
    ));
    let none = json!({"type": "layers", "diff_ids": []});
    assert!(matches!(refused(with("rootfs", none)), BaseError::Config { .. }));
    assert!(matches!(
        refused(with("config", json!({"Labels": 7}))),
        BaseError::Config { .. }
    ));
    assert!(matches!(refused(json!([])), BaseError::Config { .. }));
    let empty = base_index(&mut memory, Vec::new());
    assert!(matches!(
        Base::read(&memory, &empty, None),
        Err(BaseError::NoImage(_))
    ));
    let one = base_image(&mut memory, &said("amd64"));
    let many = base_index(&mut memory, vec![one; 65]);
    assert!(matches!(
        Base::read(&memory, &many, None),
        Err(BaseError::TooMany(_))
    ));
    let lost = Descriptor::of(media::OCI_MANIFEST, b"lost");
    assert!(matches!(
        Base::read(&memory, &lost, None),
        Err(BaseError::Source(_))
    ));
    let layer = Descriptor::of(media::OCI_LAYER, b"packed");
    assert!(matches!(
        Base::read(&memory, &layer, None),
        Err(BaseError::Manifest(..))
    ));
}

#[test]
fn a_config_that_says_little_is_enough() {
    let mut memory = Memory::default();
    let null = json!({"architecture": "amd64", "os": "linux", "config": null, "history": null,
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"unpacked").to_string()]}});
    let plain = json!({"architecture": "amd64", "os": "linux", "history": [],
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"unpacked").to_string()]}});
    for said in [null, plain] {
        let root = base_image(&mut memory, &said);
        let base = Base::read(&memory, &root, None).unwrap();
        let config = config(&laid_on(&base, RunSettings::default()));
        assert_eq!(config.get("history"), None);
        assert!(config["config"]["Labels"].is_object());
    }
}
