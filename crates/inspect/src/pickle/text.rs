//! The text opcodes: what Python makes of their lines.

/// A number as Python reads one in base ten: blanks around it, a sign, and single underscores are allowed.
pub(super) fn index(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    text.replace('_', "").parse().ok()
}

/// A quoted string of Python 2 with its escapes. Bytes become the characters of Latin-1.
pub(super) fn quoted(line: &[u8]) -> Option<String> {
    let line = line.trim_ascii();
    let (first, rest) = line.split_first()?;
    let (last, body) = rest.split_last()?;
    (first == last && matches!(first, b'\'' | b'"')).then_some(())?;
    let mut text = String::with_capacity(body.len());
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            text.push(char::from(byte));
            continue;
        }
        match bytes.next()? {
            b'\n' => {}
            b'a' => text.push('\x07'),
            b'b' => text.push('\x08'),
            b'f' => text.push('\x0c'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'v' => text.push('\x0b'),
            b'x' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                text.push(char::from(u8::from_str_radix(digits, 16).ok()?));
            }
            digit @ b'0'..=b'7' => {
                let mut code = u32::from(digit - b'0');
                for _ in 0..2 {
                    match bytes.peek() {
                        Some(next @ b'0'..=b'7') => {
                            code = code * 8 + u32::from(next - b'0');
                            bytes.next();
                        }
                        _ => break,
                    }
                }
                // Python keeps the low eight bits.
                text.push(char::from((code & 0xff) as u8));
            }
            other @ (b'\\' | b'\'' | b'"') => text.push(char::from(other)),
            other => {
                text.push('\\');
                text.push(char::from(other));
            }
        }
    }
    Some(text)
}

/// A line in `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            text.push(char::from(byte));
            continue;
        }
        let length = match rest.first() {
            Some(b'u') => 4,
            Some(b'U') => 8,
            Some(&other) => {
                text.push('\\');
                text.push(char::from(other));
                rest = &rest[1..];
                continue;
            }
            None => {
                text.push('\\');
                continue;
            }
        };
        let digits = std::str::from_utf8(rest.get(1..=length)?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let code = u32::from_str_radix(digits, 16).ok()?;
        // Halves of a pair are no characters here, and no part of the name of a module anywhere.
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &rest[length + 1..];
    }
    Some(text)
}

/// What Python 2 wrote as bytes, as Latin-1.
pub(super) fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of a text of Latin-1.
pub(super) fn to_latin_1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_what_python_makes_of_them() {
        for (line, text) in [
            (r"'os'", "os"),
            (r#""os""#, "os"),
            (r"'\x6fs'", "os"),
            (r"'\157\163'", "os"),
            (r"' o\\s\'' ", " o\\s'"),
            (r"'\q\n'", "\\q\n"),
            (r"'\400'", "\0"),
        ] {
            assert_eq!(quoted(line.as_bytes()).as_deref(), Some(text), "{line}");
        }
        for line in ["", "'", "os", "'os\"", r"'\x6'", r"'\'"] {
            assert_eq!(quoted(line.as_bytes()), None, "{line}");
        }
        for (line, text) in [
            (r"\u006f\U00000073", "os"),
            (r"\\u006f", r"\\u006f"),
            (r"\ud800", "\u{fffd}"),
            ("o\\", "o\\"),
        ] {
            assert_eq!(raw_unicode(line.as_bytes()).as_deref(), Some(text), "{line}");
        }
        for line in [r"\u006", r"\u+06f", r"\U0000007"] {
            assert_eq!(raw_unicode(line.as_bytes()), None, "{line}");
        }
        for (line, number) in [("12", 12), (" 12\r", 12), ("+1_2", 12)] {
            assert_eq!(index(line.as_bytes()), Some(number), "{line}");
        }
        assert_eq!(index(b"-1"), None);
    }
}
