//! Connections, and the bodies that go through them.

use crate::common::{Running, hello};
use modelkeep_server::http::{Limits, ReplyBody, Response, Status};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};

#[test]
fn sixty_four_connections_are_served_at_once() {
    let together = Arc::new(Barrier::new(64));
    let meet = Arc::clone(&together);
    let server = Running::start(Limits::default(), move |request| {
        if request.path() == "/meet" {
            request.take_time();
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

#[cfg(target_os = "linux")]
#[test]
fn connections_that_wait_have_no_threads() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let server = Running::start(Limits::default(), move |request| {
        seen.lock().unwrap().insert(std::thread::current().id());
        hello(request)
    });
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get("/"), (200, b"hello".to_vec()));
        }
    }
    let processors = std::thread::available_parallelism().unwrap().get();
    let threads = threads.lock().unwrap().len();
    assert!(threads <= processors, "{threads} threads");
}

#[test]
fn a_request_that_takes_its_time_leaves_the_others_to_another_thread() {
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let server = Running::start(Limits::default(), move |request| {
        if request.path() == "/long" {
            request.take_time();
            released.lock().unwrap().recv().unwrap();
        }
        hello(request)
    });
    let mut first = server.connect();
    first.send("GET /long HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut others: Vec<_> = (0..16).map(|_| server.connect()).collect();
    for client in &mut others {
        assert_eq!(client.get("/").0, 200);
    }
    release.send(()).unwrap();
    assert_eq!(first.receive().0, 200);
    assert_eq!(first.receive().0, 200, "what came meanwhile is answered too");
    assert_eq!(first.get("/").0, 200, "and what comes then");
}

#[test]
fn a_sparse_file_of_more_than_a_gibibyte_arrives_whole() {
    const LENGTH: u64 = (1 << 30) + 12_345;
    const MARK: &[u8] = b"sentinel";
    let file = tempfile::tempfile().unwrap();
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
    assert_eq!(client.receive_head(), (200, usize::try_from(LENGTH).unwrap()));
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
    let file = tempfile::tempfile().unwrap();
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
        assert!(body == content[offset..offset + length], "{offset} {length}");
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
            sum += block[..filled].iter().map(|byte| u64::from(*byte)).sum::<u64>();
            if filled < block.len() {
                return Response::new(Status::OK).text(format!("{total} {sum}"));
            }
        }
    });
    let content: Vec<u8> = (0..3_000_000u32).map(|index| (index * 7 % 251) as u8).collect();
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
    let file = tempfile::tempfile().unwrap();
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
