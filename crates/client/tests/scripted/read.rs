use std::io::Read;

use modelkeep_client::{Access, Error};
use modelkeep_core::{
    ByteRange, Descriptor, Digest,
    content::{self, Names, Source},
    media,
};

use crate::{
    blob, chain, registry,
    server::{Answer, Asked, Server, answer, head},
    whole,
};

/// Bytes in which each place is different.
fn bytes() -> Vec<u8> {
    (0..100_000u32).flat_map(u32::to_le_bytes).collect()
}

/// The range that is asked for: first byte and end.
fn range(asked: &Asked) -> Option<(usize, usize)> {
    let (first, last) = asked.header("Range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().unwrap(), last.parse::<usize>().unwrap() + 1))
}

pub(crate) fn part(asked: &Asked, bytes: &[u8]) -> Answer {
    match range(asked) {
        Some((first, end)) => {
            let says = format!("bytes {first}-{}/{}", end - 1, bytes.len());
            answer(206, &[("Content-Range", &says)], &bytes[first..end])
        }
        None => answer(200, &[], bytes),
    }
}

fn read(server: &Server, offset: u64, length: u64) -> Result<Vec<u8>, String> {
    let registry = registry(server, Access::Read);
    let mut read = Vec::new();
    let mut reader = registry
        .open(&blob(&bytes()), ByteRange { offset, length })
        .map_err(|error| chain(&error))?;
    reader.read_to_end(&mut read).map_err(|error| error.to_string())?;
    Ok(read)
}

#[test]
fn a_range_is_what_was_asked_for() {
    let server = Server::start(|asked, _| part(asked, &bytes()));
    assert_eq!(read(&server, 1000, 5000).unwrap(), bytes()[1000..6000]);
    assert_eq!(read(&server, 0, 400_000).unwrap(), bytes());
    assert_eq!(read(&server, 7, 0).unwrap(), b"");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_registry_without_ranges_still_works() {
    let server = Server::start(|_, _| answer(200, &[], bytes()));
    assert_eq!(read(&server, 1000, 5000).unwrap(), bytes()[1000..6000]);
}

#[test]
fn a_short_body_is_continued_where_it_broke_off() {
    let server = Server::start(|asked, _| match range(asked) {
        None => {
            let mut short = head(200, &[("Content-Length", "400000")]);
            short.extend(b"\r\n");
            short.extend(&bytes()[..12_345]);
            Answer::Last(short)
        }
        Some(_) => part(asked, &bytes()),
    });
    assert_eq!(read(&server, 0, 400_000).unwrap(), bytes());
    assert_eq!(range(&server.asked()[1]), Some((12_345, 400_000)));
}

#[test]
fn a_connection_that_always_drops_is_given_up_with_the_number_of_attempts() {
    let server = Server::start(|_, _| Answer::Last(Vec::new()));
    let error = read(&server, 0, 400_000).unwrap_err();
    assert!(error.contains("gave up after 5 attempts"), "{error}");
    assert_eq!(server.asked().len(), 5);
}

#[test]
fn another_part_than_was_asked_for_is_refused() {
    let server = Server::start(|_, _| answer(206, &[("Content-Range", "bytes 0-9/400000")], &bytes()[..10]));
    let error = read(&server, 5000, 10).unwrap_err();
    assert!(error.contains("another part"), "{error}");
}

#[test]
fn wrong_bytes_are_told_from_right_ones() {
    let server = Server::start(|_, _| answer(200, &[], "something else"));
    let error = registry(&server, Access::Read)
        .fetch(&blob(b"what was meant"), 100)
        .unwrap_err();
    assert!(matches!(error, content::Error::Damaged { .. }), "{error:?}");
}

#[test]
fn an_endless_body_is_read_no_further_than_the_blob() {
    let server = Server::start(|_, _| {
        let mut begin = head(200, &[("Transfer-Encoding", "chunked")]);
        begin.extend(b"\r\n");
        Answer::Endless(begin, b"4\r\nabcd\r\n".to_vec())
    });
    let wanted = blob(b"abcdabcdab");
    assert_eq!(
        registry(&server, Access::Read).fetch(&wanted, 100).unwrap(),
        b"abcdabcdab"
    );
}

#[test]
fn an_endless_head_is_refused() {
    let server = Server::start(|_, _| Answer::Endless(head(200, &[]), b"X: y\r\n".to_vec()));
    let error = read(&server, 0, 10).unwrap_err();
    assert!(error.contains("headers are too long"), "{error}");
}

#[test]
fn waiting_and_asking_again_is_enough_for_429_and_503() {
    let server = Server::start(|asked, before| match before {
        0 => answer(429, &[("Retry-After", "0")], "slow down"),
        1 => answer(503, &[], "<html><title>Busy</title></html>"),
        _ => part(asked, &bytes()),
    });
    assert_eq!(read(&server, 0, 400_000).unwrap(), bytes());
}

#[test]
fn a_registry_that_asks_for_an_hour_is_not_waited_for() {
    let server =
        Server::start(|_, _| answer(429, &[("Retry-After", "3600")], r#"{"message":"Rate exceeded"}"#));
    let error = read(&server, 0, 10).unwrap_err();
    assert!(
        error.contains("gave up after 1 attempts") && error.contains("Rate exceeded"),
        "{error}"
    );
}

#[test]
fn a_web_page_is_told_by_its_title() {
    let page =
        "<!DOCTYPE html><html><title>502 Bad\x1b[31m Gateway</title>".to_owned() + &"x".repeat(1 << 20);
    let server = Server::start(move |_, _| answer(404, &[], &page));
    let error = registry(&server, Access::Read).tags().unwrap_err();
    assert!(matches!(error, content::Error::NotFound { .. }), "{error:?}");
    let server = Server::start(|_, _| answer(410, &[], "<html><title>Gone\x1b[31m</title>"));
    let error = chain(&registry(&server, Access::Read).tags().unwrap_err());
    assert!(error.contains("web page with the title \"Gone [31m\""), "{error}");
}

#[test]
fn what_is_not_there_is_told_from_what_fails() {
    let server = Server::start(|_, _| answer(404, &[], r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#));
    let registry = registry(&server, Access::Read);
    let missing = blob(b"x");
    let error = registry.open(&missing, whole(&missing)).err().unwrap();
    assert!(matches!(error, content::Error::NotFound { .. }), "{error:?}");
    assert!(registry.resolve(&"1.0".parse().unwrap()).unwrap().is_none());
}

#[test]
fn redirects_end() {
    let server = Server::start(|asked, _| {
        let to = format!("{}x", asked.target);
        answer(302, &[("Location", &to)], "")
    });
    let error = read(&server, 0, 10).unwrap_err();
    assert!(error.contains("too many redirects"), "{error}");
}

#[test]
fn a_manifest_of_another_type_is_refused() {
    let manifest = br#"{"schemaVersion":2,"manifests":[]}"#;
    let server = Server::start(move |_, _| answer(200, &[("Content-Type", media::OCI_INDEX)], manifest));
    let wanted = Descriptor::of(media::OCI_MANIFEST, manifest);
    let error = registry(&server, Access::Read).fetch(&wanted, 1000).unwrap_err();
    assert!(
        matches!(Error::behind(&error), Some(Error::Protocol { .. })),
        "{error:?}"
    );
}

#[test]
fn a_registry_that_says_no_digest_is_read_and_hashed() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "HEAD" => Answer::Bytes([head(200, &[]), b"\r\n".to_vec()].concat()),
        _ => answer(
            200,
            &[(
                "Content-Type",
                "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
            )],
            "{}",
        ),
    });
    let found = registry(&server, Access::Read)
        .resolve(&"1.0".parse().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!((found.digest, found.size), (Digest::of(b"{}"), 2));
    assert_eq!(found.media_type, media::OCI_MANIFEST);
}

#[test]
fn all_pages_of_tags_are_read() {
    let server = Server::start(|asked, _| {
        if asked.target.contains("last=b") {
            return answer(200, &[], r#"{"tags":["c","not a tag","1.0"]}"#);
        }
        let link = r#"</v2/team/model/tags/list?n=2&last=b>; rel="next""#;
        answer(200, &[("Link", link)], r#"{"tags":["b","a"]}"#)
    });
    let tags = registry(&server, Access::Read).tags().unwrap();
    let tags: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
    assert_eq!(tags, ["1.0", "a", "b", "c"]);
}

#[test]
fn an_endless_list_of_tags_is_refused() {
    let same = Server::start(|asked, _| {
        let link = format!("<{}x>; rel=next", asked.target);
        answer(200, &[("Link", &link)], r#"{"tags":["a"]}"#)
    });
    let error = chain(&registry(&same, Access::Read).tags().unwrap_err());
    assert!(error.contains("nothing new"), "{error}");
    let growing = Server::start(|asked, _| {
        let tags: Vec<String> = (0..50_000)
            .map(|n| format!("\"t{}.{n}\"", asked.target.len()))
            .collect();
        let link = format!("<{}x>; rel=next", asked.target);
        answer(
            200,
            &[("Link", &link)],
            format!("{{\"tags\":[{}]}}", tags.join(",")),
        )
    });
    let error = chain(&registry(&growing, Access::Read).tags().unwrap_err());
    assert!(error.contains("more than 200000 tags"), "{error}");
    let huge = Server::start(|_, _| {
        let mut begin = head(200, &[]);
        begin.extend(b"\r\n{\"tags\":[");
        Answer::Endless(begin, b"\"a\",".repeat(1000))
    });
    let error = chain(&registry(&huge, Access::Read).tags().unwrap_err());
    assert!(error.contains("more than"), "{error}");
}
