//! Slow clients, full servers, and the end.

use crate::common::{PATIENCE, Running, hello};
use modelkeep_server::http::{BodyFault, Limits, ReplyBody, Response, Status};
use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(250);

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
    client.reader.get_mut().set_read_timeout(Some(SOON / 6)).unwrap();
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
    let file = tempfile::tempfile().unwrap();
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
fn who_reads_no_answers_keeps_nobody_waiting() {
    let server = Running::start(Limits::default(), |_| {
        Response::new(Status::OK).body(ReplyBody::Owned(vec![b'x'; 12 * 1024]))
    });
    let processors = std::thread::available_parallelism().unwrap().get();
    let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1500);
    // The answers are more than the system keeps for those who do not read.
    let mut stubborn: Vec<_> = (0..processors).map(|_| server.connect()).collect();
    for client in &mut stubborn {
        client.send(&requests);
    }
    for _ in 0..processors {
        assert_eq!(server.connect().get("/").0, 200);
    }
    for client in &mut stubborn {
        for _ in 0..1500 {
            assert_eq!(client.receive().1.len(), 12 * 1024);
        }
    }
}

#[test]
fn who_never_stops_asking_keeps_nobody_waiting() {
    let server = Running::start(Limits::default(), hello);
    let processors = std::thread::available_parallelism().unwrap().get();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..processors {
            let mut client = server.connect();
            let mut asking = client.reader.get_ref().try_clone().unwrap();
            let over = &over;
            scope.spawn(move || {
                let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
                while !over.load(Relaxed) {
                    asking.write_all(requests.as_bytes()).unwrap();
                }
                asking.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || client.rest());
        }
        let mut clients: Vec<_> = (0..processors).map(|_| server.connect()).collect();
        for _ in 0..20 {
            for client in &mut clients {
                assert_eq!(client.get("/").0, 200);
            }
        }
        over.store(true, Relaxed);
    });
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
            request.take_time();
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
