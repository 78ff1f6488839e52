//! A request's body, read where the caller wants it.

use super::chunked::{self, LineFault};
use super::head::{Framing, Head};
use super::inbound::Inbound;
use super::limits::Limits;
use super::response::Status;
use super::wire::Wire;
use std::io::{self, Read};
use std::time::Duration;

/// What is wrong with a body; the cause inside the [`io::Error`] that reading it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The chunked coding is broken.
    #[error("the request body is malformed")]
    Malformed,
    /// The body exceeds a limit.
    #[error("the request body is too large")]
    TooLong,
    /// The body stopped moving.
    #[error("the request body took too long to arrive")]
    TooSlow,
    /// The connection ended before the body did.
    #[error("the request body ended early")]
    Ended,
}

impl BodyFault {
    /// The fault behind an error of [`Body`], or `None` where the connection itself failed.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// The status that says so.
    pub fn status(self) -> Status {
        match self {
            Self::Malformed | Self::Ended => Status::BAD_REQUEST,
            Self::TooLong => Status::CONTENT_TOO_LARGE,
            Self::TooSlow => Status::REQUEST_TIMEOUT,
        }
    }
}

impl From<BodyFault> for io::Error {
    fn from(fault: BodyFault) -> Self {
        let kind = match fault {
            BodyFault::Malformed => io::ErrorKind::InvalidData,
            BodyFault::TooLong => io::ErrorKind::FileTooLarge,
            BodyFault::TooSlow => io::ErrorKind::TimedOut,
            BodyFault::Ended => io::ErrorKind::UnexpectedEof,
        };
        Self::new(kind, fault)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Bytes of a body whose length was given.
    Sized(u64),
    /// Bytes of the chunk at hand.
    Chunk(u64),
    /// A chunk's size line comes next, the first or a later one.
    ChunkSize {
        first: bool,
    },
    Done,
    Broken(BodyFault),
}

/// A request's body. Reading it answers `Expect: 100-continue`; large reads go straight from the
/// socket into the caller's buffer. After an error the connection ends with the answer.
pub struct Body<'c> {
    inbound: &'c mut Inbound,
    left: Left,
    room: u64,
    expected: bool,
    window: Duration,
    moved: u64,
    begun: bool,
}

impl<'c> Body<'c> {
    pub(crate) fn new(inbound: &'c mut Inbound, head: &Head, limits: &Limits) -> Self {
        let left = match head.framing() {
            Framing::Sized(0) => Left::Done,
            Framing::Sized(length) => Left::Sized(length),
            Framing::Chunked => Left::ChunkSize { first: true },
        };
        let room = limits.body_bytes;
        let expected = head.expects_continue();
        Self {
            inbound,
            left,
            room,
            expected,
            window: limits.body,
            moved: 0,
            begun: false,
        }
    }

    /// Bytes still to come, where the client said.
    pub fn remaining(&self) -> Option<u64> {
        match self.left {
            Left::Sized(left) => Some(left),
            Left::Done => Some(0),
            Left::Chunk(_) | Left::ChunkSize { .. } | Left::Broken(_) => None,
        }
    }

    /// From here on at most `bytes` more are taken; a longer body is [`BodyFault::TooLong`].
    pub fn limit(&mut self, bytes: u64) {
        self.room = self.room.min(bytes);
    }

    /// Whether a read would find something, or the end, without waiting for longer than `patience`. It is no use
    /// before the first read: the client may wait for that.
    ///
    /// # Errors
    /// What the connection failed by.
    pub fn is_ready(&mut self, patience: Duration) -> io::Result<bool> {
        let waits = matches!(
            self.left,
            Left::Sized(_) | Left::Chunk(_) | Left::ChunkSize { .. }
        );
        if waits && self.inbound.buffered().is_empty() {
            return self.inbound.wire().is_ready(patience);
        }
        Ok(true)
    }

    /// Reads until `out` is full or the body has ended.
    ///
    /// # Errors
    /// As [`Body::read_all`], but for the length.
    pub fn fill(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            match self.read(&mut out[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Reads the whole body into memory.
    ///
    /// # Errors
    /// A [`BodyFault`] when it has more than `most` bytes, is malformed, stalls or ends early; else
    /// what the connection failed by.
    pub fn read_all(&mut self, most: u64) -> io::Result<Vec<u8>> {
        self.limit(most);
        let expected = self.remaining().unwrap_or(0).min(most).min(1024 * 1024);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn fail<T>(&mut self, fault: BodyFault) -> io::Result<T> {
        self.left = Left::Broken(fault);
        Err(fault.into())
    }

    fn fail_io<T>(&mut self, error: io::Error) -> io::Result<T> {
        if error.kind() == io::ErrorKind::TimedOut {
            return self.fail(BodyFault::TooSlow);
        }
        self.left = Left::Broken(BodyFault::Ended);
        Err(error)
    }

    fn fail_line<T>(&mut self, fault: LineFault) -> io::Result<T> {
        match fault {
            LineFault::Malformed => self.fail(BodyFault::Malformed),
            LineFault::Ended => self.fail(BodyFault::Ended),
            LineFault::Io(error) => self.fail_io(error),
        }
    }

    /// Before the first byte: the client may be waiting to hear that it is wanted.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        self.inbound.wire().allow_reads(self.window);
        if std::mem::take(&mut self.expected) && self.inbound.buffered().is_empty() {
            let wire = self.inbound.wire();
            let said = wire
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .and_then(|()| wire.flush());
            return said.or_else(|error| self.fail_io(error));
        }
        Ok(())
    }

    fn received(&mut self, bytes: usize) {
        self.room -= bytes as u64;
        self.moved += bytes as u64;
        if self.moved >= Limits::PROGRESS_BYTES {
            self.moved = 0;
            self.inbound.wire().allow_reads(self.window);
        }
    }

    /// Reads up to `left` bytes that are known to belong to the body.
    fn read_piece(&mut self, out: &mut [u8], left: u64, rest: fn(u64) -> Left) -> io::Result<usize> {
        let want = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = match self.left {
            Left::Chunk(_) => self.inbound.read_and_ahead(&mut out[..want]),
            _ => self.inbound.read(&mut out[..want]),
        };
        match read {
            Ok(0) => self.fail(BodyFault::Ended),
            Ok(read) => {
                self.left = rest(left - read as u64);
                self.received(read);
                Ok(read)
            }
            Err(error) => self.fail_io(error),
        }
    }

    /// The connection's other direction: the answer goes out while the body may be unread.
    pub(crate) fn wire(&mut self) -> &mut dyn Wire {
        self.inbound.wire()
    }

    /// Whether the connection can serve another request once [`Body::finish`] has run, as far as can
    /// be told now.
    pub(crate) fn may_finish(&self, drain: u64) -> bool {
        match self.left {
            Left::Done => true,
            Left::Sized(left) => !self.expected && left <= drain,
            Left::Chunk(_) | Left::ChunkSize { .. } => !self.expected,
            Left::Broken(_) => false,
        }
    }

    /// Reads away what the handler left, if it is little. `false`: the connection must end.
    pub(crate) fn finish(mut self, drain: u64) -> bool {
        if !self.may_finish(drain) {
            return false;
        }
        self.limit(drain);
        while self.left != Left::Done {
            let mut scratch = [0; 4096];
            if self.read(&mut scratch).is_err() {
                return false;
            }
        }
        true
    }
}

impl Read for Body<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() || self.left == Left::Done {
            return Ok(0);
        }
        if let Left::Sized(left) = self.left
            && left > self.room
        {
            return self.fail(BodyFault::TooLong);
        }
        self.begin()?;
        loop {
            match self.left {
                Left::Sized(left) => {
                    let rest = |left| {
                        if left == 0 { Left::Done } else { Left::Sized(left) }
                    };
                    return self.read_piece(out, left, rest);
                }
                Left::Chunk(left) => {
                    let rest = |left| {
                        if left == 0 {
                            Left::ChunkSize { first: false }
                        } else {
                            Left::Chunk(left)
                        }
                    };
                    return self.read_piece(out, left, rest);
                }
                Left::ChunkSize { first } => match chunked::next_size(self.inbound, !first) {
                    Ok(0) => {
                        if let Err(fault) = chunked::skip_trailers(self.inbound) {
                            return self.fail_line(fault);
                        }
                        self.left = Left::Done;
                    }
                    Ok(size) if size > self.room => return self.fail(BodyFault::TooLong),
                    Ok(size) => self.left = Left::Chunk(size),
                    Err(fault) => return self.fail_line(fault),
                },
                Left::Done => return Ok(0),
                Left::Broken(fault) => return Err(fault.into()),
            }
        }
    }
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
