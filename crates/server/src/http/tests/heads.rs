//! Heads that must not be believed.

use super::*;

#[test]
fn heads_that_two_parsers_could_read_differently_are_refused() {
    let corpus: &[(&str, u16)] = &[
        ("GET / HTTP/1.1\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
        ("GET / HTTP/1.1\rHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tfolded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 505),
        ("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /?a=%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00", 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
            400,
        ),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\na", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\na", 400),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\na",
            400,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
            501,
        ),
        (
            "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\na",
            417,
        ),
    ];
    for (input, expected) in corpus {
        let answer = send(input.as_bytes());
        assert_eq!(status(&answer), Some(*expected), "{input:?} got {answer}");
        assert!(
            answer.contains("Connection: close") && answer.contains("{\"errors\":[{\"code\":"),
            "{answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "nothing is answered behind it: {answer}"
        );
    }
}

#[test]
fn limits_on_sizes_are_kept() {
    let limits = Limits {
        head_bytes: 1024,
        body_bytes: 100,
        ..Limits::default()
    };
    let send = |input: String| String::from_utf8(rehearse(&Echo, &limits, input.as_bytes())).unwrap();
    let padded = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(bytes));
    assert_eq!(status(&send(padded(900))), Some(200));
    assert_eq!(status(&send(padded(1000))), Some(431));
    assert_eq!(status(&send(padded(100_000))), Some(431));
    assert_eq!(
        status(&send(format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "a:b\r\n".repeat(97)
        ))),
        Some(431)
    );
    assert_eq!(
        status(&send(
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n".to_owned()
        )),
        Some(413)
    );
    let chunked = |size: usize| {
        format!(
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n{}\r\n0\r\n\r\n",
            "a".repeat(size)
        )
    };
    assert_eq!(status(&send(chunked(100))), Some(200));
    assert_eq!(status(&send(chunked(101))), Some(413));
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let answer = send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /next HTTP/1.0\r\n\r\n");
    assert_eq!(status(&answer), Some(200));
    assert!(answer.contains("Connection: close") && !answer.contains("/next"));
}
