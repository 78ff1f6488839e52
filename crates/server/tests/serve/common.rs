//! A server on a free port of loopback, and a client that shows every byte.

use modelkeep_server::http::{
    Event, Handler, Limits, Request, Response, Served, Shutdown, Status, TlsFiles, serve,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Long enough for anything a test waits for; a test that needs it all has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Answer = dyn Fn(&mut Request<'_>) -> Response + Send + Sync;

struct Reporting {
    answer: Box<Answer>,
    events: Sender<String>,
}

impl Handler for Reporting {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        (self.answer)(request)
    }

    fn observe(&self, event: &Event<'_>) {
        // Nobody listens any more when the test is over.
        let _ = self.events.send(format!("{event:?}"));
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    events: Mutex<Receiver<String>>,
    thread: Option<JoinHandle<std::io::Result<Served>>>,
}

impl Running {
    pub(crate) fn start(
        limits: Limits,
        answer: impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(limits, None, answer)
    }

    pub(crate) fn start_with(
        limits: Limits,
        tls: Option<TlsFiles>,
        answer: impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new().unwrap();
        let (sender, events) = channel();
        let handler = Arc::new(Reporting {
            answer: Box::new(answer),
            events: sender,
        });
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || serve(&listener, tls, handler, &limits, &stop));
        Self {
            address,
            shutdown,
            events: Mutex::new(events),
            thread: Some(thread),
        }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client {
            reader: BufReader::with_capacity(256 * 1024, stream),
        }
    }

    pub(crate) fn next_event(&self, what: &str) -> String {
        loop {
            let event = self.events.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            if event.starts_with(what) {
                return event;
            }
        }
    }

    /// Waits for the server's end.
    pub(crate) fn join(mut self) -> Served {
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

pub(crate) struct Client {
    pub(crate) reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        self.receive()
    }

    /// One answer: its status and body.
    pub(crate) fn receive(&mut self) -> (u16, Vec<u8>) {
        let (status, length) = self.receive_head();
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).unwrap();
        (status, body)
    }

    pub(crate) fn receive_head(&mut self) -> (u16, usize) {
        let (mut status, mut length) = (0, 0);
        for index in 0.. {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            assert!(line.ends_with("\r\n"), "the head ended early: {line:?}");
            let line = line.trim_end();
            if index == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        (status, length)
    }

    /// What the server still sent before it closed the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).unwrap();
        rest
    }
}

pub(crate) fn hello(_: &mut Request<'_>) -> Response {
    Response::new(Status::OK).text("hello".to_owned())
}
