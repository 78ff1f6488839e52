//! Bodies: their coding, their length, and who reads them.

use super::*;
use std::io::Read;

#[test]
fn broken_chunks_are_refused_and_end_the_connection() {
    let head = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let next = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
    let trailers = format!("0\r\n{}\r\n", "T: x\r\n".repeat(3000));
    for body in [
        "x\r\n",
        "\r\n",
        "-1\r\na\r\n",
        "+1\r\na\r\n",
        "0x1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "10000000000000000\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\nA b: x\r\n\r\n",
        "0\r\n\n",
        "1;\0\r\na\r\n",
        &long,
        &trailers,
    ] {
        let answer = send(format!("{head}{body}{next}").as_bytes());
        assert_eq!(status(&answer), Some(400), "{body:?} got {answer}");
        assert!(!answer.contains("smuggled"), "{body:?}");
    }
}

#[test]
fn a_body_of_which_more_arrives_than_the_handler_takes_is_too_large() {
    let answer = send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\nx");
    assert_eq!(status(&answer), Some(413));
}

#[test]
fn a_body_is_asked_for_only_when_the_handler_wants_it() {
    let request = |path: &str| {
        format!("PUT {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    };
    let pieces = |path: &str| {
        let head = request(path);
        let answer = rehearse_in_pieces(&Echo, &Limits::default(), &[head.as_bytes(), b"ab"]);
        String::from_utf8(answer).unwrap()
    };
    let wanted = pieces("/");
    assert!(
        wanted.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{wanted}"
    );
    assert!(!wanted.contains("Connection: close"));
    let unwanted = pieces("/unread");
    assert!(
        unwanted.starts_with("HTTP/1.1 200 OK\r\n") && unwanted.contains("Connection: close"),
        "{unwanted}"
    );
    let eager = send(format!("{}ab", request("/")).as_bytes());
    assert!(
        eager.starts_with("HTTP/1.1 200 OK\r\n"),
        "a body that is there already needs no leave: {eager}"
    );
}

#[test]
fn small_unread_bodies_are_read_away_and_large_ones_end_the_connection() {
    let request = |size: usize| {
        let body = "b".repeat(size);
        format!(
            "PUT /unread HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n{body}GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
        )
    };
    assert!(send(request(60_000).as_bytes()).contains("/next"));
    let large = send(request(70_000).as_bytes());
    assert!(large.contains("Connection: close") && !large.contains("/next"));
}

#[test]
fn a_large_sized_body_is_read_in_the_pieces_the_caller_wants() {
    struct Pieces;
    impl Handler for Pieces {
        fn handle(&self, request: &mut Request<'_>) -> Response {
            let mut block = vec![0; 30_000];
            let mut sizes = Vec::new();
            assert_eq!(request.body.remaining(), Some(70_000));
            while let Ok(filled @ 1..) = request.body.fill(&mut block) {
                sizes.push(filled);
            }
            assert_eq!(request.body.remaining(), Some(0));
            assert_eq!(request.body.read(&mut block).unwrap(), 0);
            Response::new(Status::OK).text(format!("{sizes:?}"))
        }
    }
    let mut input = b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n".to_vec();
    input.extend(vec![b'x'; 70_000]);
    let pieces: Vec<&[u8]> = input.chunks(777).collect();
    let answer = rehearse_in_pieces(&Pieces, &Limits::default(), &pieces);
    assert!(answer.ends_with(b"[30000, 30000, 10000]"));
}
