//! Images between the store, a server, layouts, archives and a docker engine.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixListener,
    sync::{Arc, Mutex},
    thread,
};

use modelkeep_core::{Descriptor, Digest, Index, Manifest, annotation, manifest::to_json, media};
use serde_json::Value;

use crate::{
    harness::{Home, assert_same_files},
    serve::Serving,
};

/// A store with `digits:1.0`, and the digest of that.
fn with_version(options: &[&str]) -> (Home, Value) {
    let home = Home::new();
    home.model("model");
    let arguments = [
        &[
            "push",
            "model",
            "digits:1.0",
            "--message",
            "first",
            "--metric",
            "f1=0.5",
        ],
        options,
    ];
    let pushed = home.json(&arguments.concat());
    (home, pushed["digest"].clone())
}

#[test]
fn a_version_is_copied_by_the_rules_of_a_push() {
    let (home, digest) = with_version(&[]);
    let dry = home.json(&["copy", "digits:1.0", "team/other:2.0", "--dry-run"]);
    assert_eq!(
        (&dry["outcome"], &dry["digest"]),
        (&"would publish".into(), &digest)
    );
    home.refused(&["versions", "team/other"], 1, "no repository");

    let copied = home.json(&["copy", "digits:1.0", "team/other:2.0"]);
    assert_eq!(
        (&copied["outcome"], &copied["digest"]),
        (&"published".into(), &digest)
    );
    assert_eq!(
        (&copied["enforcement"], &copied["version"]),
        (&"store".into(), &"2.0".into())
    );
    let shown = home.json(&["show", "team/other:2.0"]);
    let history = &shown["history"];
    assert_eq!(
        (&history["author"], &history["message"]),
        (&"Ada".into(), &"first".into())
    );
    let from = format!("digits:1.0@{}", digest.as_str().unwrap());
    assert_eq!(
        (&history["from"], &shown["metrics"]["f1"]),
        (&from.into(), &0.5.into())
    );
    assert!(
        home.ok(&["show", "team/other:2.0"])
            .stdout
            .contains("copied from")
    );
    assert_eq!(home.json(&["show", "digits:1.0"])["history"]["from"], Value::Null);

    let again = home.json(&["copy", "digits:1.0", "team/other:2.0"]);
    assert_eq!(
        (&again["outcome"], &again["bytes_written"]),
        (&"unchanged".into(), &0.into())
    );
    home.write("model/config.json", "{\"changed\": true}");
    home.ok(&["push", "model", "digits:1.1"]);
    let refused = home.refused(
        &["copy", "digits:1.1", "team/other:2.0"],
        4,
        "exists with other content",
    );
    assert!(
        refused.stderr.contains("next free version is 2.1"),
        "{}",
        refused.stderr
    );
    let dry = home.json(&["copy", "digits:1.1", "team/other:2.0", "--dry-run"]);
    assert_eq!(dry["outcome"], "would refuse");
    home.ok(&["verify", "--all"]);
}

#[test]
fn an_index_keeps_its_digest_over_a_server_and_a_layout() {
    let (home, digest) = with_version(&["--index"]);
    let there = Home::new();
    let server = Serving::start(&there, &[]);
    let remote = format!("{}/team/digits:1.0", server.address);
    for (from, to) in [
        ("digits:1.0", remote.as_str()),
        (remote.as_str(), "oci:layout:v1"),
        ("oci:layout", "oci:second:v2"),
        ("oci:second:v2", "back:1.0"),
    ] {
        let copied = home.json(&["copy", from, to]);
        assert_eq!(copied["digest"], digest, "{from} {to}");
        assert_eq!(copied["source_digest"], digest, "{from} {to}");
    }
    let again = home.json(&["copy", "digits:1.0", &remote]);
    assert_eq!(
        (&again["outcome"], &again["blobs"]),
        (&"unchanged".into(), &0.into())
    );
    // Another repository of the same server takes its blobs over.
    let other = format!("{}/team/other:1.0", server.address);
    let mounted = home.json(&["copy", &remote, &other]);
    assert_eq!(mounted["digest"], digest);
    assert!(mounted["bytes_written"].as_u64().unwrap() < 100_000, "{mounted}");
    home.ok(&["pull", "back:1.0", "-o", "out"]);
    assert_same_files(&home.path("model"), &home.path("out"));
    home.ok(&["verify", "--all"]);
    home.ok(&["verify", &other]);
    there.ok(&["verify", "--all"]);
    let said = there.json(&["show", "team/other:1.0"]);
    assert_eq!(said["digest"], digest);
    home.write("model/config.json", "{\"changed\": true}");
    home.ok(&["push", "model", "digits:1.1"]);
    home.refused(&["copy", "digits:1.1", &remote], 4, "exists with other content");
}

/// Adds to a layout a signature of the manifest that it names, and a signature of that signature.
fn sign(home: &Home, layout: &str) -> Vec<Digest> {
    let path = home.path(layout);
    let index = path.join("index.json");
    let mut listed: Index = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let blob = Descriptor::of(media_type, bytes);
        fs::write(path.join("blobs/sha256").join(blob.digest.hex()), bytes).unwrap();
        blob
    };
    let mut subject = listed.manifests[0].clone();
    subject.annotations.clear();
    let mut signatures = Vec::new();
    for text in ["signed", "signed again"] {
        let signature = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: Some("application/x-signature".to_owned()),
            config: put("application/vnd.oci.empty.v1+json", b"{}"),
            layers: vec![put("text/plain", text.as_bytes())],
            subject: Some(subject),
            annotations: Default::default(),
        };
        subject = put(media::OCI_MANIFEST, &to_json(&signature));
        signatures.push(subject.digest.clone());
        listed.manifests.push(subject.clone());
    }
    fs::write(index, to_json(&listed)).unwrap();
    signatures
}

#[test]
fn what_refers_to_an_image_goes_with_it() {
    let (home, digest) = with_version(&[]);
    home.ok(&["copy", "digits:1.0", "oci:layout:1.0"]);
    let signatures = sign(&home, "layout");
    let there = Home::new();
    let server = Serving::start(&there, &[]);
    let remote = format!("{}/team/digits:1.0", server.address);
    for (from, to) in [
        ("oci:layout:1.0", "signed:1.0"),
        ("signed:1.0", remote.as_str()),
        (remote.as_str(), "oci:second:1.0"),
        ("oci:second:1.0", "third:1.0"),
        // The version stands, and its signatures have not come yet.
        ("signed:1.0", "digits:1.0"),
    ] {
        let copied = home.json(&["copy", from, to]);
        assert_eq!(copied["referrers"], 2, "{from} {to}");
        assert_eq!(copied["digest"], digest);
    }
    for signature in &signatures {
        home.ok(&["copy", &format!("third@{signature}"), "oci:one"]);
        home.ok(&["copy", &format!("digits@{signature}"), "oci:two"]);
    }
    let archive = home.json(&["copy", "third:1.0", "docker-archive:image.tar"]);
    let left_out = archive["left_out"].as_array().unwrap();
    assert!(
        left_out
            .iter()
            .any(|text| text.as_str().unwrap().contains("signatures")),
        "{archive}"
    );
    home.ok(&["verify", "--all"]);
}

#[test]
fn a_version_is_the_same_after_an_archive() {
    let (home, digest) = with_version(&[]);
    let made = home.json(&["copy", "digits:1.0", "docker-archive:image.tar"]);
    assert_eq!(
        (&made["digest"], &made["outcome"]),
        (&Value::Null, &"copied".into())
    );
    assert!(made["image_id"].is_string());
    home.ok(&["export", "digits:1.0", "--docker-archive", "exported.tar"]);
    assert!(fs::read(home.path("image.tar")).unwrap() == fs::read(home.path("exported.tar")).unwrap());
    let back = home.json(&["copy", "docker-archive:image.tar:digits:1.0", "back:1.0"]);
    assert_eq!(
        (&back["digest"], &back["outcome"]),
        (&digest, &"published".into())
    );
    // The metrics stand in the image too.
    assert_eq!(home.json(&["show", "back:1.0"])["metrics"]["f1"], 0.5);
    home.refused(
        &["copy", "docker-archive:image.tar:other:1.0", "x:1"],
        1,
        "which has digits:1.0",
    );
}

#[test]
fn an_image_that_is_no_model_becomes_a_version() {
    let home = Home::new();
    image(&home, "foreign");
    let copied = home.json(&["copy", "oci:foreign", "team/app:1.0"]);
    assert_eq!(
        (&copied["outcome"], &copied["content_root"]),
        (&"published".into(), &Value::Null)
    );
    let shown = home.ok(&["show", "team/app:1.0"]).stdout;
    assert!(
        shown.contains("is not stated, and its layers are compressed"),
        "{shown}"
    );
    assert_eq!(
        home.json(&["versions", "team/app"])["versions"][0]["version"],
        "1.0"
    );
    home.ok(&["verify", "--all"]);
    home.refused_after_text(&["pull", "team/app:1.0"], 1, "cannot be read to its end");
}

/// A layout with an image as others build them: a compressed layer, docker's fields in the config.
fn image(home: &Home, layout: &str) -> Descriptor {
    let put = |media_type: &str, bytes: &[u8]| {
        let blob = Descriptor::of(media_type, bytes);
        home.write(&format!("{layout}/blobs/sha256/{}", blob.digest.hex()), bytes);
        blob
    };
    let config = br#"{"architecture":"amd64","os":"linux","config":{"Labels":null,"Env":["PATH=/bin"]},
        "rootfs":{"type":"layers","diff_ids":["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]},
        "history":[{"created_by":"docker"}]}"#;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: put(media::OCI_CONFIG, config),
        layers: vec![put(media::OCI_LAYER_GZIP, b"\x1f\x8bnot really")],
        subject: None,
        annotations: Default::default(),
    };
    let mut entry = put(media::OCI_MANIFEST, &to_json(&manifest));
    let found = entry.clone();
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
    home.write(&format!("{layout}/index.json"), to_json(&index));
    home.write(
        &format!("{layout}/oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    found
}

#[test]
fn what_is_not_what_its_digest_says_is_never_published() {
    let home = Home::new();
    let manifest = image(&home, "foreign");
    let layers = fs::read_dir(home.path("foreign/blobs/sha256")).unwrap();
    let layer = layers
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::read(path).unwrap().starts_with(b"\x1f\x8b"))
        .unwrap();
    fs::write(&layer, b"\x1f\x8bNOT really").unwrap();
    home.refused(&["copy", "oci:foreign", "team/app:1.0"], 5, "cannot write");
    fs::write(&layer, b"\x1f\x8bnot").unwrap();
    home.refused(&["copy", "oci:foreign", "team/app:1.0"], 1, "cannot read");
    fs::remove_file(&layer).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &layer).unwrap();
    home.refused(&["copy", "oci:foreign", "team/app:1.0"], 1, "is a link");
    home.write(&format!("foreign/blobs/sha256/{}", manifest.digest.hex()), "{}");
    home.refused(&["copy", "oci:foreign", "team/app:1.0"], 1, "cannot read");
    home.refused(&["show", "team/app:1.0"], 1, "team/app");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let (home, digest) = with_version(&[]);
    let by_digest = format!("other@{}", digest.as_str().unwrap());
    home.write("modelkeep.toml", "[repository]\naliases = [\"production\"]\n");
    for (to, text) in [
        (by_digest.as_str(), "published by its name"),
        ("other:sha256-00", "cannot be a version"),
        ("other:production", "is an alias"),
        ("oci:layout:a b", "oci:DIR:NAME"),
        ("docker-daemon:digits", "docker-daemon:NAME:TAG"),
    ] {
        home.refused(&["copy", "digits:1.0", to], 2, text);
    }
    home.refused(&["copy", "digits:1.0", "oci:model"], 1, "not an OCI layout");
}

/// A docker engine that has one image as an archive, and keeps what it is given.
struct Engine {
    host: String,
    loaded: Arc<Mutex<Vec<u8>>>,
}

impl Engine {
    fn start(home: &Home, archive: Vec<u8>, id: &str) -> Self {
        let socket = home.path("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let loaded: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&loaded);
        let inspected = format!(r#"{{"Id":"{id}","Size":1,"RootFS":{{"Type":"layers","Layers":[]}}}}"#);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("Content-Length: "));
                let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
                stream.read_exact(&mut body).unwrap();
                let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
                    "/images/digits:1.0/json" => inspected.as_bytes(),
                    "/images/digits:1.0/get" => &archive,
                    "/images/load?quiet=1" => {
                        *kept.lock().unwrap() = body;
                        b"{\"stream\":\"Loaded\"}"
                    }
                    path => panic!("{path}"),
                };
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    .unwrap();
                // Whoever has seen enough goes.
                let _ = stream.write_all(answer);
            }
        });
        Self {
            host: format!("unix://{}", socket.display()),
            loaded,
        }
    }

    #[track_caller]
    fn run(&self, home: &Home, arguments: &[&str], code: i32) -> crate::harness::Run {
        let output = home.command(arguments).env("DOCKER_HOST", &self.host).output();
        let run: crate::harness::Run = output.unwrap().into();
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        run
    }

    #[track_caller]
    fn json(&self, home: &Home, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.run(home, &arguments, 0).stdout).unwrap()
    }
}

#[test]
fn a_docker_engine_takes_a_version_and_gives_it_back() {
    let (home, digest) = with_version(&[]);
    let made = home.json(&["copy", "digits:1.0", "docker-archive:image.tar"]);
    let archive = fs::read(home.path("image.tar")).unwrap();
    let engine = Engine::start(&home, archive.clone(), made["image_id"].as_str().unwrap());

    engine.run(&home, &["copy", "digits:1.0", "docker-daemon:digits:1.0"], 0);
    assert!(*engine.loaded.lock().unwrap() == archive);

    let from = "docker-daemon:digits:1.0";
    let dry = engine.json(&home, &["copy", from, "back:1.0", "--dry-run"]);
    assert_eq!(
        (&dry["outcome"], &dry["digest"]),
        (&"would publish".into(), &digest)
    );
    let copied = engine.json(&home, &["copy", from, "back:1.0"]);
    assert_eq!(
        (&copied["outcome"], &copied["digest"]),
        (&"published".into(), &digest)
    );
    let again = engine.json(&home, &["copy", from, "back:1.0"]);
    assert_eq!(
        (&again["outcome"], &again["bytes_written"]),
        (&"unchanged".into(), &0.into())
    );
    let there = Home::new();
    let server = Serving::start(&there, &[]);
    let remote = format!("{}/team/digits:1.0", server.address);
    assert_eq!(engine.json(&home, &["copy", from, &remote])["digest"], digest);
    assert_eq!(
        engine.json(&home, &["copy", from, "oci:layout"])["digest"],
        digest
    );
    home.ok(&["copy", "oci:layout:1.0", "again:1.0"]);

    home.write("model/config.json", "{\"changed\": true}");
    home.ok(&["push", "model", "taken:1.0"]);
    engine.run(&home, &["copy", from, "taken:1.0"], 4);
    engine.run(&home, &["copy", from, "docker-archive:x.tar"], 2);
    engine.run(&home, &["copy", from, "docker-daemon:other:1.0"], 2);
    home.ok(&["verify", "--all"]);
}

#[test]
fn a_docker_engine_that_is_not_there_is_told() {
    let home = Home::new();
    let run = |host: &str| {
        let output = home
            .command(&["copy", "docker-daemon:digits:1.0", "digits:1.0"])
            .env("DOCKER_HOST", host)
            .output();
        crate::harness::Run::from(output.unwrap())
    };
    let away = run(&format!("unix://{}", home.path("none.sock").display()));
    assert!(
        away.code == 1 && away.stderr.contains("none.sock"),
        "{}",
        away.stderr
    );
    let remote = run("tcp://10.0.0.1:2375");
    assert!(remote.stderr.contains("unix:///PATH"), "{}", remote.stderr);
    assert!(!home.store().exists());
}
