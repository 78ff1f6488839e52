//! Requests that nobody well-meaning sends: each gets a refusal or a closed connection.

use std::io::{Read, Write};

use modelkeep_core::Digest;

use crate::support::{Answer, Running, manifest};

#[test]
fn no_malformed_request_is_answered_500() {
    let server = Running::start(Running::config());
    server.push("a", "1.0", "one");
    let digest = Digest::of(b"{}");
    let long = "a/".repeat(5_000);
    let mut heads: Vec<String> = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        for path in [
            "/",
            "*",
            "/v2/%00/tags/list",
            "/v2/a/manifests/%0a",
            "/v2/../../etc/passwd",
            "/v2/a/blobs/uploads/..",
            "/v2/a/blobs/uploads/%2e%2e%2f%2e%2e",
            "/v2/a/manifests/sha256:",
            "/v2/a/blobs/sha256:zz",
            "/v2/a/tags/list?n=-1",
            "/v2/a/tags/list?n=99999999999999999999999&last=%ff",
            "/v2/_catalog?last=%2f%2f",
            "/v2/a/referrers/sha256:0?artifactType=%0d%0aX:y",
            "/v2/a/manifests/1.0?tag=%2e%2e",
            "/v2/a/_modelkeep/history",
            "/v2/a/_modelkeep/history?from=%00",
            "/v2/_modelkeep/history",
            "/token?scope=%00",
        ] {
            heads.push(format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            ));
        }
        heads.push(format!(
            "{method} /v2/{long}tags/list HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        ));
        heads.push(format!(
            "{method} /v2/a/blobs/{digest} HTTP/1.1\r\nHost: a\r\nRange: bytes=9-1\r\nIf-None-Match: \"\r\n\
             If-Range: W/\r\nContent-Range: bytes a-b\r\nContent-Length: 0\r\n\r\n"
        ));
        heads.push(format!(
            "{method} /v2/a/manifests/1.1 HTTP/1.1\r\nHost: a\r\nContent-Type: \u{fffd};;\r\nContent-Length: 2\r\n\r\n[]"
        ));
        heads.push(format!(
            "{method} /v2/a/blobs/uploads/?digest={digest}&mount=%00&from=%ff HTTP/1.1\r\nHost: a\r\n\
             Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
        ));
    }
    for head in &heads {
        let mut stream = server.connect();
        let mut answer = Vec::new();
        // A refusal may come, and the connection go, before all has been written.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut answer);
        if !answer.is_empty() {
            let answer = Answer::parse(&answer);
            assert!(answer.status < 500, "{head}: {}", answer.text());
        }
    }
    assert_eq!(server.get("/v2/a/manifests/1.0").status, 200);
}

#[test]
fn manifests_of_every_wrong_shape_are_refused_and_leave_nothing() {
    let server = Running::start(Running::config());
    server.push("a", "1.0", "one");
    let right = manifest("two");
    let mut wrong: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        vec![b'['; 100_000],
    ];
    // Every prefix is none, and so is one with any byte turned into what JSON or the fields do not have.
    wrong.extend(
        (0..right.len())
            .step_by(7)
            .map(|end| right.as_bytes()[..end].to_vec()),
    );
    wrong.extend((0..right.len()).step_by(5).map(|at| {
        let mut bytes = right.clone().into_bytes();
        bytes[at] = 0xff;
        bytes
    }));
    let fields = [("Content-Type", modelkeep_core::media::OCI_MANIFEST)];
    for bytes in &wrong {
        let answer = server.send("PUT", "/v2/a/manifests/2.0", &fields, bytes);
        answer.refused(400, "MANIFEST_INVALID");
    }
    server.get("/v2/a/manifests/2.0").refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(
        server
            .send("PUT", "/v2/a/manifests/2.0", &fields, right.as_bytes())
            .status,
        201
    );
}

#[test]
fn uploads_that_stall_keep_nobody_else_from_uploading() {
    const STALLED: usize = 48;
    let server = Running::start(Running::config());
    let digest = Digest::of(b"never");
    let stalled: Vec<_> = (0..STALLED)
        .map(|_| {
            let mut stream = server.connect();
            let head = format!(
                "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            // Enough to look fast.
            stream.write_all(&[7; 100_000]).unwrap();
            stream
        })
        .collect();
    let all = format!("\nmodelkeep_uploads {STALLED}\n");
    while !server.get("/metrics").text().contains(&all) {}
    let bytes: Vec<u8> = (0..6_000_000_u32).map(|n| (n % 253) as u8).collect();
    let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(&bytes));
    assert_eq!(server.send("POST", &path, &[], &bytes).status, 201);
    drop(stalled);
}

#[test]
fn manifests_that_stall_keep_nobody_else_from_pushing() {
    let server = Running::start(Running::config());
    server.push("a", "1.0", "one");
    let stalled: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = server.connect();
            let head = "PUT /v2/a/manifests/2.0 HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&[b' '; 200_000]).unwrap();
            stream
        })
        .collect();
    let connected = format!("\nmodelkeep_connections {}\n", stalled.len() + 1);
    while !server.get("/metrics").text().contains(&connected) {}
    let (answer, _) = server.push("a", "2.0", &"x".repeat(1_000_000));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(
        server.get("/v2/a/manifests/2.0").body.len(),
        manifest("").len() + 1_000_000
    );
}
