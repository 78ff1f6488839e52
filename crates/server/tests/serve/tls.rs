//! The server behind TLS, with certificates made for the test.

use crate::common::{PATIENCE, Running};
use modelkeep_server::http::{Limits, ReplyBody, Response, Status, TlsError, TlsFiles};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

struct Certificate {
    directory: TempDir,
    der: rustls::pki_types::CertificateDer<'static>,
}

impl Certificate {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self {
            directory,
            der: made.cert.der().clone(),
        }
    }

    fn open(&self) -> Result<TlsFiles, TlsError> {
        TlsFiles::open(
            &self.directory.path().join("cert.pem"),
            &self.directory.path().join("key.pem"),
        )
    }

    fn connect(&self, server: &Running, alpn: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(session, stream)
    }
}

fn file_of(path: &Path, length: usize) -> (Arc<std::fs::File>, Vec<u8>) {
    let content: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
    std::fs::write(path, &content).unwrap();
    (Arc::new(std::fs::File::open(path).unwrap()), content)
}

#[test]
fn requests_and_files_go_through_tls() {
    let certificate = Certificate::new();
    let (file, content) = file_of(&certificate.directory.path().join("file"), 3_000_000);
    let length = content.len() as u64;
    let server = Running::start_with(
        Limits::default(),
        Some(certificate.open().unwrap()),
        move |request| {
            assert!(request.is_secure());
            match request.path() {
                "/file" => {
                    let body = ReplyBody::File {
                        file: Arc::clone(&file),
                        offset: 0,
                        length,
                    };
                    Response::new(Status::OK).body(body)
                }
                _ => {
                    let sent = request.body.read_all(1 << 24).unwrap();
                    Response::new(Status::OK).text(format!("{} ", sent.len()))
                }
            }
        },
    );
    let mut client = certificate.connect(&server, &["h2", "http/1.1"]);
    let body = vec![b'x'; 1_000_000];
    write!(
        client,
        "PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    client.write_all(&body).unwrap();
    client
        .write_all(b"GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answers = Vec::new();
    client.read_to_end(&mut answers).unwrap();
    assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(answers.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(answers.windows(8).any(|window| window == b"1000000 "));
    assert!(answers.ends_with(&content));
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Reads answers of `length` bytes, which hold no line ends.
fn receive(client: &mut impl Read, length: usize) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    assert!(body.iter().all(|byte| *byte == b'x'));
}

#[test]
fn records_that_come_in_pieces_and_answers_that_are_not_read_keep_nobody_waiting() {
    const LENGTH: usize = 12 * 1024;
    let certificate = Certificate::new();
    let server = Running::start_with(Limits::default(), Some(certificate.open().unwrap()), |_| {
        Response::new(Status::OK).body(ReplyBody::Owned(vec![b'x'; LENGTH]))
    });
    let processors = std::thread::available_parallelism().unwrap().get();
    let mut stubborn: Vec<_> = (0..processors)
        .map(|_| certificate.connect(&server, &[]))
        .collect();
    // The answers are more than the system keeps for those who do not read. The first is given by the thread that shook
    // hands.
    let many = REQUEST.repeat(2000);
    for client in &mut stubborn {
        client.write_all(REQUEST).unwrap();
        receive(client, LENGTH);
        client.write_all(&many).unwrap();
    }
    let mut slow = certificate.connect(&server, &[]);
    slow.write_all(REQUEST).unwrap();
    receive(&mut slow, LENGTH);
    slow.conn.writer().write_all(REQUEST).unwrap();
    let mut record = Vec::new();
    slow.conn.write_tls(&mut record).unwrap();
    for (at, byte) in record.iter().enumerate() {
        slow.sock.write_all(&[*byte]).unwrap();
        if at % 16 == 0 {
            let mut client = certificate.connect(&server, &[]);
            client.write_all(REQUEST).unwrap();
            receive(&mut client, LENGTH);
        }
    }
    receive(&mut slow, LENGTH);
    for client in &mut stubborn {
        (0..2000).for_each(|_| receive(client, LENGTH));
    }
}

#[test]
fn what_is_not_tls_is_closed_and_reported() {
    let certificate = Certificate::new();
    let server = Running::start_with(Limits::default(), Some(certificate.open().unwrap()), |_| {
        Response::new(Status::OK)
    });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(!client.rest().starts_with(b"HTTP/"));
    assert!(server.next_event("Handshake").contains("127.0.0.1"));
    let mut client = certificate.connect(&server, &[]);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "others are served");
}

#[test]
fn a_handshake_that_stops_is_closed_in_time() {
    let certificate = Certificate::new();
    let limits = Limits {
        head: std::time::Duration::from_millis(250),
        ..Limits::default()
    };
    let server = Running::start_with(limits, Some(certificate.open().unwrap()), |_| {
        Response::new(Status::OK)
    });
    let mut client = server.connect();
    client.send(b"\x16\x03\x01");
    assert_eq!(client.rest(), b"");
    assert!(server.next_event("Handshake").contains("TimedOut"));
}

#[test]
fn files_that_are_no_certificate_are_refused_at_start() {
    let certificate = Certificate::new();
    let other = Certificate::new();
    let path = |name: &str| certificate.directory.path().join(name);
    assert!(matches!(
        TlsFiles::open(&path("cert.pem"), &other.directory.path().join("key.pem")),
        Err(TlsError::Unusable { .. })
    ));
    assert!(matches!(
        TlsFiles::open(&path("key.pem"), &path("key.pem")),
        Err(TlsError::NoCertificate { .. })
    ));
    assert!(matches!(
        TlsFiles::open(&path("none.pem"), &path("key.pem")),
        Err(TlsError::Pem { .. })
    ));
    assert!(matches!(
        TlsFiles::open(&path("cert.pem"), &path("cert.pem")),
        Err(TlsError::Pem { .. })
    ));
}
