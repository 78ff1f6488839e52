//! What those who run a server look at.

use modelkeep_core::Digest;
use modelkeep_server::{ServeConfig, StorageConfig};

use crate::support::Running;

#[test]
fn a_server_tells_how_it_is_and_what_it_did() {
    let server = Running::start(Running::config());
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 200);
    server.push("digits", "1.0", "one");
    server.get("/v2/digits/manifests/2.0");
    server.logged("manifests/2.0");
    let metrics = server.get("/metrics").text();
    for line in [
        "modelkeep_requests_total{resource=\"manifest\",method=\"PUT\",status=\"201\"} 1",
        "modelkeep_requests_total{resource=\"manifest\",method=\"GET\",status=\"404\"} 1",
        "modelkeep_uploads 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(
        !metrics.contains("digits"),
        "names of repositories are nobody's business here"
    );
}

#[test]
fn a_line_of_the_log_has_the_id_of_its_request_and_no_secret() {
    let server = Running::start(Running::config());
    let fields = [("Authorization", "Basic c2VjcmV0OnNlY3JldA==")];
    let answer = server.send("GET", "/v2/digits/manifests/1.0", &fields, b"");
    let line = server.logged("manifests/1.0");
    let id = answer.field("X-Request-Id").unwrap();
    assert!(line.contains(&format!(" id={id} ")), "{line}");
    assert!(
        line.contains("status=404") && line.contains("error=\"there is no repository digits\""),
        "{line}"
    );
    assert!(!line.contains("c2Vjc"), "{line}");
    server.get("/token?account=ada&password=hunter2");
    assert!(!server.logged("/token").contains("hunter2"));
}

#[test]
fn a_disk_without_room_takes_no_uploads_and_goes_on_reading() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let digest = {
        let server = Running::start_on(&store, Running::config());
        server.push("digits", "1.0", "one").1
    };
    let server = Running::start_on(
        &store,
        ServeConfig {
            storage: StorageConfig {
                headroom_mebibytes: u32::MAX,
            },
            ..Running::config()
        },
    );
    assert_eq!(server.get("/readyz").status, 503);
    assert_eq!(server.get("/healthz").status, 200);
    let blob = Digest::of(b"new");
    for path in [
        "/v2/digits/blobs/uploads/".to_owned(),
        format!("/v2/digits/blobs/uploads/?digest={blob}"),
    ] {
        server.send("POST", &path, &[], b"new").refused(507, "DENIED");
    }
    assert_eq!(server.get("/v2/digits/manifests/1.0").status, 200);
    assert_eq!(
        server
            .get(&format!("/v2/digits/blobs/{}", Digest::of(b"{}")))
            .status,
        200
    );
    // A name for what is here takes next to nothing.
    let manifest = server.get(&format!("/v2/digits/manifests/{digest}"));
    let fields = [("Content-Type", manifest.field("Content-Type").unwrap())];
    let tagged = server.send("PUT", "/v2/digits/manifests/1.0.1", &fields, &manifest.body);
    assert_eq!(tagged.status, 201, "{}", tagged.text());
}
