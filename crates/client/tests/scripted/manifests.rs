//! Manifests by tag, as histories on registries need them.

use modelkeep_client::{Access, Error};
use modelkeep_core::{
    Descriptor, Digest,
    content::{self, Manifests, Names},
    media,
    name::Target,
};

use crate::{
    chain, registry,
    server::{Answer, Server, answer, head, head_answer},
};

const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

fn tag() -> Target {
    Target::Tag("l.1".parse().unwrap())
}

fn typed(body: &[u8]) -> Answer {
    answer(200, &[("Content-Type", media::OCI_INDEX)], body)
}

#[test]
fn a_manifest_is_read_whole_by_tag_and_by_digest() {
    let server = Server::start(|_, _| typed(INDEX));
    let registry = registry(&server, Access::Read);
    let expected = Descriptor::of(media::OCI_INDEX, INDEX);
    for name in [tag(), Target::Digest(Digest::of(INDEX))] {
        let (found, bytes) = registry.read(&name, 1000).unwrap().unwrap();
        assert_eq!((found, bytes.as_slice()), (expected.clone(), INDEX));
    }
    let other = registry.read(&Target::Digest(Digest::of(b"other")), 1000);
    assert!(matches!(other, Err(content::Error::Damaged { .. })), "{other:?}");
    let long = registry.read(&tag(), INDEX.len() as u64 - 1);
    assert!(matches!(long, Err(content::Error::Malformed { .. })), "{long:?}");
}

#[test]
fn a_tag_that_is_not_there_is_none() {
    let server = Server::start(|_, _| answer(404, &[], "{}"));
    assert!(
        registry(&server, Access::Read)
            .read(&tag(), 1000)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_manifest_whose_answer_breaks_off_is_asked_for_again() {
    let server = Server::start(|_, before| match before {
        0 => {
            let mut half = head(200, &[("Content-Type", media::OCI_INDEX)]);
            half.extend(format!("Content-Length: {}\r\n\r\n", INDEX.len()).as_bytes());
            half.extend(&INDEX[..10]);
            Answer::Last(half)
        }
        _ => typed(INDEX),
    });
    let (_, bytes) = registry(&server, Access::Read)
        .read(&tag(), 1000)
        .unwrap()
        .unwrap();
    assert_eq!(bytes, INDEX);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn an_endless_manifest_is_given_up() {
    let server = Server::start(|_, _| {
        let mut begin = head(200, &[("Content-Type", media::OCI_INDEX)]);
        begin.extend(b"\r\n");
        Answer::Endless(begin, vec![b' '; 4096])
    });
    let long = registry(&server, Access::Read).read(&tag(), 1000);
    assert!(matches!(long, Err(content::Error::Malformed { .. })), "{long:?}");
}

/// A registry whose tags never move: it refuses `PUT`, and the tag is `standing`.
fn immutable(standing: &'static [u8]) -> Server {
    Server::start(move |asked, _| match asked.method.as_str() {
        "PUT" => answer(409, &[], r#"{"errors":[{"code":"DENIED"}]}"#),
        _ => {
            let digest = Digest::of(standing).to_string();
            let fields = [
                ("Content-Type", media::OCI_INDEX),
                ("Docker-Content-Digest", &digest),
            ];
            head_answer(&fields, standing.len())
        }
    })
}

#[test]
fn the_same_written_twice_is_no_error_where_no_tag_moves() {
    let tag = "l.1".parse().unwrap();
    let same = immutable(INDEX);
    registry(&same, Access::Write)
        .write(&tag, media::OCI_INDEX, INDEX)
        .unwrap();
    let other = immutable(b"{}");
    let refused = registry(&other, Access::Write).write(&tag, media::OCI_INDEX, INDEX);
    assert!(chain(&refused.unwrap_err()).contains("409"));
}

#[test]
fn a_registry_that_lists_no_tags_is_told_from_one_that_is_not_there() {
    let listing = |status| {
        let server = Server::start(move |_, _| answer(status, &[], r#"{"errors":[{"code":"UNSUPPORTED"}]}"#));
        registry(&server, Access::Read).tags().unwrap_err()
    };
    for status in [403, 405] {
        let error = listing(status);
        assert!(
            Error::behind(&error).is_some_and(Error::refuses_listing),
            "{error:?}"
        );
        let said = chain(&error);
        assert!(
            said.contains("list the tags of team/model, by which its history is found"),
            "{said}"
        );
    }
    assert!(matches!(listing(404), content::Error::NotFound { .. }));
}
