use std::io::{self, BufRead, Read};

use super::body::Framing;

/// Most bytes of the head of an answer.
const HEAD: u64 = 64 << 10;
/// Most header lines.
const LINES: usize = 128;
/// Most answers like `100 Continue` before the real one.
const INTERIM: usize = 8;

/// Status and headers of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    keeps: bool,
}

impl Head {
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Self> {
        for _ in 0..INTERIM {
            let head = Self::read_one(from)?;
            if head.status >= 200 {
                return Ok(head);
            }
        }
        Err(wrong("too many interim answers"))
    }

    fn read_one(from: &mut impl BufRead) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut from = from.take(HEAD);
        loop {
            let before = bytes.len();
            from.read_until(b'\n', &mut bytes)?;
            let line = &bytes[before..];
            if !line.ends_with(b"\n") {
                return Err(match from.limit() {
                    0 => wrong("the headers are too long"),
                    _ => io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the connection was closed before an answer came",
                    ),
                });
            }
            if matches!(line, b"\n" | b"\r\n") {
                break;
            }
        }
        let mut lines = [httparse::EMPTY_HEADER; LINES];
        let mut parsed = httparse::Response::new(&mut lines);
        match parsed.parse(&bytes) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(wrong("the headers are not whole")),
            Err(_) => return Err(wrong("this is not HTTP/1.1")),
        }
        let headers: Vec<(String, String)> = parsed
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value);
                (header.name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        let mut head = Self {
            status: parsed.code.unwrap_or_default(),
            keeps: parsed.version == Some(1),
            headers,
        };
        let says = |word: &str| {
            let mut values = head.all("connection").flat_map(|value| value.split(','));
            values.any(|value| value.trim().eq_ignore_ascii_case(word))
        };
        head.keeps = head.keeps && !says("close");
        Ok(head)
    }

    /// The first header of this name, which must be in small letters.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All headers; names are in small letters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All headers of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The length that is announced; of a body, or of what `HEAD` was asked about.
    pub(crate) fn length(&self) -> io::Result<Option<u64>> {
        let mut lengths = self.all("content-length");
        let Some(first) = lengths.next() else {
            return Ok(None);
        };
        let digits = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
        match first.parse() {
            Ok(length) if digits && lengths.all(|other| other == first) => Ok(Some(length)),
            _ => Err(wrong("its Content-Length is no length")),
        }
    }

    /// How the body ends, and whether the connection serves again after it.
    pub(super) fn framing(&self, method: &str) -> io::Result<(Framing, bool)> {
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            return Ok((Framing::Ended, self.keeps));
        }
        if let Some(encoding) = self.get("transfer-encoding") {
            if !encoding.eq_ignore_ascii_case("chunked") {
                return Err(wrong("its Transfer-Encoding is not known"));
            }
            let chunked = Framing::Chunked {
                left: None,
                first: true,
            };
            return Ok((chunked, self.keeps));
        }
        Ok(match self.length()? {
            Some(0) => (Framing::Ended, self.keeps),
            Some(length) => (Framing::Length(length), self.keeps),
            None => (Framing::Close, false),
        })
    }
}

fn wrong(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> io::Result<Head> {
        Head::read(&mut text.as_bytes())
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let head = head("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nA: b\r\n\r\n").unwrap();
        assert_eq!((head.status, head.get("a")), (201, Some("b")));
    }

    #[test]
    fn heads_that_are_none_are_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(70_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200));
        for text in ["", "HTTP/1.1 200", "SSH-2.0-x\r\n\r\n", &long, &many] {
            assert!(head(text).is_err(), "{}", &text[..text.len().min(40)]);
        }
        let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
        assert!(head(&endless).is_err());
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        let head = |lines: &str| head(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n")).unwrap();
        assert!(
            head("Content-Length: 3\r\nContent-Length: 4\r\n")
                .framing("GET")
                .is_err()
        );
        assert!(head("Content-Length: +3\r\n").framing("GET").is_err());
        assert_eq!(
            head("Content-Length: 3\r\n").framing("GET").unwrap(),
            (Framing::Length(3), true)
        );
        assert_eq!(
            head("Connection: close\r\n").framing("HEAD").unwrap(),
            (Framing::Ended, false)
        );
    }
}
