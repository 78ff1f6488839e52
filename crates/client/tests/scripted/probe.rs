//! What is found out about registries by asking them.

use modelkeep_client::{Access, Identity};
use modelkeep_core::{Descriptor, Digest, media, name::Target};

use crate::{
    registry,
    server::{Server, answer},
};

#[test]
fn a_registry_says_what_time_it_is_and_whom_it_takes_us_for() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let server = Server::start(move |_, _| answer(200, &[("Date", date)], "{}"));
    let registry = registry(&server, Access::Read);
    let greeting = registry.greet().unwrap();
    assert_eq!(greeting.date.as_deref(), Some(date));
    assert_eq!(registry.identity(), Identity::Anybody);
    assert!(server.asked()[0].is("GET", "/v2/"));
}

#[test]
fn pages_of_tags_are_told_as_they_come() {
    let server = Server::start(|asked, _| match asked.target.ends_with("n=1") {
        true => answer(200, &[("Link", "</v2/x>; rel=\"next\"")], r#"{"tags":["b"]}"#),
        false => answer(200, &[], r#"{"tags":["b","a"]}"#),
    });
    let registry = registry(&server, Access::Read);
    let page = registry.tag_page(1).unwrap();
    assert_eq!((page.tags, page.goes_on), (vec!["b".to_owned()], true));
    let page = registry.tag_page(9).unwrap();
    assert_eq!(
        (page.tags, page.goes_on),
        (vec!["b".to_owned(), "a".to_owned()], false)
    );
    for (status, body, is_right) in [
        (404, "", true),
        (200, r#"{"tags":null}"#, true),
        (200, "[]", false),
    ] {
        let server = Server::start(move |_, _| answer(status, &[], body));
        let page = crate::registry(&server, Access::Read).tag_page(9);
        assert_eq!(
            page.is_ok_and(|page| page.tags.is_empty()),
            is_right,
            "{status} {body}"
        );
    }
}

#[test]
fn what_a_registry_does_not_do_is_no_error() {
    let blob = Descriptor::of("application/octet-stream", b"{}");
    let digest = Target::Digest(Digest::of(b"{}"));
    for (status, does) in [(206, true), (200, false)] {
        let server = Server::start(move |_, _| answer(status, &[], "{"));
        assert_eq!(registry(&server, Access::Read).sends_ranges(&blob).unwrap(), does);
        assert_eq!(server.asked()[0].header("range"), Some("bytes=0-0"));
    }
    for (status, does) in [
        (202, true),
        (405, false),
        (404, false),
        (401, false),
        (403, false),
    ] {
        let server = Server::start(move |_, _| answer(status, &[], ""));
        assert_eq!(
            registry(&server, Access::Write).delete(&digest).unwrap(),
            does,
            "{status}"
        );
    }
    let index = ("Content-Type", media::OCI_INDEX);
    for (status, body, does) in [
        (200, r#"{"schemaVersion":2,"manifests":[]}"#, true),
        (404, "", false),
    ] {
        let server = Server::start(move |_, _| answer(status, &[index], body));
        let lists = registry(&server, Access::Read).lists_referrers(&Digest::of(b"x"));
        assert_eq!(lists.unwrap(), does, "{status}");
    }
}

#[test]
fn an_upload_that_was_begun_instead_of_a_mount_is_cancelled() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "POST" => answer(202, &[("Location", "/v2/team/model/blobs/uploads/1")], ""),
        _ => answer(204, &[], ""),
    });
    assert!(
        !registry(&server, Access::Write)
            .mounts(&Digest::of(b"{}"))
            .unwrap()
    );
    let asked = server.asked();
    assert!(asked[0].target.contains("from=team%2Fmodel"), "{asked:?}");
    assert!(
        asked[1].is("DELETE", "/v2/team/model/blobs/uploads/1"),
        "{asked:?}"
    );
    let server = Server::start(|_, _| answer(201, &[], ""));
    assert!(
        registry(&server, Access::Write)
            .mounts(&Digest::of(b"{}"))
            .unwrap()
    );
}
