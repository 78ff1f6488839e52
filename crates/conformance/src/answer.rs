//! What a server answered, read strictly and within limits.

use std::io::{BufRead, Read};

use crate::http::HttpError;

/// The status line and all headers together.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Larger than anything the suite stores.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// Interim answers before the final one.
const MAX_INTERIM: usize = 8;

/// An answer with its whole body, chunked encoding removed.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a header, in the order they came.
    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Reads the final answer to a request; with `stop_at_continue` a `100` counts as one.
pub(crate) fn read_answer(
    wire: &mut impl BufRead,
    method: &str,
    stop_at_continue: bool,
) -> Result<Answer, HttpError> {
    for _ in 0..MAX_INTERIM {
        let mut answer = read_head(wire)?;
        if (100..200).contains(&answer.status) {
            if stop_at_continue && answer.status == 100 {
                return Ok(answer);
            }
            continue;
        }
        answer.body = read_body(wire, method, &answer)?;
        return Ok(answer);
    }
    Err(malformed("too many interim answers"))
}

fn malformed(what: impl Into<String>) -> HttpError {
    HttpError::Malformed(what.into())
}

fn read_line(wire: &mut impl BufRead, left: &mut usize) -> Result<String, HttpError> {
    let mut line = Vec::new();
    let count = wire.by_ref().take(*left as u64).read_until(b'\n', &mut line)?;
    *left -= count;
    if !line.ends_with(b"\r\n") {
        return Err(malformed(if *left == 0 {
            "head or chunk line too long".to_owned()
        } else {
            format!(
                "line {:?} does not end with CR LF",
                String::from_utf8_lossy(&line)
            )
        }));
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(|_| malformed("head is not UTF-8"))
}

fn read_head(wire: &mut impl BufRead) -> Result<Answer, HttpError> {
    let mut left = MAX_HEAD_BYTES;
    let line = read_line(wire, &mut left)?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse::<u16>().ok())
        .filter(|code| (100..600).contains(code))
        .ok_or_else(|| malformed(format!("status line {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(wire, &mut left)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']))
            .ok_or_else(|| malformed(format!("header line {line:?}")))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Answer {
        status,
        headers,
        body: Vec::new(),
    })
}

fn read_body(wire: &mut impl BufRead, method: &str, answer: &Answer) -> Result<Vec<u8>, HttpError> {
    if method == "HEAD" || matches!(answer.status, 204 | 304) {
        return Ok(Vec::new());
    }
    let encodings: Vec<_> = answer.headers("transfer-encoding").collect();
    let lengths: Vec<_> = answer.headers("content-length").collect();
    if !encodings.is_empty() {
        if encodings != ["chunked"] || !lengths.is_empty() {
            return Err(malformed(format!(
                "framing by {encodings:?} and lengths {lengths:?}"
            )));
        }
        return read_chunks(wire);
    }
    let mut body = Vec::new();
    match lengths.as_slice() {
        [] => {
            wire.take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut body)?;
            if body.len() > MAX_BODY_BYTES {
                return Err(malformed("body too long"));
            }
        }
        [length] => {
            let length = length
                .parse::<usize>()
                .ok()
                .filter(|length| *length <= MAX_BODY_BYTES)
                .ok_or_else(|| malformed(format!("Content-Length {length:?}")))?;
            wire.take(length as u64).read_to_end(&mut body)?;
            if body.len() != length {
                return Err(malformed(format!(
                    "status {} with Content-Length {length} and a body of {} bytes",
                    answer.status,
                    body.len()
                )));
            }
        }
        _ => return Err(malformed("more than one Content-Length")),
    }
    Ok(body)
}

fn read_chunks(wire: &mut impl BufRead) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    loop {
        let mut left = MAX_HEAD_BYTES;
        let line = read_line(wire, &mut left)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16)
            .ok()
            .filter(|size| *size <= MAX_BODY_BYTES - body.len())
            .ok_or_else(|| malformed(format!("chunk size {line:?}")))?;
        if size == 0 {
            while !read_line(wire, &mut left)?.is_empty() {}
            return Ok(body);
        }
        let before = body.len();
        wire.by_ref().take(size as u64).read_to_end(&mut body)?;
        if body.len() - before != size || !read_line(wire, &mut left)?.is_empty() {
            return Err(malformed("chunk does not have its announced size"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, method: &str) -> Result<Answer, HttpError> {
        read_answer(&mut text.as_bytes(), method, false)
    }

    #[test]
    fn sized_answer_is_read_to_its_length_and_no_further() {
        let mut wire = b"HTTP/1.1 200 OK\r\nX: 1\r\ncontent-length: 3\r\n\r\nabcdef".as_slice();
        let answer = read_answer(&mut wire, "GET", false).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"abc".as_slice()));
        assert_eq!(answer.header("Content-Length"), Some("3"));
        assert_eq!(wire, b"def");
    }

    #[test]
    fn chunked_answer_is_decoded_with_extensions_and_trailers() {
        let answer = parse(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
            "GET",
        );
        assert_eq!(answer.unwrap().body, b"abc0123456789");
    }

    #[test]
    fn interim_answers_are_passed_over_unless_asked_for() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(parse(text, "PUT").unwrap().status, 201);
        let interim = read_answer(&mut text.as_bytes(), "PUT", true).unwrap();
        assert_eq!(interim.status, 100);
    }

    #[test]
    fn head_answer_has_a_length_and_no_body() {
        let answer = parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD").unwrap();
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("content-length"), Some("9"));
    }

    #[test]
    fn answer_without_framing_lasts_until_the_end() {
        assert_eq!(parse("HTTP/1.0 200 OK\r\n\r\nrest", "GET").unwrap().body, b"rest");
    }

    #[test]
    fn malformed_answers_are_refused() {
        for text in [
            "",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20x OK\r\n\r\n",
            "HTTP/1.1 200 OK\n\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        ] {
            assert!(parse(text, "GET").is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn endless_head_is_refused() {
        let text = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD_BYTES));
        assert!(parse(&text, "GET").is_err());
    }
}
