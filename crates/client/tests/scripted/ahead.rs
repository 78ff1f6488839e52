use std::{
    collections::HashSet,
    io::Read,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use modelkeep_client::Access;
use modelkeep_core::{ByteRange, Descriptor, content::Source};

use crate::{
    blob, config,
    read::part,
    registry, registry_with,
    server::{Answer, Asked, Server, answer},
};

const MIB: usize = 1 << 20;

fn large() -> Arc<Vec<u8>> {
    Arc::new(crate::numbered(40 * MIB))
}

fn described(bytes: &[u8]) -> Descriptor {
    let mut blob = blob(b"");
    blob.size = bytes.len() as u64;
    blob
}

fn read_all(server: &Server, bytes: &[u8], config: Option<&str>) -> Vec<u8> {
    let registry = match config {
        Some(config) => registry_with(server, Access::Read, config),
        None => registry(server, Access::Read),
    };
    let length = bytes.len() as u64;
    let mut read = Vec::new();
    registry
        .open(&described(bytes), ByteRange { offset: 0, length })
        .unwrap()
        .read_to_end(&mut read)
        .unwrap();
    read
}

/// An answer that comes so slowly that one connection is not enough.
fn slowly(asked: &Asked, bytes: &[u8]) -> Answer {
    match part(asked, bytes) {
        Answer::Bytes(bytes) => Answer::Slowly(bytes, 256 << 10, Duration::from_millis(5)),
        other => other,
    }
}

#[test]
fn a_fast_registry_is_read_on_one_connection() {
    let bytes = large();
    let served = Arc::clone(&bytes);
    let server = Server::start(move |asked, _| part(asked, &served));
    let length = 40 * MIB as u64;
    let mut reader = registry(&server, Access::Read)
        .open(&described(&bytes), ByteRange { offset: 0, length })
        .map(|mut reader| {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            read
        })
        .unwrap();
    assert!(reader == *bytes);
    reader.clear();
    // What is fast depends on the machine: two requests, or parts of 2 MiB after the first 8.
    let count = server.asked().len();
    assert!(count == 2 || count == 17, "{count}");
}

#[test]
fn a_slow_registry_is_read_on_several_connections_in_order_and_once() {
    let bytes = large();
    let served = Arc::clone(&bytes);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, seen) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |asked, _| {
        let at_once = running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(at_once, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        running.fetch_sub(1, Ordering::SeqCst);
        slowly(asked, &served)
    });
    assert!(read_all(&server, &bytes, None) == *bytes);
    assert!(most.load(Ordering::SeqCst) > 2, "{most:?}");
    assert!(now.load(Ordering::SeqCst) <= 8);
    let asked = server.asked();
    let ranges: HashSet<&str> = asked.iter().filter_map(|asked| asked.header("Range")).collect();
    assert_eq!(ranges.len(), asked.len(), "no range twice");
    assert_eq!(ranges.len(), 17);
}

#[test]
fn parts_that_fail_are_asked_for_again_and_no_others() {
    let bytes = large();
    let served = Arc::clone(&bytes);
    let failed = Mutex::new(HashSet::new());
    let server = Server::start(move |asked, _| {
        let range = asked.header("Range").unwrap().to_owned();
        let first = failed.lock().unwrap().insert(range.clone());
        match range.as_str() {
            "bytes=12582912-14680063" if first => answer(503, &[("Retry-After", "0")], "busy"),
            "bytes=16777216-18874367" if first => answer(429, &[("Retry-After", "0")], "slow down"),
            "bytes=20971520-23068671" if first => match part(asked, &served) {
                Answer::Bytes(bytes) => Answer::Last(bytes[..MIB].to_vec()),
                other => other,
            },
            _ => slowly(asked, &served),
        }
    });
    assert!(read_all(&server, &bytes, None) == *bytes);
    let asked = server.asked();
    let mut times = std::collections::HashMap::new();
    for range in asked.iter().filter_map(|asked| asked.header("Range")) {
        *times.entry(range).or_insert(0) += 1;
    }
    let twice: HashSet<&str> = times
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|(range, _)| *range)
        .collect();
    let expected = [
        "bytes=12582912-14680063",
        "bytes=16777216-18874367",
        "bytes=20971520-23068671",
    ];
    assert_eq!(twice, HashSet::from(expected));
}

#[test]
fn a_part_that_breaks_off_twice_is_continued_and_the_next_one_is_not_taken_for_it() {
    let bytes = large();
    let served = Arc::clone(&bytes);
    let server = Server::start(move |asked, before| {
        let range = asked.header("Range").unwrap();
        let breaks = range.starts_with("bytes=12") || range.starts_with("bytes=13");
        match slowly(asked, &served) {
            Answer::Slowly(bytes, ..) if breaks && before < 30 => {
                Answer::Last(bytes[..bytes.len().min(700_000)].to_vec())
            }
            other => other,
        }
    });
    assert!(read_all(&server, &bytes, None) == *bytes);
}

#[test]
fn a_registry_without_ranges_is_read_from_the_beginning_on() {
    let bytes = large();
    let served = Arc::clone(&bytes);
    let server = Server::start(move |_, _| answer(200, &[], &*served));
    assert!(read_all(&server, &bytes, None) == *bytes);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_redirect_is_asked_for_once_and_again_when_it_expires_and_gets_no_credentials() {
    let bytes = large();
    let served = Arc::clone(&bytes);
    let expired = AtomicBool::new(false);
    let storage = Server::start(move |asked, _| {
        let range = asked.header("Range").unwrap();
        let is_late = range.starts_with("bytes=25165824-");
        if is_late && !expired.swap(true, Ordering::SeqCst) {
            return answer(403, &[], "<Error><Code>AccessDenied</Code></Error>");
        }
        if asked.target.contains("old") && is_late {
            return answer(403, &[], "expired");
        }
        slowly(asked, &served)
    });
    let to = format!("http://localhost:{}/signed", storage.port);
    let times = AtomicUsize::new(0);
    let server = Server::start(move |asked, _| match asked.header("Authorization") {
        Some(_) => {
            let which = if times.fetch_add(1, Ordering::SeqCst) == 0 {
                "old"
            } else {
                "new"
            };
            answer(307, &[("Location", &format!("{to}?{which}"))], "")
        }
        None => answer(401, &[("WWW-Authenticate", "Basic realm=x")], ""),
    });
    assert!(read_all(&server, &bytes, Some(&config(&server))) == *bytes);
    assert!(
        storage
            .asked()
            .iter()
            .all(|asked| asked.header("Authorization").is_none())
    );
    // One that was not authorized, one that was, and one when the address had expired, of each part on the way.
    let count = server.asked().len();
    assert!((3..=10).contains(&count), "{count}");
}
