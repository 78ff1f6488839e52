use std::{os::unix::net::UnixListener, thread};

use super::*;

/// An engine that answers one request, and gives what it was sent.
fn engine(answer: &'static [u8], takes: usize) -> (Daemon, thread::JoinHandle<Vec<u8>>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            let came = stream.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..came]);
        }
        let body = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let mut rest = vec![0; takes.saturating_sub(request.len() - body)];
        stream.read_exact(&mut rest).unwrap();
        request.extend(rest);
        stream.write_all(answer).unwrap();
        request
    });
    (Daemon { socket }, asked, directory)
}

fn variable(value: &'static str) -> impl Fn(&str) -> Option<String> {
    move |name| (name == "DOCKER_HOST").then(|| value.to_owned())
}

#[test]
fn the_engine_is_the_one_that_the_environment_names() {
    let named = Daemon::from_environment(&variable("unix:///run/my.sock")).unwrap();
    assert_eq!(named.socket(), Path::new("/run/my.sock"));
    for default in [
        Daemon::from_environment(&|_| None),
        Daemon::from_environment(&variable("")),
    ] {
        assert_eq!(default.unwrap().socket(), Path::new(SOCKET));
    }
    for other in ["tcp://10.0.0.1:2375", "ssh://host", "unix://relative"] {
        assert!(Daemon::from_environment(&variable(other)).is_err(), "{other}");
    }
}

#[test]
fn an_image_is_saved_as_it_comes() {
    let (daemon, asked, _kept) = engine(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        0,
    );
    let mut bytes = Vec::new();
    daemon
        .save("ghcr.io/a/b:1")
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    assert_eq!(bytes, b"abcde");
    let asked = String::from_utf8(asked.join().unwrap()).unwrap();
    assert!(
        asked.starts_with("GET /images/ghcr.io/a/b:1/get HTTP/1.1\r\n"),
        "{asked}"
    );
}

#[test]
fn an_image_that_breaks_off_is_an_error() {
    let (daemon, _asked, _kept) = engine(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        0,
    );
    let mut bytes = Vec::new();
    assert!(daemon.save("a:1").unwrap().read_to_end(&mut bytes).is_err());
}

#[test]
fn an_image_that_is_not_there_is_not_found() {
    const ANSWER: &[u8] =
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 26\r\n\r\n{\"message\":\"No such image\"}";
    let (daemon, _asked, _kept) = engine(ANSWER, 0);
    assert!(matches!(
        daemon.save("a:1").err(),
        Some(content::Error::NotFound { .. })
    ));
    let (daemon, _asked, _kept) = engine(ANSWER, 0);
    assert!(daemon.inspect("a:1").unwrap().is_none());
}

#[test]
fn what_an_engine_says_of_an_image_is_read() {
    let (daemon, _asked, _kept) = engine(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"Id\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"RootFS\":{\"Type\":\"layers\"}}",
        0,
    );
    let inspected = daemon.inspect("a:1").unwrap().unwrap();
    assert_eq!(inspected.id.short(), "ba7816bf8f01");
    assert!(inspected.root_fs.layers.is_empty());
}

#[test]
fn an_archive_is_loaded_and_a_refusal_is_told() {
    let load = |answer, size| {
        let (daemon, asked, _kept) = engine(answer, 3);
        let loaded: Result<()> = daemon.load(size, |stream| {
            stream.write_all(b"tar").map_err(content::Error::io("write"))
        });
        (loaded, String::from_utf8(asked.join().unwrap()).unwrap())
    };
    let (loaded, asked) = load(b"HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"Loaded\"}\r\n", 3);
    loaded.unwrap();
    assert!(asked.starts_with("POST /images/load?quiet=1 "), "{asked}");
    assert!(
        asked.contains("Content-Length: 3\r\n") && asked.ends_with("tar"),
        "{asked}"
    );
    let refusals: [&[u8]; 2] = [
        b"HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"x\"}\n{\"errorDetail\":{},\"error\":\"no space\"}\n",
        b"HTTP/1.1 500 Error\r\nContent-Length: 22\r\n\r\n{\"message\":\"no space\"}",
    ];
    for answer in refusals {
        let (loaded, _) = load(answer, 3);
        let error = loaded.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no space"), "{cause}");
    }
}

#[test]
fn an_engine_that_is_not_there_is_told() {
    let daemon = Daemon {
        socket: "/nowhere/docker.sock".into(),
    };
    let error = daemon.inspect("a:1").unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("/nowhere/docker.sock"), "{cause}");
}
