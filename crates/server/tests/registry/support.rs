//! Servers on free ports of loopback, and a client that shows what they answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use modelkeep_core::{Digest, media};
use modelkeep_server::{
    ServeConfig, Server, StorageConfig,
    http::{Served, Shutdown},
};
use modelkeep_store::Store;
use tempfile::TempDir;

/// Long enough for anything a test waits for; a test that needs it all has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with its test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    log: Mutex<Receiver<String>>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<Served>>,
    home: Option<TempDir>,
}

impl Running {
    /// A free port, and no more of the disk spared than any machine has.
    pub(crate) fn config() -> ServeConfig {
        ServeConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            storage: StorageConfig {
                headroom_mebibytes: 1,
            },
            ..ServeConfig::default()
        }
    }

    /// On a store of its own.
    pub(crate) fn start(config: ServeConfig) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut running = Self::start_on(&home.path().join("store"), config);
        running.home = Some(home);
        running
    }

    pub(crate) fn start_on(store: &Path, config: ServeConfig) -> Self {
        let (sender, log) = channel();
        // Nobody listens any more when the test is over.
        let sink = move |line: &str| sender.send(line.to_owned()).unwrap_or_default();
        let server = Server::bind(Store::create(store).unwrap(), config, sink).unwrap();
        Self {
            address: server.address(),
            url: server.url(),
            log: Mutex::new(log),
            shutdown: server.shutdown(),
            thread: Some(std::thread::spawn(move || server.run().unwrap())),
            home: None,
        }
    }

    /// The store that [`Running::start`] made.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.home.as_ref().unwrap().path().join("store")).unwrap()
    }

    /// Waits for a line of the log that has `text` in it.
    pub(crate) fn logged(&self, text: &str) -> String {
        let log = self.log.lock().unwrap();
        loop {
            let line = log.recv_timeout(PATIENCE).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n");
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = format!("{request}\r\n").into_bytes();
        bytes.extend(body);
        let mut answer = Vec::new();
        let mut stream = self.connect();
        stream.write_all(&bytes).unwrap();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Pushes a small image that differs from others by `mark`, and gives the answer and its digest.
    pub(crate) fn push(&self, repository: &str, reference: &str, mark: &str) -> (Answer, Digest) {
        self.push_as(repository, reference, mark, &[])
    }

    pub(crate) fn push_as(
        &self,
        repository: &str,
        reference: &str,
        mark: &str,
        fields: &[(&str, &str)],
    ) -> (Answer, Digest) {
        let config = Digest::of(b"{}");
        let path = format!("/v2/{repository}/blobs/uploads/?digest={config}");
        let blob = self.send("POST", &path, fields, b"{}");
        assert_eq!(blob.status, 201, "{}", blob.text());
        let manifest = manifest(mark);
        let digest = Digest::of(manifest.as_bytes());
        let path = format!(
            "/v2/{repository}/manifests/{}",
            reference.replace("DIGEST", &digest.to_string())
        );
        let fields = [fields, &[("Content-Type", media::OCI_MANIFEST)]].concat();
        let answer = self.send("PUT", &path, &fields, manifest.as_bytes());
        (answer, digest)
    }
}

/// A manifest over the blob `{}`.
pub(crate) fn manifest(mark: &str) -> String {
    let config = Digest::of(b"{}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"{config}"}},"layers":[],"annotations":{{"mark":"{mark}"}}}}"#,
        media::OCI_MANIFEST
    )
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take() {
            // A panic of the server has shown already.
            let _ = thread.join();
        }
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Refused in this way, with a body that says so.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status, status, "{}", self.text());
        assert!(
            self.text().contains(&format!("\"code\":\"{code}\"")),
            "{}",
            self.text()
        );
        self
    }
}
