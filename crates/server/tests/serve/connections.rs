//! Connections: their bodies, their limits and their end.

use crate::common::{PATIENCE, Running};
use modelkeep_server::http::{BodyFault, Limits, ReplyBody, Request, Response, Status};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(60);

fn hello(_: &mut Request<'_>) -> Response {
    Response::new(Status::OK).text("hello".to_owned())
}

/// A file that has no name.
fn anonymous_file(name: &str) -> File {
    let path = std::env::temp_dir().join(format!("modelkeep-{name}-{}", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

#[test]
fn sixty_four_connections_are_served_at_once() {
    let together = Arc::new(Barrier::new(64));
    let meet = Arc::clone(&together);
    let server = Running::start(Limits::default(), move |request| {
        if request.path() == "/meet" {
            meet.wait();
        }
        hello(request)
    });
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut client = server.connect();
                assert_eq!(client.get("/meet"), (200, b"hello".to_vec()));
                for _ in 0..20 {
                    assert_eq!(client.get("/"), (200, b"hello".to_vec()));
                }
            });
        }
    });
    server.shutdown.trigger();
    let served = server.join();
    assert_eq!((served.connections, served.cut), (64, 0));
}

#[test]
fn a_sparse_file_of_more_than_a_gibibyte_arrives_whole() {
    const LENGTH: u64 = (1 << 30) + 12_345;
    const MARK: &[u8] = b"sentinel";
    let file = anonymous_file("sparse");
    file.set_len(LENGTH).unwrap();
    let marks = [0, 65_536, (1 << 30) - 3, LENGTH - 8];
    for at in marks {
        file.write_all_at(MARK, at).unwrap();
    }
    let shared = Arc::new(file);
    let server = Running::start(Limits::default(), move |_| {
        let file = Arc::clone(&shared);
        Response::new(Status::OK).body(ReplyBody::File {
            file,
            offset: 0,
            length: LENGTH,
        })
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        client.receive_head(),
        (200, usize::try_from(LENGTH).unwrap())
    );
    let mut at = 0;
    let (mut block, zeros) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut skip = |client: &mut crate::common::Client, to: u64| {
        while at < to {
            let step = usize::try_from(to - at).unwrap().min(block.len());
            client.reader.read_exact(&mut block[..step]).unwrap();
            assert!(block[..step] == zeros[..step], "not zero behind {at}");
            at += step as u64;
        }
        at += MARK.len() as u64;
    };
    for mark in marks {
        skip(&mut client, mark);
        let mut found = [0; MARK.len()];
        client.reader.read_exact(&mut found).unwrap();
        assert_eq!(found, MARK, "at {mark}");
    }
    assert_eq!(at, LENGTH);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.receive_head().0, 200, "the connection goes on");
}

#[test]
fn a_piece_of_a_file_arrives_as_that_piece() {
    let file = anonymous_file("piece");
    let content: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    file.write_all_at(&content, 0).unwrap();
    let shared = Arc::new(file);
    let server = Running::start(Limits::default(), move |request| {
        let number = |name: &str| request.query_value(name).unwrap().parse().unwrap();
        let body = ReplyBody::File {
            file: Arc::clone(&shared),
            offset: number("offset"),
            length: number("length"),
        };
        Response::new(Status::PARTIAL_CONTENT).body(body)
    });
    let mut client = server.connect();
    for (offset, length) in [
        (0, 1),
        (5, 16_384),
        (5, 16_385),
        (100_001, 1_000_000),
        (1_199_999, 1),
        (7, 0),
    ] {
        let (status, body) = client.get(&format!("/?offset={offset}&length={length}"));
        assert_eq!(status, 206);
        assert!(
            body == content[offset..offset + length],
            "{offset} {length}"
        );
    }
}

#[test]
fn a_large_chunked_body_arrives_as_it_was_sent() {
    let server = Running::start(Limits::default(), |request| {
        let mut block = vec![0; 100_000];
        let (mut total, mut sum) = (0, 0u64);
        loop {
            let filled = request.body.fill(&mut block).unwrap();
            total += filled;
            sum += block[..filled]
                .iter()
                .map(|byte| u64::from(*byte))
                .sum::<u64>();
            if filled < block.len() {
                return Response::new(Status::OK).text(format!("{total} {sum}"));
            }
        }
    });
    let content: Vec<u8> = (0..3_000_000u32)
        .map(|index| (index * 7 % 251) as u8)
        .collect();
    let sum: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
    for size in [997, 32_768, 500_000] {
        let mut client = server.connect();
        client.send("PATCH / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        for chunk in content.chunks(size) {
            let mut framed = format!("{:x}\r\n", chunk.len()).into_bytes();
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
            client.send(framed);
        }
        client.send("0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            client.receive().1,
            format!("{} {sum}", content.len()).into_bytes(),
            "chunks of {size}"
        );
        assert_eq!(
            client.receive().1,
            b"0 0",
            "what follows the body is the next request"
        );
    }
}

#[test]
fn a_head_that_arrives_too_slowly_is_answered_408() {
    let server = Running::start(
        Limits {
            head: SOON,
            ..Limits::default()
        },
        hello,
    );
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(client.receive().0, 408);
    assert_eq!(client.rest(), b"");
}

#[test]
fn dripping_bytes_do_not_stretch_a_heads_time() {
    let server = Running::start(
        Limits {
            head: SOON,
            ..Limits::default()
        },
        hello,
    );
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
    // The client's own read timeout is the pace of the drip; the answer ends it.
    client
        .reader
        .get_mut()
        .set_read_timeout(Some(SOON / 6))
        .unwrap();
    let mut byte = [0];
    let mut drops = 0;
    loop {
        match client.reader.get_mut().peek(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                drops += 1;
                assert!(drops < 1000, "never answered");
                client.send("x");
            }
            Ok(_) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(client.receive_head().0, 408);
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let server = Running::start(
        Limits {
            head: SOON,
            ..Limits::default()
        },
        hello,
    );
    assert_eq!(server.connect().rest(), b"", "from the start");
    let server = Running::start(
        Limits {
            idle: SOON,
            ..Limits::default()
        },
        hello,
    );
    let mut client = server.connect();
    assert_eq!(client.get("/").0, 200);
    assert_eq!(client.rest(), b"", "after a request");
}

#[test]
fn a_body_that_stalls_is_a_fault_and_ends_the_connection() {
    let server = Running::start(
        Limits {
            body: SOON,
            ..Limits::default()
        },
        |request| {
            let error = request.body.read_all(100).unwrap_err();
            Response::new(BodyFault::of(&error).unwrap().status())
        },
    );
    let mut client = server.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfirst");
    assert_eq!(client.receive().0, 408);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let file = anonymous_file("unread");
    file.set_len(1 << 30).unwrap();
    let shared = Arc::new(file);
    let server = Running::start(
        Limits {
            body: SOON,
            ..Limits::default()
        },
        move |request| match request.path() {
            "/file" => {
                let body = ReplyBody::File {
                    file: Arc::clone(&shared),
                    offset: 0,
                    length: 1 << 30,
                };
                Response::new(Status::OK).body(body)
            }
            _ => Response::new(Status::OK).body(ReplyBody::Owned(vec![0; 1 << 26])),
        },
    );
    for path in ["/file", "/memory"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let event = server.next_event("Answered");
        assert!(event.contains("TimedOut"), "{path}: {event}");
    }
}

#[test]
fn an_answer_reaches_a_client_whose_body_was_not_wanted() {
    let server = Running::start(Limits::default(), |_| {
        Response::new(Status::UNAUTHORIZED).text("who?".to_owned())
    });
    let mut client = server.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
    client.send(vec![b'x'; 500_000]);
    assert_eq!(client.receive(), (401, b"who?".to_vec()));
    assert_eq!(client.rest(), b"");
}

#[test]
fn when_all_connections_are_busy_the_next_is_told_to_come_back() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let (busy, is_busy) = channel();
    let server = Running::start(
        Limits {
            connections: 2,
            ..Limits::default()
        },
        move |request| {
            busy.send(()).unwrap();
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            hello(request)
        },
    );
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        is_busy.recv_timeout(PATIENCE).unwrap();
    }
    let mut third = server.connect();
    let answer = String::from_utf8(third.rest()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 1\r\n"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.ends_with(&format!("Content-Length: {}", body.len())),
        "{answer}"
    );
    assert!(server.next_event("Full").contains("127.0.0.1"));
    for client in &mut clients {
        release.send(()).unwrap();
        assert_eq!(client.receive().0, 200);
    }
}

#[test]
fn an_idle_connection_makes_room_for_a_new_one() {
    let server = Running::start(
        Limits {
            connections: 1,
            ..Limits::default()
        },
        hello,
    );
    let mut idle = server.connect();
    assert_eq!(idle.get("/").0, 200);
    // The client has its answer a moment before the server counts the connection as idle.
    let answered = (0..1000).any(|_| {
        let mut next = server.connect();
        next.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        next.receive_head().0 == 200
    });
    assert!(answered);
    assert_eq!(idle.rest(), b"");
}

#[test]
fn a_shutdown_lets_requests_in_flight_finish_and_closes_idle_connections() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let (busy, is_busy) = channel();
    let server = Running::start(Limits::default(), move |request| {
        if request.path() == "/slow" {
            busy.send(()).unwrap();
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        hello(request)
    });
    let mut idle = server.connect();
    assert_eq!(idle.get("/").0, 200);
    let mut slow = server.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    is_busy.recv_timeout(PATIENCE).unwrap();
    server.shutdown.trigger();
    assert_eq!(idle.rest(), b"");
    release.send(()).unwrap();
    let answer = String::from_utf8(slow.rest()).unwrap();
    assert!(
        answer.contains("Connection: close") && answer.ends_with("hello"),
        "{answer}"
    );
    assert_eq!(server.join().cut, 0);
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let (busy, is_busy) = channel();
    let server = Running::start(
        Limits {
            shutdown: SOON,
            ..Limits::default()
        },
        move |request| {
            busy.send(()).unwrap();
            // Ends with its sender.
            let _ = released.lock().unwrap().recv();
            hello(request)
        },
    );
    let mut stuck = server.connect();
    stuck.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    is_busy.recv_timeout(PATIENCE).unwrap();
    server.shutdown.trigger();
    assert_eq!(server.join().cut, 1);
    assert_eq!(stuck.rest(), b"");
    drop(release);
}

#[test]
fn a_panic_ends_its_connection_and_not_the_server() {
    let server = Running::start(Limits::default(), |request| match request.path() {
        "/panic" => panic!("on purpose"),
        _ => hello(request),
    });
    let mut client = server.connect();
    assert_eq!(client.get("/panic").0, 500);
    assert_eq!(client.rest(), b"");
    assert!(server.next_event("Panicked").contains("on purpose"));
    assert_eq!(server.connect().get("/").0, 200);
}

#[test]
fn a_closed_connection_in_the_middle_of_an_answer_harms_nobody() {
    let file = anonymous_file("closed");
    file.set_len(1 << 28).unwrap();
    let shared = Arc::new(file);
    let server = Running::start(Limits::default(), move |request| match request.path() {
        "/file" => {
            let body = ReplyBody::File {
                file: Arc::clone(&shared),
                offset: 0,
                length: 1 << 28,
            };
            Response::new(Status::OK).body(body)
        }
        _ => hello(request),
    });
    let mut client = server.connect();
    client.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
    client.receive_head();
    client.reader.get_mut().flush().unwrap();
    drop(client);
    assert!(server.next_event("Answered").contains("error: Some"));
    assert_eq!(server.connect().get("/").0, 200);
}
