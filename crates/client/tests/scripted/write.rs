use modelkeep_client::{Access, Error};
use modelkeep_core::{
    Descriptor, Digest,
    content::{Expect, Result, Target},
    media,
};

use crate::{
    blob, chain, hashed, registry,
    server::{Answer, Asked, Server, answer, head},
};

fn push(server: &Server, pieces: &[&[u8]]) -> Result<()> {
    let registry = registry(server, Access::Write);
    let bytes = pieces.concat();
    let size = bytes.len() as u64;
    let mut sink = registry.begin(Expect::Unknown { size })?;
    let mut at = 0;
    for piece in pieces {
        sink.write(at, piece)?;
        at += piece.len() as u64;
    }
    sink.commit(&hashed(&bytes))
}

fn sent(server: &Server, method: &str) -> Asked {
    server
        .asked()
        .into_iter()
        .find(|asked| asked.method == method)
        .unwrap()
}

#[test]
fn a_layer_is_sent_once_and_as_it_is_written() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "POST" => answer(
            202,
            &[("Location", "/v2/team/model/blobs/uploads/1?_state=a%3D")],
            "",
        ),
        "PATCH" => answer(
            202,
            &[
                ("Location", "/v2/team/model/blobs/uploads/1?_state=b%3D"),
                ("Range", "0-5"),
            ],
            "",
        ),
        _ => answer(
            201,
            &[("Docker-Content-Digest", &Digest::of(b"abcdef").to_string())],
            "",
        ),
    });
    push(&server, &[b"abc", b"def"]).unwrap();
    let patch = sent(&server, "PATCH");
    assert_eq!(
        (patch.body.as_slice(), patch.header("Content-Length")),
        (&b"abcdef"[..], Some("6"))
    );
    assert!(patch.target.ends_with("_state=a%3D"));
    let put = sent(&server, "PUT");
    assert!(
        put.target.contains("_state=b%3D&digest=sha256%3A"),
        "{}",
        put.target
    );
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn ecr_says_201_and_a_stale_range() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "POST" => answer(202, &[("Location", "/up/1")], ""),
        "PATCH" => answer(201, &[("Range", "0-2")], ""),
        _ => answer(201, &[], ""),
    });
    push(&server, &[b"abc", b"def"]).unwrap();
}

#[test]
fn an_upload_may_move_to_another_address_at_each_step() {
    let other = Server::start(|asked, _| match asked.target.as_str() {
        "/a" => answer(202, &[("Location", "b")], ""),
        target if target.starts_with("/b?digest=") => answer(201, &[], ""),
        _ => answer(404, &[], ""),
    });
    let to = format!("http://127.0.0.1:{}/a", other.port);
    let server = Server::start(move |_, _| answer(202, &[("Location", &to)], ""));
    push(&server, &[b"abc"]).unwrap();
    assert_eq!(server.asked().len(), 1);
    assert_eq!(other.asked().len(), 2);
}

#[test]
fn a_registry_that_stored_something_else_is_found_out() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "POST" | "PATCH" => answer(202, &[("Location", "/up/1")], ""),
        _ => answer(
            201,
            &[("Docker-Content-Digest", &Digest::of(b"other").to_string())],
            "",
        ),
    });
    let error = push(&server, &[b"abc"]).unwrap_err();
    assert!(
        matches!(Error::behind(&error), Some(Error::Stored { .. })),
        "{error:?}"
    );
}

#[test]
fn a_refusal_in_the_middle_says_why() {
    let refusal = r#"{"errors":[{"code":"SIZE_INVALID","message":"too large for us"}]}"#;
    let server = Server::start(move |asked, _| match asked.method.as_str() {
        "POST" => answer(202, &[("Location", "/up/1")], ""),
        _ => answer(413, &[], refusal),
    });
    let error = chain(&push(&server, &[b"abc"]).unwrap_err());
    assert!(
        error.contains("413") && error.contains("too large for us"),
        "{error}"
    );
}

#[test]
fn an_answer_that_is_lost_after_the_last_step_is_made_good_by_looking() {
    let server = Server::start(|asked, before| match asked.method.as_str() {
        "POST" | "PATCH" => answer(202, &[("Location", "/up/1")], ""),
        "PUT" if before == 0 => Answer::Last(Vec::new()),
        "PUT" => answer(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
        _ => answer(200, &[], ""),
    });
    push(&server, &[b"abc"]).unwrap();
    assert_eq!(server.count("HEAD", "/v2/team/model/blobs/sha256:"), 1);
}

#[test]
fn a_connection_that_drops_in_the_middle_fails_and_does_not_hang() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "POST" => answer(202, &[("Location", "/up/1")], ""),
        _ => Answer::Last(Vec::new()),
    });
    let error = push(&server, &[b"abc"]).unwrap_err();
    assert!(
        matches!(Error::behind(&error), Some(Error::Connection { .. })),
        "{error:?}"
    );
}

#[test]
fn beginning_an_upload_is_tried_again() {
    let server = Server::start(|asked, before| match asked.method.as_str() {
        "POST" if before < 2 => answer(503, &[("Retry-After", "0")], ""),
        "POST" | "PATCH" => answer(202, &[("Location", "/up/1")], ""),
        _ => answer(201, &[], ""),
    });
    push(&server, &[b"abc"]).unwrap();
    assert_eq!(server.count("POST", "/"), 3);
}

#[test]
fn small_blobs_are_sent_with_the_last_step() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "HEAD" => Answer::Bytes([head(404, &[]), b"\r\n".to_vec()].concat()),
        "POST" => answer(202, &[("Location", "/up/1")], ""),
        _ => answer(201, &[], ""),
    });
    registry(&server, Access::Write)
        .put(media::OCI_CONFIG, b"{}")
        .unwrap();
    assert_eq!(sent(&server, "PUT").body, b"{}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn manifests_go_to_their_digest_and_tags() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "HEAD" => Answer::Bytes([head(404, &[]), b"\r\n".to_vec()].concat()),
        _ => answer(201, &[], ""),
    });
    let registry = registry(&server, Access::Write);
    let manifest = Descriptor::of(media::OCI_MANIFEST, b"{}");
    registry.put(media::OCI_MANIFEST, b"{}").unwrap();
    registry
        .put_manifest(&"1.0".parse().unwrap(), media::OCI_MANIFEST, b"{}")
        .unwrap();
    let mut sink = registry.begin(Expect::Known(&manifest)).unwrap();
    sink.write(0, b"{}").unwrap();
    sink.commit(&hashed(b"{}")).unwrap();
    let by_digest = format!("/v2/team/model/manifests/{}", manifest.digest);
    assert_eq!(server.count("PUT", &by_digest), 2);
    assert_eq!(server.count("PUT", "/v2/team/model/manifests/1.0"), 1);
    assert_eq!(
        sent(&server, "PUT").header("Content-Type"),
        Some(media::OCI_MANIFEST)
    );
}

#[test]
fn a_manifest_is_sent_again_where_the_record_of_a_blob_was_just_being_written() {
    let refusal = |codes: &[&str]| {
        let errors: Vec<String> = codes
            .iter()
            .map(|code| format!(r#"{{"code":"{code}"}}"#))
            .collect();
        format!(r#"{{"errors":[{}]}}"#, errors.join(","))
    };
    let put = |codes: &'static [&'static str]| {
        let server = Server::start(move |_, before| match before {
            0 => answer(400, &[], refusal(codes)),
            _ => answer(201, &[], ""),
        });
        let registry = registry(&server, Access::Write);
        let result = registry.put_manifest(&"1.0".parse().unwrap(), media::OCI_MANIFEST, b"{}");
        (result.is_ok(), server.count("PUT", "/"))
    };
    assert_eq!(put(&["DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"]), (true, 2));
    assert_eq!(put(&["MANIFEST_BLOB_UNKNOWN"]), (false, 1));
    assert_eq!(put(&["DIGEST_INVALID"]), (false, 1));
}

#[test]
fn a_blob_is_taken_over_from_another_repository_where_that_works() {
    let server = Server::start(|asked, _| match asked.target.contains("from=team%2Fbase") {
        true => answer(201, &[("Location", "/v2/team/model/blobs/x")], ""),
        false => answer(202, &[("Location", "/up/1")], ""),
    });
    let registry = registry(&server, Access::Write);
    assert!(
        registry
            .mount(&blob(b"x"), &"team/base".parse().unwrap())
            .unwrap()
    );
    assert!(
        !registry
            .mount(&blob(b"x"), &"team/other".parse().unwrap())
            .unwrap()
    );
    assert!(server.asked()[0].target.contains("mount=sha256%3A"));
}

#[test]
fn bytes_out_of_order_are_refused_before_they_are_sent() {
    let server = Server::start(|_, _| answer(202, &[("Location", "/up/1")], ""));
    let registry = registry(&server, Access::Write);
    let mut sink = registry.begin(Expect::Unknown { size: 4 }).unwrap();
    let error = sink.write(2, b"cd").unwrap_err();
    assert!(
        matches!(Error::behind(&error), Some(Error::Order { .. })),
        "{error:?}"
    );
    assert_eq!(server.asked().len(), 1);
}
