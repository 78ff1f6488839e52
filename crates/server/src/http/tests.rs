//! The connection loop without a network: whatever arrives, in whatever pieces.

use super::rehearsal::rehearse_in_pieces;
use super::*;
use std::io::Read;
use std::sync::Mutex;

/// Answers with what it understood: method, path, and the body's length and sum.
struct Echo;

impl Handler for Echo {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        if request.path() == "/unread" {
            return Response::new(Status::OK).text("unread".to_owned());
        }
        if request.path() == "/panic" {
            panic!("on purpose");
        }
        match request.body.read_all(1 << 20) {
            Ok(body) => {
                let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
                let (method, path) = (request.method(), request.path());
                Response::new(Status::OK).text(format!("<{method:?} {path} {} {sum}>", body.len()))
            }
            Err(error) => {
                let fault = BodyFault::of(&error).expect("memory does not fail");
                Response::error(fault.status(), "UNSUPPORTED", &fault.to_string())
            }
        }
    }
}

fn send(input: &[u8]) -> String {
    String::from_utf8(rehearse(&Echo, &Limits::default(), input)).unwrap()
}

fn status(answer: &str) -> Option<u16> {
    answer
        .strip_prefix("HTTP/1.1 ")?
        .split(' ')
        .next()?
        .parse()
        .ok()
}

/// All answers' statuses and bodies, without their dates.
fn undated(answer: &str) -> Vec<&str> {
    answer
        .split("\r\n")
        .filter(|line| !line.starts_with("Date: "))
        .collect()
}

const CONVERSATION: &[u8] = b"POST /a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
    \r\n\
    PATCH /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
    3\r\nabc\r\nA;ext=\"1\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n\
    HEAD /c HTTP/1.1\r\nHost: h\r\n\r\n\
    GET http://h/d HTTP/1.1\r\nHost: h\r\n\r\n\
    PUT /unread HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nleft\
    GET /e HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn pipelined_requests_are_answered_in_order_and_to_the_byte() {
    let answer = send(CONVERSATION);
    let bodies: Vec<&str> = answer
        .split("\r\n\r\n")
        .map(|part| part.split("HTTP/1.1").next().unwrap())
        .collect();
    assert_eq!(
        bodies[1..],
        [
            "<Post /a 5 532>",
            "<Patch /b 13 819>",
            "",
            "<Get /d 0 0>",
            "unread",
            "<Get /e 0 0>"
        ]
    );
    assert!(answer.matches("Connection: close").count() == 1 && !answer.contains("/never"));
}

#[test]
fn input_cut_at_any_byte_is_understood_the_same() {
    let whole = send(CONVERSATION);
    for cut in 0..CONVERSATION.len() {
        let (first, second) = CONVERSATION.split_at(cut);
        let answer = rehearse_in_pieces(&Echo, &Limits::default(), &[first, second]);
        assert_eq!(
            undated(std::str::from_utf8(&answer).unwrap()),
            undated(&whole),
            "cut at {cut}"
        );
    }
    let bytes: Vec<&[u8]> = CONVERSATION.chunks(1).collect();
    let answer = rehearse_in_pieces(&Echo, &Limits::default(), &bytes);
    assert_eq!(
        undated(std::str::from_utf8(&answer).unwrap()),
        undated(&whole)
    );
}

#[test]
fn an_input_that_ends_anywhere_is_answered_or_closed() {
    for end in 0..CONVERSATION.len() {
        let answer = send(&CONVERSATION[..end]);
        for line in answer.lines().filter(|line| line.starts_with("HTTP/")) {
            assert!(
                line.contains("200 OK") || line.contains("400 Bad Request"),
                "{end}: {line}"
            );
        }
    }
}

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
        ("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
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
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na",
            400,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
            400,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na",
            400,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\na",
            400,
        ),
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
fn limits_on_sizes_are_kept() {
    let limits = Limits {
        head_bytes: 1024,
        body_bytes: 100,
        ..Limits::default()
    };
    let send =
        |input: String| String::from_utf8(rehearse(&Echo, &limits, input.as_bytes())).unwrap();
    let padded = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
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
fn a_body_of_which_more_arrives_than_the_handler_takes_is_too_large() {
    let answer = send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\nx");
    assert_eq!(status(&answer), Some(413));
}

#[test]
fn a_body_is_asked_for_only_when_the_handler_wants_it() {
    let request = |path: &str| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
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
fn a_panic_is_answered_500_and_told_to_the_observer() {
    struct Watching(Mutex<Vec<String>>);
    impl Handler for Watching {
        fn handle(&self, request: &mut Request<'_>) -> Response {
            Echo.handle(request)
        }
        fn observe(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }
    let watching = Watching(Mutex::default());
    let input = b"GET /panic HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    let answer = String::from_utf8(rehearse(&watching, &Limits::default(), input)).unwrap();
    assert_eq!(status(&answer), Some(500));
    assert!(
        !answer.contains("on purpose") && !answer.contains("/next"),
        "{answer}"
    );
    let events = watching.0.into_inner().unwrap();
    assert!(
        events[0].contains("Panicked") && events[0].contains("on purpose"),
        "{events:?}"
    );
    assert!(
        events[1].contains("Answered") && events[1].contains("Status(500)"),
        "{events:?}"
    );
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let answer =
        send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /next HTTP/1.0\r\n\r\n");
    assert_eq!(status(&answer), Some(200));
    assert!(answer.contains("Connection: close") && !answer.contains("/next"));
}

/// Gives fixed answers by path.
struct Fixed(std::sync::Arc<std::fs::File>);

impl Handler for Fixed {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        let file = |offset, length| ReplyBody::File {
            file: self.0.clone(),
            offset,
            length,
        };
        match request.path() {
            "/head-of" => Response::new(Status::OK).body(ReplyBody::HeadOf(12_345)),
            "/small" => Response::new(Status::OK).body(file(2, 3)),
            "/large" => Response::new(Status::PARTIAL_CONTENT).body(file(1, 40_000)),
            "/long" => Response::new(Status::OK).body(file(0, 1 << 40)),
            "/none" => Response::new(Status::NO_CONTENT),
            _ => Response::new(Status::NOT_MODIFIED),
        }
    }
}

#[test]
fn answers_say_their_length_and_send_what_belongs_to_them() {
    let directory = crate::testing::Scratch::new("fixed");
    let path = directory.path().join("file");
    let content: Vec<u8> = (0..50_000u32)
        .map(|index| b'a' + (index % 23) as u8)
        .collect();
    std::fs::write(&path, &content).unwrap();
    let fixed = Fixed(std::fs::File::open(&path).unwrap().into());
    let ask = |method: &str, path: &str| {
        let input = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer =
            String::from_utf8(rehearse(&fixed, &Limits::default(), input.as_bytes())).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map(str::to_owned);
        (length, body.to_owned())
    };
    let text = |range: std::ops::Range<usize>| String::from_utf8(content[range].to_vec()).unwrap();
    assert_eq!(ask("GET", "/small"), (Some("3".into()), text(2..5)));
    assert_eq!(
        ask("GET", "/large"),
        (Some("40000".into()), text(1..40_001))
    );
    assert_eq!(ask("HEAD", "/large"), (Some("40000".into()), String::new()));
    assert_eq!(
        ask("HEAD", "/head-of"),
        (Some("12345".into()), String::new())
    );
    assert_eq!(ask("GET", "/none"), (None, String::new()));
    assert_eq!(ask("GET", "/not-modified"), (None, String::new()));
    let (length, body) = ask("GET", "/long");
    assert_eq!(
        length.as_deref(),
        Some("1099511627776"),
        "a file that got shorter is cut, not padded"
    );
    assert!(body.len() <= content.len());
}

/// A generator with a fixed start: the same inputs in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

#[test]
fn mutilated_input_never_panics_and_never_gives_a_500() {
    let parts: [&[u8]; 12] = [
        b"\r\n",
        b"\n",
        b"\0",
        b"Content-Length: 7\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"%",
        b"HTTP/1.1",
        b": ",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"\xff\xfe",
        b"Expect: 100-continue\r\n",
    ];
    let mut dice = Dice(42);
    for _ in 0..4000 {
        let mut input = CONVERSATION.to_vec();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(input.len());
            match dice.roll(4) {
                0 => drop(input.remove(at)),
                1 => input[at] = dice.roll(256) as u8,
                2 => input.truncate(at + 1),
                _ => drop(input.splice(at..at, parts[dice.roll(parts.len())].iter().copied())),
            }
        }
        fuzz_head(&input);
        let cut = dice.roll(input.len());
        let answer = rehearse_in_pieces(&Echo, &Limits::default(), &[&input[..cut], &input[cut..]]);
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            !answer.contains("HTTP/1.1 500"),
            "{:?}",
            String::from_utf8_lossy(&input)
        );
    }
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
