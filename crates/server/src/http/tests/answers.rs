//! What is sent in answer.

use super::*;
use std::sync::Mutex;

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
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let content: Vec<u8> = (0..50_000u32).map(|index| b'a' + (index % 23) as u8).collect();
    std::fs::write(&path, &content).unwrap();
    let fixed = Fixed(std::fs::File::open(&path).unwrap().into());
    let ask = |method: &str, path: &str| {
        let input = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = String::from_utf8(rehearse(&fixed, &Limits::default(), input.as_bytes())).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map(str::to_owned);
        (length, body.to_owned())
    };
    let text = |range: std::ops::Range<usize>| String::from_utf8(content[range].to_vec()).unwrap();
    assert_eq!(ask("GET", "/small"), (Some("3".into()), text(2..5)));
    assert_eq!(ask("GET", "/large"), (Some("40000".into()), text(1..40_001)));
    assert_eq!(ask("HEAD", "/large"), (Some("40000".into()), String::new()));
    assert_eq!(ask("HEAD", "/head-of"), (Some("12345".into()), String::new()));
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

#[test]
fn a_length_without_its_bytes_ends_the_connection_unless_it_was_asked_for() {
    let fixed = Fixed(tempfile::tempfile().unwrap().into());
    let answers = |method: &str| {
        let request = format!("{method} /head-of HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = rehearse(&fixed, &Limits::default(), request.repeat(2).as_bytes());
        String::from_utf8(answer).unwrap().matches("HTTP/1.1 200").count()
    };
    assert_eq!((answers("HEAD"), answers("GET")), (2, 1));
}
