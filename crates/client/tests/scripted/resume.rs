use std::{
    io::{Read, Write},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use modelkeep_client::{Access, Begun, BlobUpload, Error, Registry, Settings};
use modelkeep_core::{Digest, content};

use crate::{
    blob, chain, config, registry_set,
    server::{Answer, Asked, Server, answer, head},
};

const MIB: usize = 1 << 20;

fn keeping(server: &Server, directory: &Path, config: &str) -> Registry {
    let settings = Settings {
        uploads: Some(directory.to_owned()),
        ..Settings::default()
    };
    registry_set(server, Access::Write, config, settings)
}

fn key() -> Digest {
    Digest::of(b"the file as it was when it was looked at")
}

/// Sends what the registry lacks of `bytes`.
fn send(mut upload: BlobUpload<'_>, bytes: &[u8]) -> content::Result<()> {
    let from = upload.offset() as usize;
    for piece in bytes[from..].chunks(MIB) {
        upload.write(piece)?;
    }
    upload.finish(&Digest::of(bytes))
}

/// As the command line does it: attempts until it is done.
fn push(registry: &Registry, bytes: &[u8]) -> Result<usize, String> {
    let mut retries = registry.retries();
    for attempt in 1.. {
        let done = registry
            .begin_blob(bytes.len() as u64, Some(&key()))
            .and_then(|upload| send(upload, bytes));
        match done {
            Ok(()) => return Ok(attempt),
            Err(error) => {
                let again = Error::behind(&error).is_some_and(|error| retries.wait(error, false));
                if !again {
                    return Err(chain(&error));
                }
            }
        }
    }
    unreachable!("attempts end")
}

fn bytes(length: usize) -> Vec<u8> {
    crate::numbered(length)
}

/// All bodies of `PATCH`, one after the other, without those that were refused.
fn patched(server: &Server) -> Vec<u8> {
    let asked = server.asked();
    let patches = asked.iter().filter(|asked| asked.method == "PATCH");
    patches.flat_map(|asked| asked.body.clone()).collect()
}

fn opened(asked: &Asked) -> Option<Answer> {
    match asked.method.as_str() {
        "POST" => Some(answer(202, &[("Location", "/up/1?_state=a%3D")], "")),
        "PUT" => Some(answer(201, &[], "")),
        _ => None,
    }
}

/// Begins, sends `sent` bytes of a request of `of`, and dies.
fn die_in_the_middle(server: &Server, directory: &Path, of: &[u8], sent: usize) {
    let registry = keeping(server, directory, "{}");
    let mut upload = registry.begin_blob(of.len() as u64, Some(&key())).unwrap();
    upload.write(&of[..sent]).unwrap();
}

#[test]
fn an_upload_of_a_process_that_died_goes_on_where_the_registry_says() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "GET" => answer(204, &[("Location", "/up/1?_state=b"), ("Range", "0-6")], ""),
        _ => opened(asked).unwrap_or_else(|| answer(202, &[("Location", "/up/1?_state=c")], "")),
    });
    die_in_the_middle(&server, directory.path(), b"the whole layer", 8);
    push(&keeping(&server, directory.path(), "{}"), b"the whole layer").unwrap();
    let asked = server.asked();
    let patch = asked.iter().rfind(|asked| asked.method == "PATCH").unwrap();
    assert_eq!(patch.body, b"le layer");
    assert_eq!(patch.header("Content-Range"), Some("7-14"));
    assert!(patch.target.ends_with("_state=b"), "{}", patch.target);
    let put = asked.iter().find(|asked| asked.method == "PUT").unwrap();
    assert!(put.target.starts_with("/up/1?_state=c&digest="), "{}", put.target);
    assert_eq!(server.count("POST", "/"), 1);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn an_upload_that_the_registry_forgot_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "GET" => answer(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID"}]}"#),
        _ => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
    });
    die_in_the_middle(&server, directory.path(), b"abcdef", 2);
    push(&keeping(&server, directory.path(), "{}"), b"abcdef").unwrap();
    assert_eq!(server.count("POST", "/"), 2);
    assert!(patched(&server).ends_with(b"abcdef"));
}

#[test]
fn an_upload_that_was_of_something_else_is_thrown_away() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, before| match asked.method.as_str() {
        "GET" => answer(204, &[("Range", "0-2")], ""),
        "PUT" if before == 0 => answer(400, &[], r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#),
        _ => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
    });
    die_in_the_middle(&server, directory.path(), b"abcdef", 2);
    assert_eq!(push(&keeping(&server, directory.path(), "{}"), b"abcdef"), Ok(2));
    assert_eq!(server.count("POST", "/"), 2);
    assert!(patched(&server).ends_with(b"abcdef"));
}

#[test]
fn a_416_reveals_where_an_upload_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, _| match asked.header("Content-Range") {
        // It cannot be asked how far it is.
        _ if asked.method == "GET" => answer(405, &[], ""),
        Some("2-5") => answer(416, &[("Range", "0-3")], ""),
        _ => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
    });
    let registry = keeping(&server, directory.path(), "{}");
    let mut upload = registry.begin_blob(6, Some(&key())).unwrap();
    upload.write(b"ab").unwrap();
    drop(upload);
    // What was acknowledged, as after a chunk.
    let record = std::fs::read_dir(directory.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&record)
        .unwrap()
        .replace("\"at\":0", "\"at\":2");
    std::fs::File::create(&record)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    assert_eq!(push(&registry, b"abcdef"), Ok(2));
    let last = server
        .asked()
        .into_iter()
        .rfind(|asked| asked.method == "PATCH")
        .unwrap();
    assert_eq!(
        (last.body.as_slice(), last.header("Content-Range")),
        (&b"ef"[..], Some("4-5"))
    );
}

#[test]
fn a_dropped_connection_costs_what_had_not_arrived() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, before| match asked.method.as_str() {
        "PATCH" if before == 0 => Answer::Last(Vec::new()),
        "GET" => answer(204, &[("Range", "0-3")], ""),
        _ => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
    });
    assert_eq!(push(&keeping(&server, directory.path(), "{}"), b"abcdef"), Ok(2));
    assert_eq!(patched(&server), b"abcdefef");
}

#[test]
fn an_upload_is_tried_again_after_429_and_503_in_the_middle() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, before| match (asked.method.as_str(), before) {
        ("PATCH", 0) => answer(429, &[("Retry-After", "0")], "slow down"),
        ("PATCH", 1) => answer(503, &[], "<html><title>Busy</title></html>"),
        ("GET", _) => answer(204, &[("Range", "0-0")], ""),
        _ => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
    });
    assert_eq!(push(&keeping(&server, directory.path(), "{}"), b"abcdef"), Ok(3));
}

#[test]
fn a_token_that_expires_between_chunks_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = AtomicUsize::new(0);
    let server = Server::start(move |asked, _| {
        let shown = asked.header("Authorization").unwrap_or_default();
        let is_first = shown == "Bearer t0";
        match asked.method.as_str() {
            "GET" if asked.target.starts_with("/token") => {
                let number = tokens.fetch_add(1, Ordering::SeqCst);
                answer(200, &[], format!(r#"{{"token":"t{number}","expires_in":3600}}"#))
            }
            "POST" if is_first => {
                let headers = [("Location", "/up/1"), ("OCI-Chunk-Min-Length", "67108864")];
                answer(202, &headers, "")
            }
            "PATCH" if is_first && asked.header("Content-Range").unwrap().starts_with("0-") => {
                answer(202, &[("Location", "/up/1"), ("Range", "0-67108863")], "")
            }
            "GET" if shown == "Bearer t1" => answer(204, &[("Range", "0-67108863")], ""),
            "PATCH" if shown == "Bearer t1" => answer(202, &[], ""),
            "PUT" if shown == "Bearer t1" => answer(201, &[], ""),
            _ => {
                let realm = format!("Bearer realm=\"http://{}/token\"", asked.header("Host").unwrap());
                answer(401, &[("WWW-Authenticate", &realm)], "{}")
            }
        }
    });
    let registry = keeping(&server, directory.path(), &config(&server));
    let bytes = bytes(65 * MIB);
    assert_eq!(push(&registry, &bytes), Ok(2));
    assert_eq!(server.count("GET", "/token"), 2);
    let asked = server.asked();
    let ranges: Vec<&str> = asked
        .iter()
        .filter_map(|asked| asked.header("Content-Range"))
        .collect();
    // The second chunk was refused, and sent again; the first was not.
    assert_eq!(ranges, ["0-67108863", "67108864-68157439", "67108864-68157439"]);
}

#[test]
fn a_registry_that_takes_no_large_requests_gets_small_ones() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "GET" => answer(204, &[("Range", "0-0")], ""),
        "PATCH" if asked.body.len() > 5 * MIB => answer(413, &[], "<html><title>413</title></html>"),
        _ => opened(asked).unwrap_or_else(|| answer(201, &[("Range", "0-5242879")], "")),
    });
    let bytes = bytes(6 * MIB);
    assert_eq!(push(&keeping(&server, directory.path(), "{}"), &bytes), Ok(2));
    assert!(patched(&server)[6 * MIB..] == bytes);
    let asked = server.asked();
    let lengths: Vec<usize> = asked
        .iter()
        .filter(|asked| asked.method == "PATCH")
        .map(|asked| asked.body.len())
        .collect();
    assert_eq!(lengths, [6 * MIB, 5 * MIB, MIB]);
}

#[test]
fn a_registry_that_keeps_nothing_of_a_broken_request_gets_chunks_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, before| match asked.method.as_str() {
        "PATCH" if before == 0 => Answer::Last(Vec::new()),
        "GET" => answer(204, &[("Range", "0-0")], ""),
        _ => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
    });
    let bytes = bytes(65 * MIB);
    assert_eq!(push(&keeping(&server, directory.path(), "{}"), &bytes), Ok(2));
    let asked = server.asked();
    let ranges: Vec<Option<&str>> = asked
        .iter()
        .filter(|asked| asked.method == "PATCH")
        .map(|asked| asked.header("Content-Range"))
        .collect();
    assert_eq!(ranges, [None, Some("0-67108863"), Some("67108864-68157439")]);
}

#[test]
fn two_processes_never_send_into_one_upload() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, before| match asked.method.as_str() {
        "POST" => answer(202, &[("Location", &format!("/up/{before}"))], ""),
        "PUT" => answer(201, &[], ""),
        _ => answer(202, &[], ""),
    });
    let registry = keeping(&server, directory.path(), "{}");
    let first = registry.begin_blob(3, Some(&key())).unwrap();
    push(&keeping(&server, directory.path(), "{}"), b"abc").unwrap();
    send(first, b"abc").unwrap();
    assert_eq!(
        (server.count("PATCH", "/up/0"), server.count("PATCH", "/up/1")),
        (1, 1)
    );
}

#[test]
fn an_address_at_another_host_may_be_a_secret_and_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Server::start(|_, _| answer(201, &[], ""));
    let to = format!("http://localhost:{}/up?signature=hunter2", storage.port);
    let server = Server::start(move |_, _| answer(202, &[("Location", &to)], ""));
    let registry = keeping(&server, directory.path(), &config(&server));
    let mut upload = registry.begin_blob(3, Some(&key())).unwrap();
    upload.write(b"ab").unwrap();
    drop(upload);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
    }
    push(&registry, b"abc").unwrap();
}

#[test]
fn nothing_secret_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        None => answer(401, &[("WWW-Authenticate", "Basic realm=x")], ""),
        Some(_) => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
    });
    let registry = keeping(&server, directory.path(), &config(&server));
    let mut upload = registry.begin_blob(3, Some(&key())).unwrap();
    upload.write(b"ab").unwrap();
    drop(upload);
    let kept = std::fs::read_dir(directory.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(kept).unwrap();
    assert!(
        text.contains("/up/1") && !text.contains("hunter2") && !text.contains("bWU6"),
        "{text}"
    );
}

#[test]
fn a_file_is_sent_without_being_read_here() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, _| opened(asked).unwrap_or_else(|| answer(202, &[], "")));
    let mut file = tempfile::tempfile().unwrap();
    let bytes = bytes(3 * MIB);
    file.write_all(&bytes).unwrap();
    let registry = keeping(&server, directory.path(), "{}");
    let mut upload = registry.begin_blob(4 + 2 * MIB as u64, None).unwrap();
    upload.write(b"head").unwrap();
    upload.write_file(&file, 5, 2 * MIB as u64).unwrap();
    upload.finish(&Digest::of(b"x")).unwrap();
    assert!(patched(&server) == [b"head", &bytes[5..5 + 2 * MIB]].concat());
    let mut upload = registry.begin_blob(100, None).unwrap();
    let error = upload.write_file(&file, 3 * MIB as u64 - 1, 100).unwrap_err();
    assert!(chain(&error).contains("shorter"), "{}", chain(&error));
}

#[test]
fn a_mount_that_is_not_granted_is_an_upload_already() {
    let server = Server::start(|asked, _| {
        let here = asked.target.contains("from=team%2Fbase");
        match asked.method.as_str() {
            "POST" if here => answer(201, &[], ""),
            // Whoever may not read there is told so.
            "POST" if asked.target.contains("from=secret") => answer(403, &[], ""),
            _ => opened(asked).unwrap_or_else(|| answer(202, &[], "")),
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let registry = keeping(&server, directory.path(), "{}");
    let layer = blob(b"abc");
    let begin = |from: &str| {
        registry
            .mount_or_begin(&layer, None, &from.parse().unwrap())
            .unwrap()
    };
    assert!(matches!(begin("team/base"), Begun::Mounted));
    assert_eq!(server.count("POST", "/"), 1);
    let Begun::Upload(upload) = begin("team/other") else {
        panic!("it was not granted");
    };
    send(upload, b"abc").unwrap();
    assert_eq!(server.count("POST", "/"), 2);
    assert!(matches!(begin("secret"), Begun::Upload(_)));
    assert_eq!(server.count("POST", "/"), 4);
    // Into itself makes no sense.
    assert!(matches!(begin("team/model"), Begun::Upload(_)));
    assert!(!server.asked().last().unwrap().target.contains("mount"));
}

#[test]
fn an_answer_that_comes_instead_of_reading_on_is_heard() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            while let Ok(1..) = stream.read(&mut head) {
                if head.starts_with(b"PATCH") {
                    // The connection stays, and nobody reads the rest.
                    stream
                        .write_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\nbusy")
                        .unwrap();
                    open.push(stream);
                    break;
                }
                stream
                    .write_all(b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\n\r\n")
                    .unwrap();
            }
        }
    });
    let keychain = modelkeep_client::Keychain::from_environment(&|_| None);
    let (host, name) = (format!("127.0.0.1:{port}").parse().unwrap(), "m".parse().unwrap());
    let registry = Registry::new(
        &host,
        &name,
        Access::Write,
        keychain,
        Settings::default(),
        &|_| None,
    )
    .unwrap();
    let bytes = bytes(64 * MIB);
    let mut upload = registry.begin_blob(bytes.len() as u64, None).unwrap();
    let error = chain(&upload.write(&bytes).unwrap_err());
    assert!(error.contains("410") && error.contains("busy"), "{error}");
}

#[test]
fn an_answer_without_headers_of_its_own_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "PATCH" => Answer::Bytes([head(202, &[("Content-Length", "0")]), b"\r\n".to_vec()].concat()),
        _ => opened(asked).unwrap(),
    });
    push(&keeping(&server, directory.path(), "{}"), b"abc").unwrap();
}
