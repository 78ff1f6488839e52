//! Answers: a status, header fields and a body that may be a piece of a file.

use std::any::Any;
use std::fmt;
use std::fs::File;
use std::sync::Arc;

/// A status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal,)*) => {
        impl Status {
            $(#[doc = concat!($code, " ", $reason)] pub const $name: Self = Self($code);)*

            /// The reason phrase that goes with the code; empty where none is known.
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    OK = 200 "OK",
    CREATED = 201 "Created",
    ACCEPTED = 202 "Accepted",
    NO_CONTENT = 204 "No Content",
    PARTIAL_CONTENT = 206 "Partial Content",
    TEMPORARY_REDIRECT = 307 "Temporary Redirect",
    NOT_MODIFIED = 304 "Not Modified",
    BAD_REQUEST = 400 "Bad Request",
    UNAUTHORIZED = 401 "Unauthorized",
    FORBIDDEN = 403 "Forbidden",
    NOT_FOUND = 404 "Not Found",
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed",
    REQUEST_TIMEOUT = 408 "Request Timeout",
    CONFLICT = 409 "Conflict",
    LENGTH_REQUIRED = 411 "Length Required",
    PRECONDITION_FAILED = 412 "Precondition Failed",
    CONTENT_TOO_LARGE = 413 "Content Too Large",
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type",
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable",
    EXPECTATION_FAILED = 417 "Expectation Failed",
    TOO_MANY_REQUESTS = 429 "Too Many Requests",
    HEAD_TOO_LARGE = 431 "Request Header Fields Too Large",
    INTERNAL_ERROR = 500 "Internal Server Error",
    NOT_IMPLEMENTED = 501 "Not Implemented",
    UNAVAILABLE = 503 "Service Unavailable",
    VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported",
    INSUFFICIENT_STORAGE = 507 "Insufficient Storage",
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        self.0
    }

    /// Whether such an answer never has a body (RFC 9110 section 6.4.1).
    pub(crate) fn is_bodiless(self) -> bool {
        matches!(self.0, 204 | 304)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

/// An answer's body.
#[derive(Clone, Debug, Default)]
pub enum ReplyBody {
    /// No bytes, and `Content-Length: 0` where the status allows one.
    #[default]
    Empty,
    /// Bytes made for this answer.
    Owned(Vec<u8>),
    /// Bytes that many answers share, such as a cached manifest.
    Shared(Arc<[u8]>),
    /// A piece of a file, sent by the kernel where it can.
    File {
        /// Read by position: many answers may share it.
        file: Arc<File>,
        /// First byte.
        offset: u64,
        /// Number of bytes; the file must have them, or the connection is cut.
        length: u64,
    },
    /// What a `HEAD` answers when the bytes are not at hand: their length only. In answer to another
    /// method it ends the connection.
    HeadOf(u64),
}

impl ReplyBody {
    /// What `Content-Length` says.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Owned(bytes) => bytes.len() as u64,
            Self::Shared(bytes) => bytes.len() as u64,
            Self::File { length, .. } | Self::HeadOf(length) => *length,
        }
    }
}

/// An answer. `Date`, `Content-Length` and `Connection` are added when it is sent, and its body is
/// left out for `HEAD` with its length kept.
#[derive(Clone, Debug)]
pub struct Response {
    status: Status,
    fields: Vec<u8>,
    body: ReplyBody,
    close: bool,
    note: Option<Arc<dyn Any + Send + Sync>>,
}

impl Response {
    /// An answer without fields and body.
    pub fn new(status: Status) -> Self {
        Self {
            status,
            fields: Vec::with_capacity(512),
            body: ReplyBody::Empty,
            close: false,
            note: None,
        }
    }

    /// Adds a header field. Control characters in `value` become `?`, so that no value can end its
    /// line.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        use std::fmt::Write;
        self.fields.extend_from_slice(name.as_bytes());
        self.fields.extend_from_slice(b": ");
        write!(Value(&mut self.fields), "{value}").expect("writing to memory cannot fail");
        self.fields.extend_from_slice(b"\r\n");
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: ReplyBody) -> Self {
        self.body = body;
        self
    }

    /// Sets a JSON body and its type.
    #[must_use]
    pub fn json(self, bytes: Vec<u8>) -> Self {
        self.field("Content-Type", "application/json")
            .body(ReplyBody::Owned(bytes))
    }

    /// Sets a plain text body and its type.
    #[must_use]
    pub fn text(self, text: String) -> Self {
        self.field("Content-Type", "text/plain; charset=utf-8")
            .body(ReplyBody::Owned(text.into_bytes()))
    }

    /// An error in the shape of the distribution spec ("Error Codes"): one code, one message.
    pub fn error(status: Status, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
        Self::new(status).json(body.to_string().into_bytes())
    }

    /// Ends the connection after this answer.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// What the handler wants to hear of this answer when it has gone ([`super::Answered::note`]).
    #[must_use]
    pub fn noting(mut self, note: Arc<dyn Any + Send + Sync>) -> Self {
        self.note = Some(note);
        self
    }

    pub(crate) fn note(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.note.as_deref()
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The first value of a field that was added.
    pub fn get(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.fields).ok()?;
        let mut lines = text.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The body.
    pub fn reply_body(&self) -> &ReplyBody {
        &self.body
    }

    pub(crate) fn fields(&self) -> &[u8] {
        &self.fields
    }

    pub(crate) fn closes(&self) -> bool {
        self.close
    }
}

/// Takes the value of a field.
struct Value<'a>(&'a mut Vec<u8>);

impl fmt::Write for Value<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = self.0.len();
        self.0.extend_from_slice(text.as_bytes());
        for byte in &mut self.0[start..] {
            if byte.is_ascii_control() {
                *byte = b'?';
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_start_a_new_line() {
        let response = Response::new(Status::OK).field("Location", "/a\r\nSet-Cookie: b\0");
        assert_eq!(response.fields(), b"Location: /a??Set-Cookie: b?\r\n");
        assert_eq!(response.get("location"), Some("/a??Set-Cookie: b?"));
    }
}
