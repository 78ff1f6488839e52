//! What a connection has received: a small buffer in front of its wire.

use super::head::{Refusal, Scan};
use super::limits::Limits;
use super::phase::Phase;
use super::response::Status;
use super::wire::Wire;
use std::io::{self, IoSliceMut, Read};

const INITIAL: usize = 8 * 1024;

/// The wire and what was read from it ahead of need: pipelined requests wait here.
pub(crate) struct Inbound {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Why there is no next request.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The peer is gone, or was silent: nothing to answer.
    Silence,
    /// To be answered, then closed.
    Refused(Refusal),
    /// The connection was taken away to make room or to shut down.
    Reaped,
}

impl From<Refusal> for NoHead {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Inbound {
    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            buffer: vec![0; INITIAL],
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn wire(&mut self) -> &mut dyn Wire {
        &mut *self.wire
    }

    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.end - self.start, "only buffered bytes are consumed");
        self.start += bytes;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once, behind what is buffered, which may take `most` bytes. 0 is the end.
    pub(crate) fn fetch(&mut self, most: usize) -> io::Result<usize> {
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize((self.end * 2).min(most.max(self.end + 1)), 0);
            }
        }
        let received = retry(|| self.wire.read(&mut self.buffer[self.end..]))?;
        self.end += received;
        Ok(received)
    }

    /// Reads into `out`: what is buffered first, else straight from the wire.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.take_buffered(out) {
            0 => retry(|| self.wire.read(out)),
            taken => Ok(taken),
        }
    }

    /// Reads into `out` as [`Inbound::read`], and what follows into the buffer in the same call.
    pub(crate) fn read_and_ahead(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.take_buffered(out);
        if taken > 0 {
            return Ok(taken);
        }
        let (wire, buffer) = (&mut self.wire, &mut self.buffer);
        let received = retry(|| wire.read_vectored(&mut [IoSliceMut::new(out), IoSliceMut::new(buffer)]))?;
        let direct = received.min(out.len());
        (self.start, self.end) = (0, received - direct);
        Ok(direct)
    }

    fn take_buffered(&mut self, out: &mut [u8]) -> usize {
        let taken = out.len().min(self.end - self.start);
        out[..taken].copy_from_slice(&self.buffer[self.start..self.start + taken]);
        self.consume(taken);
        taken
    }

    /// Waits for a whole head and gives its length; it stays buffered.
    pub(crate) fn await_head(
        &mut self,
        limits: &Limits,
        first: bool,
        phase: &Phase,
    ) -> Result<usize, NoHead> {
        let mut scan = Scan::default();
        let mut begun = !self.buffered().is_empty();
        // A connection's first head is on the clock at once: a handshake may have used some of it.
        self.wire
            .allow_reads(if first || begun { limits.head } else { limits.idle });
        if !begun && !phase.rest() {
            return Err(NoHead::Reaped);
        }
        loop {
            // Some clients end a body with a line end that belongs to nothing (RFC 9112 section 2.2).
            while self.buffered().starts_with(b"\r\n") {
                self.consume(2);
                scan = Scan::default();
            }
            if let Some(length) = scan.find(self.buffered())? {
                return if length <= limits.head_bytes {
                    Ok(length)
                } else {
                    Err(too_large())
                };
            }
            if self.buffered().len() >= limits.head_bytes {
                return Err(too_large());
            }
            match self.fetch(limits.head_bytes) {
                Ok(0) => return Err(NoHead::Silence),
                Ok(_) if begun => {}
                Ok(_) => {
                    begun = true;
                    if !phase.work() {
                        return Err(NoHead::Reaped);
                    }
                    self.wire.allow_reads(limits.head);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut && begun => {
                    let reason = "the request took too long to arrive";
                    return Err(Refusal {
                        status: Status::REQUEST_TIMEOUT,
                        reason,
                    }
                    .into());
                }
                Err(_) => return Err(NoHead::Silence),
            }
        }
    }
}

fn too_large() -> NoHead {
    Refusal {
        status: Status::HEAD_TOO_LARGE,
        reason: "the request head is too large",
    }
    .into()
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
