//! A request's head: found, parsed, and checked for whatever two parsers could read differently.

use super::response::Status;
use super::target;
use std::{mem::MaybeUninit, ops::Range};

/// A request method. Case-sensitive (RFC 9110 section 9.1); what no route here serves is `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// Any other token.
    Other,
}

impl Method {
    fn from_token(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// The method as it is sent; `OTHER` for those that no route serves.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "OTHER",
        }
    }
}

/// Why a head is refused; the connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: Status,
    pub(crate) reason: &'static str,
}

impl Refusal {
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self {
            status: Status::BAD_REQUEST,
            reason,
        }
    }
}

/// Finds the end of a head in bytes that arrive bit by bit, looking at each byte once.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    seen: usize,
}

impl Scan {
    /// The head's length once its empty line is in `bytes`, which only ever grows between calls.
    /// Bare line ends and control characters are refused as soon as they are seen.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        for at in self.seen..bytes.len() {
            let after_return = at > 0 && bytes[at - 1] == b'\r';
            match bytes[at] {
                b'\n' if !after_return => return Err(Refusal::bad("a line ends without CR")),
                b'\n' if at >= 3 && bytes[at - 2] == b'\n' => return Ok(Some(at + 1)),
                b'\n' => {}
                _ if after_return => return Err(Refusal::bad("CR within a line")),
                b'\r' | b'\t' | b' '..=b'~' | 0x80.. => {}
                _ => return Err(Refusal::bad("control character in the head")),
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

/// How a request's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Sized(u64),
    Chunked,
}

/// A parsed head. One is reused for all requests of a connection.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    method: Method,
    target: Range<usize>,
    fields: Vec<(Range<usize>, Range<usize>)>,
    framing: Framing,
    expects_continue: bool,
    keep_alive: bool,
}

const MAX_FIELDS: usize = 96;

impl Head {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            method: Method::Other,
            target: 0..0,
            fields: Vec::new(),
            framing: Framing::Sized(0),
            expects_continue: false,
            keep_alive: false,
        }
    }

    /// Replaces what `self` held by the head in `bytes`, which [`Scan::find`] delimited.
    pub(crate) fn parse(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.fields.clear();
        // Three kilobytes that most requests need little of.
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(&self.bytes, &mut fields) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Refusal::bad("malformed request head")),
            Err(error) => return Err(refusal(error)),
        }
        let (Some(method), Some(sent), Some(minor)) = (request.method, request.path, request.version) else {
            return Err(Refusal::bad("malformed request line"));
        };
        let base = self.bytes.as_ptr() as usize;
        let span = |part: &[u8]| {
            let start = part.as_ptr() as usize - base;
            start..start + part.len()
        };
        self.method = Method::from_token(method);
        let origin = target::origin_form(sent).ok_or(Refusal::bad("malformed request target"))?;
        // "/" stands for the empty path of an absolute form and lies outside the head.
        let inside = !origin.is_empty() && sent.ends_with(origin);
        let target_span = if inside {
            span(&sent.as_bytes()[sent.len() - origin.len()..])
        } else {
            0..0
        };
        for field in request.headers.iter() {
            self.fields.push((span(field.name.as_bytes()), span(field.value)));
        }
        self.target = target_span;
        self.check(minor)
    }

    fn check(&mut self, minor: u8) -> Result<(), Refusal> {
        let host = {
            let mut hosts = self.values("host");
            (hosts.next(), hosts.next())
        };
        match host {
            (_, Some(_)) => return Err(Refusal::bad("more than one Host")),
            (None, _) if minor > 0 => return Err(Refusal::bad("no Host")),
            (Some(host), None) if !host.iter().all(|byte| is_host_byte(*byte)) => {
                return Err(Refusal::bad("malformed Host"));
            }
            _ => {}
        }
        let expected = self.values("expect").next().is_some();
        let unknown = |value: &[u8]| !value.eq_ignore_ascii_case(b"100-continue");
        if self.values("expect").any(unknown) {
            return Err(Refusal {
                status: Status::EXPECTATION_FAILED,
                reason: "unknown expectation",
            });
        }
        self.framing = self.find_framing(minor)?;
        self.expects_continue = expected && minor > 0;
        self.keep_alive = minor > 0 && !self.has_token("connection", b"close");
        Ok(())
    }

    fn find_framing(&self, minor: u8) -> Result<Framing, Refusal> {
        let mut codings = self.values("transfer-encoding");
        let mut lengths = self.values("content-length");
        let (coding, length) = (codings.next(), lengths.next());
        if codings.next().is_some() || lengths.next().is_some() {
            return Err(Refusal::bad("repeated Transfer-Encoding or Content-Length"));
        }
        match (coding, length) {
            (None, None) => Ok(Framing::Sized(0)),
            (Some(_), Some(_)) => Err(Refusal::bad("both Transfer-Encoding and Content-Length")),
            (Some(_), None) if minor == 0 => Err(Refusal::bad("Transfer-Encoding in HTTP/1.0")),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            (Some(_), None) => Err(Refusal {
                status: Status::NOT_IMPLEMENTED,
                reason: "unknown transfer coding",
            }),
            (None, Some(length)) => decimal(length)
                .map(Framing::Sized)
                .ok_or(Refusal::bad("malformed Content-Length")),
        }
    }

    /// The values of every field of this name, in order.
    pub(crate) fn values<'h, 'n>(&'h self, name: &'n str) -> impl Iterator<Item = &'h [u8]> + use<'h, 'n> {
        self.fields
            .iter()
            .filter(move |(field, _)| self.bytes[field.clone()].eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| &self.bytes[value.clone()])
    }

    fn has_token(&self, name: &str, token: &[u8]) -> bool {
        self.values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
    }

    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// The target in origin form; visible ASCII, checked when parsed.
    pub(crate) fn target(&self) -> &str {
        match std::str::from_utf8(&self.bytes[self.target.clone()]) {
            Ok(target) if !target.is_empty() => target,
            _ => "/",
        }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive
    }
}

fn refusal(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal {
            status: Status::HEAD_TOO_LARGE,
            reason: "too many header fields",
        },
        httparse::Error::Version => Refusal {
            status: Status::VERSION_NOT_SUPPORTED,
            reason: "not HTTP/1.1",
        },
        _ => Refusal::bad("malformed request head"),
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:[]%".contains(&byte)
}

/// Digits only: no sign, no space, no list, and no wrap-around.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, Refusal> {
        let length = Scan::default()
            .find(text.as_bytes())?
            .ok_or(Refusal::bad("incomplete"))?;
        let mut head = Head::new();
        head.parse(&text.as_bytes()[..length])?;
        Ok(head)
    }

    #[test]
    fn a_head_is_found_wherever_its_bytes_are_cut() {
        let text = b"GET /a HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\nrest";
        for cut in 0..text.len() {
            let mut scan = Scan::default();
            let first = scan.find(&text[..cut]).unwrap();
            let found = first.or_else(|| scan.find(text).unwrap());
            assert_eq!(found, Some(text.len() - 4), "cut at {cut}");
        }
    }

    #[test]
    fn an_absolute_target_is_reduced_to_its_path() {
        let head = parse("GET http://b/v2/?n=1 HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
        assert_eq!(head.target(), "/v2/?n=1");
        let head = parse("GET http://b HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
        assert_eq!(head.target(), "/");
    }

    #[test]
    fn lengths_are_plain_decimals() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "+1", "-1", " 1", "1 ", "0x1", "1,1", "18446744073709551616"] {
            assert_eq!(decimal(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn connections_stay_open_only_for_http_1_1_without_close() {
        let keep = |text: &str| parse(text).unwrap().keep_alive();
        assert!(keep("GET / HTTP/1.1\r\nHost: b\r\n\r\n"));
        assert!(!keep(
            "GET / HTTP/1.1\r\nHost: b\r\nConnection: TE, Close\r\n\r\n"
        ));
        assert!(!keep("GET / HTTP/1.0\r\n\r\n"));
    }
}
