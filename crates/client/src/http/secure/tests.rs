//! Against the buffered connection of `rustls`, on the other side of a socket.

use std::{
    net::{Shutdown, TcpListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};

use super::*;

type Peer = StreamOwned<ServerConnection, TcpStream>;

/// A server that is believed to be `localhost`, and does `serve`; and what connects to it.
fn serving(
    version: &'static SupportedProtocolVersion,
    serve: impl FnOnce(Peer) + Send + 'static,
) -> (Arc<ClientConfig>, TcpStream, thread::JoinHandle<()>) {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = issued.cert.der().clone();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let server = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        serve(StreamOwned::new(
            ServerConnection::new(Arc::new(server)).unwrap(),
            socket,
        ));
    });
    (Arc::new(client), socket, server)
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

fn connected(serve: impl FnOnce(Peer) + Send + 'static) -> (Secure, thread::JoinHandle<()>) {
    let (config, socket, server) = serving(&TLS13, serve);
    (Secure::connect(config, localhost(), socket).unwrap(), server)
}

/// Bytes that tell whether one was lost or moved.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

#[test]
fn bytes_arrive_whole_whatever_is_read_at_once() {
    for version in [&TLS13, &TLS12] {
        for piece in [1_000, 16 << 10, 100_000, 1 << 20] {
            let sent = bytes(3_000_000);
            let expected = sent.clone();
            let (config, socket, server) = serving(version, move |mut peer| {
                peer.write_all(&sent).unwrap();
                peer.conn.send_close_notify();
                peer.flush().unwrap();
            });
            let mut secure = Secure::connect(config, localhost(), socket).unwrap();
            let (mut came, mut into) = (Vec::new(), vec![0; piece]);
            loop {
                match secure.read(&mut into).unwrap() {
                    0 => break,
                    length => came.extend_from_slice(&into[..length]),
                }
            }
            assert!(came == expected, "pieces of {piece}: {} bytes", came.len());
            assert_eq!(secure.read(&mut into).unwrap(), 0, "the end stays the end");
            server.join().unwrap();
        }
    }
}

#[test]
fn bytes_are_sent_whole_and_answered() {
    let (mut secure, server) = connected(|mut peer| {
        let mut came = vec![0; 3_000_000];
        peer.read_exact(&mut came).unwrap();
        peer.write_all(&came[2_999_000..]).unwrap();
    });
    let sent = bytes(3_000_000);
    secure.write_all(&sent).unwrap();
    let mut answer = [0; 1000];
    secure.read_exact(&mut answer).unwrap();
    assert!(answer == sent[2_999_000..]);
    server.join().unwrap();
}

#[test]
fn an_end_that_tls_does_not_know_of_is_an_error() {
    let (mut secure, server) = connected(|mut peer| {
        peer.write_all(b"half of it").unwrap();
        peer.sock.shutdown(Shutdown::Both).unwrap();
    });
    let mut into = [0; 100];
    assert_eq!(secure.read(&mut into).unwrap(), 10);
    let error = secure.read(&mut into).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    server.join().unwrap();
}

#[test]
fn another_host_is_refused_and_told_why() {
    let (said, hears) = mpsc::channel();
    let (config, socket, server) = serving(&TLS13, move |mut peer| {
        said.send(peer.read(&mut [0]).unwrap_err().to_string()).unwrap();
    });
    let error = Secure::connect(config, ServerName::try_from("example.com").unwrap(), socket)
        .err()
        .unwrap();
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    assert!(
        matches!(cause, Some(rustls::Error::InvalidCertificate(_))),
        "{error}"
    );
    let heard = hears.recv().unwrap();
    assert!(
        heard.contains("CertificateUnknown") || heard.contains("BadCertificate"),
        "{heard}"
    );
    server.join().unwrap();
}

#[test]
fn a_changed_record_ends_the_connection_for_good() {
    let (mut secure, server) = connected(|mut peer| {
        peer.write_all(b"true").unwrap();
        peer.write_all(b"false").unwrap();
        // An application record of 32 bytes that no key made, and then a true one again.
        peer.sock.write_all(&[23, 3, 3, 0, 32]).unwrap();
        peer.sock.write_all(&[7; 32]).unwrap();
        peer.write_all(b"true").unwrap();
        let _ = peer.read(&mut [0]);
    });
    let mut came = Vec::new();
    let mut into = [0; 4];
    let error = loop {
        match secure.read(&mut into) {
            Ok(length) => came.extend_from_slice(&into[..length]),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(b"truefalse".starts_with(&came[..]), "{came:?}");
    assert!(secure.read(&mut into).is_err());
    assert!(secure.write(b"x").is_err());
    drop(secure);
    server.join().unwrap();
}

#[test]
fn what_is_no_tls_is_refused() {
    for said in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[22, 3, 3, 255, 255, 1, 2, 3, 4],
        // A handshake message that says it has 16 MiB.
        &[22, 3, 3, 0, 4, 2, 255, 255, 255],
    ] {
        let (config, socket, server) = serving(&TLS13, move |mut peer| {
            peer.sock.write_all(said).unwrap();
            peer.sock.shutdown(Shutdown::Write).unwrap();
            let _ = io::copy(&mut peer.sock, &mut io::sink());
        });
        assert!(Secure::connect(config, localhost(), socket).is_err(), "{said:?}");
        server.join().unwrap();
    }
}

#[test]
fn tickets_are_no_answer_and_bytes_are() {
    let (go_on, may_go_on) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let (mut secure, server) = connected(move |mut peer| {
        // Reading takes the client's last message of the handshake, and tickets go out.
        peer.read_exact(&mut [0; 4]).unwrap();
        peer.flush().unwrap();
        done.send(()).unwrap();
        may_go_on.recv().unwrap();
        peer.write_all(b"answer").unwrap();
        done.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    secure.write_all(b"head").unwrap();
    is_done.recv().unwrap();
    let is_quiet = |secure: &mut Secure| {
        secure.socket().set_nonblocking(true).unwrap();
        let quiet = secure.is_quiet();
        secure.socket().set_nonblocking(false).unwrap();
        quiet
    };
    assert_eq!(secure.session.tls13_tickets_received(), 0);
    assert!(secure.socket().peek(&mut [0]).unwrap() > 0, "tickets have come");
    assert!(is_quiet(&mut secure));
    assert!(secure.session.tls13_tickets_received() > 0);
    go_on.send(()).unwrap();
    is_done.recv().unwrap();
    assert!(!is_quiet(&mut secure));
    let mut answer = [0; 6];
    secure.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    go_on.send(()).unwrap();
    server.join().unwrap();
}

#[test]
fn a_key_update_in_the_middle_changes_nothing() {
    let (mut secure, server) = connected(|mut peer| {
        for _ in 0..3 {
            peer.write_all(&bytes(100_000)).unwrap();
            peer.conn.refresh_traffic_keys().unwrap();
        }
        let mut back = [0; 4];
        peer.read_exact(&mut back).unwrap();
        peer.write_all(&back).unwrap();
    });
    let mut came = vec![0; 100_000];
    for _ in 0..3 {
        secure.read_exact(&mut came).unwrap();
        assert!(came == bytes(100_000));
    }
    secure.write_all(b"back").unwrap();
    let mut back = [0; 4];
    secure.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"back");
    server.join().unwrap();
}
