//! `modelkeep serve` as a process among others.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use modelkeep_core::{Digest, media};
use serde_json::Value;

use crate::harness::{Home, noise};

/// A server, which is killed when the test ends without ending it.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: String,
}

impl Serving {
    pub(crate) fn start(home: &Home, arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--quiet", "--listen", "127.0.0.1:0"], arguments].concat();
        Self::begin(home.command(&arguments))
    }

    /// As [`Serving::start`], with what the server logs appended to a file.
    pub(crate) fn start_with(mut command: Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stderr(log);
        Self::begin(command)
    }

    fn begin(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://");
        Self {
            address: address.unwrap_or_else(|| panic!("{line:?}")).to_owned(),
            child,
        }
    }

    pub(crate) fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn location(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("Location: "));
    line.unwrap().to_owned()
}

/// Pushes an image over HTTP, and gives the status, the answer and the digest.
fn push(server: &Serving, reference: &str, mark: &str) -> (u16, String, Digest) {
    let blob = mark.as_bytes();
    let config = Digest::of(blob);
    let (name, tag) = reference.split_once(':').unwrap();
    let path = format!("/v2/{name}/blobs/uploads/?digest={config}");
    assert_eq!(
        server.send("POST", &path, "application/octet-stream", blob).0,
        201
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/json","size":{},"digest":"{config}"}},"layers":[]}}"#,
        blob.len()
    );
    let path = format!("/v2/{name}/manifests/{tag}");
    let (status, _, body) = server.send("PUT", &path, media::OCI_MANIFEST, manifest.as_bytes());
    let text = String::from_utf8(body).unwrap();
    (status, text, Digest::of(manifest.as_bytes()))
}

#[test]
fn the_server_and_the_command_line_keep_one_history_and_one_rule() {
    let home = Home::new();
    home.model("model");
    home.ok(&["push", "model", "digits:1.0"]);
    let server = Serving::start(&home, &[]);
    let held = &home.json(&["show", "digits:1.0"])["digest"];
    let (status, head, _) = server.send("HEAD", "/v2/digits/manifests/1.0", "", b"");
    assert_eq!(status, 200);
    assert!(head.contains(held.as_str().unwrap()), "{head}");
    let (status, text, _) = push(&server, "digits:1.0", "other");
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("1.1"), "{text}");
    let (status, text, digest) = push(&server, "digits:1.1", "other");
    assert_eq!(status, 201, "{text}");
    home.write("model/config.json", "{\"changed\": true}");
    home.refused(&["push", "model", "digits:1.1"], 4, "exists with other content");
    let listed = home.json(&["versions", "digits"]);
    assert_eq!(listed["versions"][0]["digest"], digest.to_string());
    assert_eq!(listed["versions"][0]["author"], "anonymous@127.0.0.1");
    home.ok(&["verify", "--all"]);
}

/// As skopeo and podman do, which compress layers when they push.
#[test]
fn an_image_whose_layers_another_tool_has_packed_anew_is_no_damage() {
    let home = Home::new();
    home.model("model");
    home.ok(&["push", "model", "digits:1.0"]);
    let server = Serving::start(&home, &[]);
    let (_, _, manifest) = server.send("GET", "/v2/digits/manifests/1.0", "", b"");
    let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let config = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let path = format!("/v2/other/blobs/uploads/?mount={config}&from=digits");
    assert_eq!(server.send("POST", &path, "", b"").0, 201);
    for layer in manifest["layers"].as_array_mut().unwrap() {
        let bytes = format!("{layer} packed anew").into_bytes();
        let digest = Digest::of(&bytes);
        let path = format!("/v2/other/blobs/uploads/?digest={digest}");
        assert_eq!(server.send("POST", &path, "", &bytes).0, 201);
        layer["digest"] = digest.to_string().into();
        layer["size"] = bytes.len().into();
        layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip".into();
    }
    let bytes = manifest.to_string().into_bytes();
    let path = "/v2/other/manifests/1.0";
    assert_eq!(server.send("PUT", path, media::OCI_MANIFEST, &bytes).0, 201);
    home.ok(&["verify", "other:1.0"]);
    home.ok(&["verify", "--all"]);
}

#[test]
fn a_version_that_was_deleted_is_listed_no_more() {
    let home = Home::new();
    let server = Serving::start(&home, &["--create-repositories", "MUTABLE"]);
    let (_, _, first) = push(&server, "digits:dev", "one");
    push(&server, "digits:1.0", "two");
    let path = format!("/v2/digits/manifests/{first}");
    assert_eq!(server.send("DELETE", &path, "", b"").0, 202);
    let listed = home.json(&["versions", "digits"]);
    let versions: Vec<_> = listed["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["version"])
        .collect();
    assert_eq!(versions, ["1.0"]);
    home.ok(&["verify", "--all"]);
}

#[test]
fn a_server_that_is_killed_in_an_upload_lets_the_next_one_go_on() {
    let home = Home::new();
    let bytes = noise(5 << 20, 3);
    let (first, second) = bytes.split_at(3 << 20);
    let upload = {
        let server = Serving::start(&home, &[]);
        let (_, head, _) = server.send("POST", "/v2/digits/blobs/uploads/", "", b"");
        let upload = location(&head);
        assert_eq!(server.send("PATCH", &upload, "", first).0, 202);
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let half = &second[..second.len() / 2];
        let length = second.len();
        write!(
            stream,
            "PATCH {upload} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(half).unwrap();
        server.signal("-KILL");
        upload
    };
    let server = Serving::start(&home, &[]);
    let (status, head, _) = server.send("GET", &upload, "", b"");
    assert_eq!(status, 204);
    assert!(head.contains(&format!("Range: 0-{}", first.len() - 1)), "{head}");
    let digest = Digest::of(&bytes);
    let (status, ..) = server.send("PUT", &format!("{upload}?digest={digest}"), "", second);
    assert_eq!(status, 201);
    let (_, _, found) = server.send("GET", &format!("/v2/digits/blobs/{digest}"), "", b"");
    assert!(found == bytes);
}

#[test]
fn a_signal_ends_the_server_when_its_requests_are_answered() {
    let home = Home::new();
    for name in ["-TERM", "-INT"] {
        let mut server = Serving::start(&home, &[]);
        let (_, head, _) = server.send("POST", "/v2/digits/blobs/uploads/", "", b"");
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
            location(&head)
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 100"), "{line}");
        server.signal(name);
        stream.write_all(b"late").unwrap();
        let mut rest = String::new();
        answers.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("HTTP/1.1 202"), "{rest}");
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn settings_that_cannot_be_are_refused_at_the_start() {
    let home = Home::new();
    home.refused(
        &["serve", "--listen", "0.0.0.0:0"],
        2,
        "set `htpasswd` under [access]",
    );
    home.refused(&["serve", "--tls-cert", "cert.pem"], 2, "--tls-key");
    home.write("serve.toml", "lisen = \"127.0.0.1:0\"");
    home.refused(&["serve", "--config", "serve.toml"], 2, "serve.toml is not right");
    home.write("serve.toml", "[access]\nhtpasswd = \"accounts\"");
    home.refused(&["serve", "--config", "serve.toml"], 2, "accounts");
    let server = Serving::start(&home, &[]);
    let taken = server.address.clone();
    home.refused(&["serve", "--listen", &taken], 1, "cannot listen on");
}

#[test]
fn what_nothing_needs_is_collected_and_the_rest_is_found_whole() {
    let home = Home::new();
    home.model("model");
    home.ok(&["push", "model", "digits:1.0"]);
    let server = Serving::start(&home, &[]);
    let digest = Digest::of(b"unneeded");
    let path = format!("/v2/digits/blobs/uploads/?digest={digest}");
    assert_eq!(server.send("POST", &path, "", b"unneeded").0, 201);
    let removed = "1 blob, 0 unfinished uploads, 8 B\n";
    assert_eq!(
        home.ok(&["gc", "--grace", "24h"]).stdout,
        "removed: 0 blobs, 0 unfinished uploads, 0 B\n"
    );
    let planned = home.ok(&["gc", "--grace", "0s", "--dry-run"]).stdout;
    assert_eq!(planned, format!("would remove: {removed}"));
    assert_eq!(
        home.ok(&["gc", "--grace", "0s"]).stdout,
        format!("removed: {removed}")
    );
    assert_eq!(
        server
            .send("GET", &format!("/v2/digits/blobs/{digest}"), "", b"")
            .0,
        404
    );
    let found = home.ok(&["scrub"]).stdout;
    assert!(found.ends_with("everything is as it should be\n"), "{found}");
    home.ok(&["verify", "--all"]);
}
