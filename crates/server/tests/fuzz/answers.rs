//! What a connection was sent, taken apart without the server's code.

/// How many final answers there are, or what is wrong with one.
pub(crate) fn count(mut bytes: &[u8]) -> Result<usize, String> {
    let mut count = 0;
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Err(format!("half an answer: {}", String::from_utf8_lossy(bytes)));
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|error| error.to_string())?;
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let Some(status) = status.and_then(|status| status.parse::<u16>().ok()) else {
            return Err(format!("no answer: {head}"));
        };
        let mut length = 0;
        for line in lines {
            let Some((name, value)) = line.split_once(": ") else {
                return Err(format!("no field: {line:?} in {head}"));
            };
            let token = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if !token || value.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
                return Err(format!("a field that nobody wrote: {line:?} in {head}"));
            }
            if name == "Content-Length" {
                length = value.parse().map_err(|_| format!("a length of {value}"))?;
            }
        }
        if status >= 500 && ![501, 503, 505, 507].contains(&status) {
            return Err(format!("a fault of the server: {head}"));
        }
        // The answer to a HEAD says a length and has no bytes.
        let next = bytes.get(length..);
        if let Some(next) = next
            && (next.is_empty() || next.starts_with(b"HTTP/1.1 "))
        {
            bytes = next;
        } else if !bytes.is_empty() && !bytes.starts_with(b"HTTP/1.1 ") {
            return Err(format!("{} bytes where {length} were to be: {head}", bytes.len()));
        }
        if status >= 200 {
            count += 1;
        }
    }
    Ok(count)
}
