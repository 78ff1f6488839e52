//! Uploads that outlive their connection and their server, and two servers on one store.

use std::{io::Write, net::Shutdown, thread};

use modelkeep_core::Digest;

use crate::support::Running;

#[test]
fn an_upload_goes_on_in_another_server() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (first, second) = bytes.split_at(1_234_567);
    let location = {
        let server = Running::start_on(&store, Running::config());
        let begun = server.send("POST", "/v2/digits/blobs/uploads/", &[], b"");
        let location = begun.field("Location").unwrap().to_owned();
        let sent = server.send("PATCH", &location, &[], first);
        assert_eq!((sent.status, sent.field("Range")), (202, Some("0-1234566")));
        location
    };
    let server = Running::start_on(&store, Running::config());
    let status = server.get(&location);
    assert_eq!((status.status, status.field("Range")), (204, Some("0-1234566")));
    let range = format!("1234567-{}", bytes.len() - 1);
    let digest = Digest::of(&bytes);
    let path = format!("{location}?digest={digest}");
    let done = server.send("PUT", &path, &[("Content-Range", range.as_str())], second);
    assert_eq!(done.status, 201, "{}", done.text());
    let found = server.get(&format!("/v2/digits/blobs/{digest}"));
    assert!(found.body == bytes);
}

#[test]
fn what_came_before_the_connection_broke_is_kept() {
    let server = Running::start(Running::config());
    let begun = server.send("POST", "/v2/digits/blobs/uploads/", &[], b"");
    let location = begun.field("Location").unwrap().to_owned();
    let bytes = vec![7; 2_000_000];
    let mut stream = server.connect();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&bytes[..1_500_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    server.logged("method=PATCH");
    let status = server.get(&location);
    assert_eq!(status.field("Range"), Some("0-1499999"));
    let digest = Digest::of(&bytes);
    let done = server.send(
        "PUT",
        &format!("{location}?digest={digest}"),
        &[],
        &bytes[1_500_000..],
    );
    assert_eq!(done.status, 201, "{}", done.text());
}

#[test]
fn one_tag_pushed_through_two_servers_has_one_winner() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let servers = [
        Running::start_on(&store, Running::config()),
        Running::start_on(&store, Running::config()),
    ];
    for round in 0..5 {
        let tag = format!("1.{round}");
        let answers: Vec<(u16, Digest)> = thread::scope(|scope| {
            let pushes: Vec<_> = (0..8)
                .map(|pusher| {
                    let (server, tag) = (&servers[pusher % 2], &tag);
                    scope.spawn(move || {
                        let (answer, digest) = server.push("digits", tag, &format!("{round} {pusher}"));
                        (answer.status, digest)
                    })
                })
                .collect();
            pushes.into_iter().map(|push| push.join().unwrap()).collect()
        });
        let winners: Vec<_> = answers.iter().filter(|(status, _)| *status == 201).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert!(
            answers.iter().all(|(status, _)| [201, 409].contains(status)),
            "{answers:?}"
        );
        for server in &servers {
            let found = server.get(&format!("/v2/digits/manifests/{tag}"));
            assert_eq!(
                found.field("Docker-Content-Digest"),
                Some(winners[0].1.to_string().as_str())
            );
            let listed = server.get("/v2/digits/tags/list").text();
            assert!(listed.contains(&format!("\"{tag}\"")), "{listed}");
        }
    }
}
