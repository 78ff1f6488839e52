//! One HTTP/1.1 exchange over a plain socket.
//!
//! The suite must send what real clients send, down to a missing length, an odd
//! header or a hand-framed body, and must see what really came back, down to
//! bytes after the end of an answer. An ordinary client library hides both.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::answer::{Answer, read_answer};

/// No single read, write or connect waits longer.
const STEP: Duration = Duration::from_secs(10);
/// No exchange lasts longer, however steadily its bytes drip.
const EXCHANGE: Duration = Duration::from_secs(60);
/// Size of the pieces in which a chunked body is sent.
const PIECE_BYTES: usize = 16 * 1024;

/// Why no answer could be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The socket failed or timed out.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// What came is not an HTTP/1.1 answer.
    #[error("malformed answer: {0}")]
    Malformed(String),
}

/// How a request's body is framed.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// No body and no `Content-Length`.
    None,
    /// A `Content-Length`, also when the body is empty.
    Sized(Vec<u8>),
    /// `Transfer-Encoding: chunked`, without a length.
    Chunked(Vec<u8>),
    /// Bytes as they go on the wire; the request carries its own framing headers.
    Framed(Vec<u8>),
}

/// A request as it will be written. The target is sent as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) wait_for_continue: bool,
}

impl Request {
    pub(crate) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Body::None,
            wait_for_continue: false,
        }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn head(target: impl Into<String>) -> Self {
        Self::new("HEAD", target)
    }

    pub(crate) fn delete(target: impl Into<String>) -> Self {
        Self::new("DELETE", target)
    }

    pub(crate) fn post(target: impl Into<String>) -> Self {
        Self::new("POST", target).sized(Vec::new())
    }

    pub(crate) fn patch(target: impl Into<String>) -> Self {
        Self::new("PATCH", target)
    }

    pub(crate) fn put(target: impl Into<String>) -> Self {
        Self::new("PUT", target)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn sized(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Sized(bytes.into());
        self
    }

    pub(crate) fn chunked(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Chunked(bytes.into());
        self
    }

    pub(crate) fn framed(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Framed(bytes.into());
        self
    }

    /// Marks the body as opaque bytes, as every blob upload does.
    pub(crate) fn octets(self) -> Self {
        self.header("Content-Type", "application/octet-stream")
    }

    /// Holds the body back until the server asks for it.
    pub(crate) fn expecting_continue(mut self) -> Self {
        self.wait_for_continue = true;
        self.header("Expect", "100-continue")
    }

    fn head_bytes(&self, authority: &str, connection: &str) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: oci-conformance\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Body::Sized(bytes) => head.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
            Body::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
            Body::None | Body::Framed(_) => {}
        }
        head.push_str(&format!("Connection: {connection}\r\n\r\n"));
        head.into_bytes()
    }

    fn body_bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Sized(bytes) | Body::Framed(bytes) => bytes.clone(),
            Body::Chunked(bytes) => chunked(bytes),
        }
    }
}

/// The chunked transfer encoding of `bytes`.
fn chunked(bytes: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(bytes.len() + 64);
    for piece in bytes.chunks(PIECE_BYTES) {
        wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}

/// A socket whose every step is bounded, and the whole exchange with it.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn budget(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the exchange took longer than 60 s",
            ));
        }
        Ok(left.min(STEP))
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.budget()?))?;
        self.stream.read(buf)
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.budget()?))?;
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A connection that carries one request after another.
pub(crate) struct Connection {
    wire: BufReader<Timed>,
    authority: String,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr, authority: &str) -> Result<Self, HttpError> {
        let stream = TcpStream::connect_timeout(&address, STEP)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            wire: BufReader::new(Timed {
                stream,
                deadline: Instant::now() + EXCHANGE,
            }),
            authority: authority.to_owned(),
        })
    }

    /// Sends a request that leaves the connection open.
    pub(crate) fn exchange(&mut self, request: &Request) -> Result<Answer, HttpError> {
        self.converse(request, "keep-alive")
    }

    /// Sends the connection's last request, and checks that nothing follows its answer.
    pub(crate) fn last_exchange(mut self, request: &Request) -> Result<Answer, HttpError> {
        let answer = self.converse(request, "close")?;
        let mut excess = [0; 256];
        match self.wire.read(&mut excess) {
            Ok(0) => Ok(answer),
            Ok(count) => Err(HttpError::Malformed(format!(
                "{} answered {} with at least {count} bytes after its end",
                request.method, answer.status
            ))),
            // An early refusal leaves our body unread, which resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(answer),
            Err(error) => Err(error.into()),
        }
    }

    fn converse(&mut self, request: &Request, connection: &str) -> Result<Answer, HttpError> {
        let socket = self.wire.get_mut();
        socket.deadline = Instant::now() + EXCHANGE;
        socket.write_all(&request.head_bytes(&self.authority, connection))?;
        if request.wait_for_continue {
            let answer = read_answer(&mut self.wire, request.method, true)?;
            if answer.status != 100 {
                return Ok(answer);
            }
        }
        // A server may refuse before it has read the body: its answer counts, not our write.
        let written = self.wire.get_mut().write_all(&request.body_bytes());
        let answer = read_answer(&mut self.wire, request.method, false);
        match (written, answer) {
            (_, Ok(answer)) => Ok(answer),
            (Err(error), Err(_)) => Err(error.into()),
            (Ok(()), Err(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn chunked_body_is_cut_in_pieces_and_ends_with_an_empty_chunk() {
        assert_eq!(text(chunked(b"hello")), "5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(text(chunked(b"")), "0\r\n\r\n");
        let two = chunked(&vec![b'x'; PIECE_BYTES + 1]);
        assert!(two.starts_with(b"4000\r\n"));
        assert!(two.ends_with(b"\r\n1\r\nx\r\n0\r\n\r\n"));
    }

    #[test]
    fn sized_request_has_a_length_even_when_empty() {
        let head = text(Request::post("/v2/a/blobs/uploads/").head_bytes("h:1", "close"));
        assert!(head.starts_with("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(head.contains("\r\nContent-Length: 0\r\n"));
        assert!(head.ends_with("\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn chunked_request_has_no_length() {
        let request = Request::patch("/x").chunked(*b"abc");
        let head = text(request.head_bytes("h:1", "close"));
        assert!(head.contains("Transfer-Encoding: chunked"));
        assert!(!head.contains("Content-Length"));
        assert_eq!(text(request.body_bytes()), "3\r\nabc\r\n0\r\n\r\n");
    }

    #[test]
    fn framed_request_adds_no_framing_of_its_own() {
        let request = Request::put("/x").header("cOnTeNt-LeNgTh", "3").framed(*b"abc");
        let head = text(request.head_bytes("h:1", "close"));
        assert!(head.contains("\r\ncOnTeNt-LeNgTh: 3\r\n"));
        assert!(!head.contains("Content-Length"));
    }

    /// A server that reads until it has seen `until`, answers, and hangs up.
    fn answering(until: &'static str, answer: &'static str) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(until.as_bytes()) && stream.read(&mut byte).unwrap() == 1 {
                seen.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    fn ask(address: SocketAddr, request: &Request) -> Result<Answer, HttpError> {
        Connection::open(address, "h").unwrap().last_exchange(request)
    }

    #[test]
    fn body_in_the_answer_to_head_is_found() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        let error = ask(answering("\r\n\r\n", answer), &Request::head("/v2/"));
        assert!(matches!(error, Err(HttpError::Malformed(_))));
    }

    #[test]
    fn refusal_before_the_body_was_read_is_an_answer() {
        let answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
        let put = Request::put("/x").sized(vec![0; 8 * 1024 * 1024]);
        let refused = ask(answering("\r\n\r\n", answer), &put);
        assert_eq!(refused.unwrap().status, 413);
    }

    #[test]
    fn body_is_sent_after_the_server_asks_for_it() {
        let put = Request::put("/x").sized(*b"held").expecting_continue();
        let continued = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        let answer = ask(answering("\r\n\r\n", continued), &put);
        assert_eq!(answer.unwrap().status, 201);
        let refused = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
        let answer = ask(answering("\r\n\r\n", refused), &put);
        assert_eq!(answer.unwrap().status, 417);
    }
}
