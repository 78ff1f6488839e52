//! The connection loop without a network: whatever arrives, in whatever pieces.

mod answers;
mod bodies;
mod heads;

use super::rehearsal::rehearse_in_pieces;
use super::*;

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
    answer.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()
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
    assert_eq!(undated(std::str::from_utf8(&answer).unwrap()), undated(&whole));
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
