//! A registry that says what a test wrote down, and remembers what it was asked.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is(&self, method: &str, beginning: &str) -> bool {
        self.method == method && self.target.starts_with(beginning)
    }
}

/// What is answered: bytes as they go over the wire.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These, and the connection goes on.
    Bytes(Vec<u8>),
    /// These, and the connection is closed.
    Last(Vec<u8>),
    /// These, in pieces of so many bytes, with a pause after each.
    Slowly(Vec<u8>, usize, Duration),
    /// These, and then the same piece for ever.
    Endless(Vec<u8>, Vec<u8>),
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let mut bytes = head(status, headers);
    bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend(body);
    Answer::Bytes(bytes)
}

/// An answer to `HEAD`: it speaks of `length` bytes, and none come.
pub(crate) fn head_answer(headers: &[(&str, &str)], length: usize) -> Answer {
    let mut bytes = head(200, headers);
    bytes.extend(format!("Content-Length: {length}\r\n\r\n").as_bytes());
    Answer::Bytes(bytes)
}

/// Status and headers, without the line that ends them.
pub(crate) fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} Something\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.into_bytes()
}

type Script = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request with what `script` says to it; it is told how many came before with the same method and
    /// target.
    pub(crate) fn start(script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, kept): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, asked) = (Arc::clone(&script), Arc::clone(&kept));
                thread::spawn(move || serve(&stream.unwrap(), &*script, &asked));
            }
        });
        Self { port, asked }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, method: &str, beginning: &str) -> usize {
        self.asked()
            .iter()
            .filter(|asked| asked.is(method, beginning))
            .count()
    }
}

fn serve(stream: &TcpStream, script: &Script, asked: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let before = {
            let mut asked = asked.lock().unwrap();
            let same = |other: &&Asked| other.method == request.method && other.target == request.target;
            let before = asked.iter().filter(same).count();
            asked.push(request.clone());
            before
        };
        let mut out = stream;
        // The client may have gone, as some tests want it to.
        match script(&request, before) {
            Answer::Bytes(bytes) => {
                if out.write_all(&bytes).is_err() {
                    return;
                }
            }
            Answer::Last(bytes) => {
                let _ = out.write_all(&bytes);
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            Answer::Slowly(bytes, length, pause) => {
                for piece in bytes.chunks(length) {
                    if out.write_all(piece).is_err() {
                        return;
                    }
                    thread::sleep(pause);
                }
            }
            Answer::Endless(bytes, piece) => {
                let mut sent = out.write_all(&bytes);
                while sent.is_ok() {
                    sent = out.write_all(&piece);
                }
                return;
            }
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&came| came > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        method,
        target,
        headers,
        body,
    })
}
