//! The chunked transfer coding, read strictly (RFC 9112 section 7.1).

use super::inbound::Inbound;
use std::io;

/// Bytes of a chunk's size line, extensions included.
const SIZE_LINE: usize = 256;
/// Bytes of all trailer fields, which are read and dropped.
const TRAILERS: usize = 8 * 1024;

/// What a line of the coding can fail by.
#[derive(Debug)]
pub(crate) enum LineFault {
    Malformed,
    Ended,
    Io(io::Error),
}

/// The next chunk's size. Between two chunks the line end of the first is read too.
pub(crate) fn next_size(inbound: &mut Inbound, after_chunk: bool) -> Result<u64, LineFault> {
    if after_chunk && !take_line(inbound, 2, str::is_empty)? {
        return Err(LineFault::Malformed);
    }
    take_line(inbound, SIZE_LINE, parse_size)?.ok_or(LineFault::Malformed)
}

/// Reads the trailer section, up to and with the empty line.
pub(crate) fn skip_trailers(inbound: &mut Inbound) -> Result<(), LineFault> {
    let mut left = TRAILERS;
    loop {
        let length = take_line(inbound, left, |line| {
            let named = line
                .split_once(':')
                .is_some_and(|(name, _)| !name.is_empty() && !name.contains([' ', '\t']));
            (line.is_empty() || named).then_some(line.len())
        })?;
        match length {
            Some(0) => return Ok(()),
            Some(length) => left = left.saturating_sub(length + 2),
            None => return Err(LineFault::Malformed),
        }
    }
}

/// Reads one line of at most `most` bytes, its CR LF included, and what `read` makes of it.
fn take_line<T>(inbound: &mut Inbound, most: usize, read: impl FnOnce(&str) -> T) -> Result<T, LineFault> {
    let mut seen = 0;
    loop {
        let bytes = inbound.buffered();
        let window = &bytes[..bytes.len().min(most)];
        if let Some(at) = window[seen..].iter().position(|byte| *byte == b'\n') {
            let line = &window[..seen + at];
            let line = line.strip_suffix(b"\r").ok_or(LineFault::Malformed)?;
            let text = std::str::from_utf8(line).map_err(|_| LineFault::Malformed)?;
            if text.chars().any(|c| c.is_control() && c != '\t') {
                return Err(LineFault::Malformed);
            }
            let result = read(text);
            let length = seen + at + 1;
            inbound.consume(length);
            return Ok(result);
        }
        seen = window.len();
        if seen == most {
            return Err(LineFault::Malformed);
        }
        match inbound.fetch(TRAILERS) {
            Ok(0) => return Err(LineFault::Ended),
            Ok(_) => {}
            Err(error) => return Err(LineFault::Io(error)),
        }
    }
}

/// Hexadecimal digits, then nothing or an extension that begins with `;`.
fn parse_size(line: &str) -> Option<u64> {
    let digits = line.split(';').next()?;
    if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_plain_hexadecimal() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("aF;name=\"value\""), Some(0xaf));
        assert_eq!(parse_size("ffffffffffffffff"), Some(u64::MAX));
        for wrong in [
            "",
            ";",
            "0x1",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1 ;a",
            "g",
            "10000000000000000",
        ] {
            assert_eq!(parse_size(wrong), None, "{wrong:?}");
        }
    }
}
