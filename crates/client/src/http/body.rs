use std::io::{self, BufRead, Read};

/// How the end of a body is known (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// Each chunk says its size. `left` is what is still to come of this chunk; `Option` is `None` between chunks.
    Chunked { left: Option<u64>, first: bool },
    /// When the connection is closed.
    Close,
    /// It was read.
    Ended,
}

/// Longest line that says the size of a chunk, or that follows the last.
const LINE: u64 = 4096;
/// Most lines that may follow the last chunk.
const TRAILERS: usize = 64;

impl Framing {
    /// Reads some bytes of the body; 0 is its end.
    pub(crate) fn read(&mut self, from: &mut impl BufRead, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        match self {
            Self::Ended => Ok(0),
            Self::Close => {
                let came = from.read(into)?;
                if came == 0 {
                    *self = Self::Ended;
                }
                Ok(came)
            }
            Self::Length(left) => {
                let came = read_some(from, into, *left)?;
                *left -= came as u64;
                if *left == 0 {
                    *self = Self::Ended;
                }
                Ok(came)
            }
            Self::Chunked { left: Some(left), .. } if *left > 0 => {
                let came = read_some(from, into, *left)?;
                *left -= came as u64;
                Ok(came)
            }
            Self::Chunked { left, first } => {
                if !std::mem::take(first) {
                    let after = line(from)?;
                    if !after.is_empty() {
                        return Err(wrong("a chunk is longer than it said"));
                    }
                }
                let text = line(from)?;
                let size = text.split(';').next().unwrap_or_default().trim();
                let hexadecimal = !size.is_empty() && size.bytes().all(|b| b.is_ascii_hexdigit());
                let size = u64::from_str_radix(size, 16).ok().filter(|_| hexadecimal);
                let size = size.ok_or_else(|| wrong("a chunk has no size"))?;
                if size == 0 {
                    for _ in 0..TRAILERS {
                        if line(from)?.is_empty() {
                            *self = Self::Ended;
                            return Ok(0);
                        }
                    }
                    return Err(wrong("too many trailers"));
                }
                *left = Some(size);
                self.read(from, into)
            }
        }
    }
}

fn read_some(from: &mut impl BufRead, into: &mut [u8], most: u64) -> io::Result<usize> {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(into.len());
    if length == 0 {
        return Ok(0);
    }
    match from.read(&mut into[..length])? {
        0 => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the answer ended too early",
        )),
        came => Ok(came),
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(match bytes.len() as u64 + 1 {
            LINE => wrong("a line of a chunk is too long"),
            _ => io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended too early"),
        });
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| wrong("a chunk has no size"))
}

fn wrong(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut framing: Framing, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut from = bytes;
        let mut body = Vec::new();
        let mut piece = [0; 3];
        loop {
            match framing.read(&mut from, &mut piece)? {
                0 => return Ok(body),
                came => body.extend_from_slice(&piece[..came]),
            }
        }
    }

    const CHUNKED: Framing = Framing::Chunked {
        left: None,
        first: true,
    };

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(
            read(CHUNKED, b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nA: b\r\n\r\n").unwrap(),
            b"hello!"
        );
    }

    #[test]
    fn broken_chunks_are_refused() {
        for bytes in [
            &b"5\r\nhel"[..],
            b"5\r\nhello",
            b"x\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"\r\n",
            b"fffffffffffffffff\r\n",
        ] {
            assert!(read(CHUNKED, bytes).is_err(), "{bytes:?}");
        }
        assert!(read(CHUNKED, &[b'0'; 10_000]).is_err());
    }

    #[test]
    fn a_short_body_is_an_error() {
        assert_eq!(read(Framing::Length(3), b"abcdef").unwrap(), b"abc");
        let error = read(Framing::Length(7), b"abcdef").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(Framing::Close, b"abcdef").unwrap(), b"abcdef");
    }
}
