//! What a connection has received: a small buffer in front of its wire.

use super::head::{Refusal, Scan};
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
    scan: Scan,
}

impl Inbound {
    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            buffer: vec![0; INITIAL],
            start: 0,
            end: 0,
            scan: Scan::default(),
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
        self.make_room(most);
        let received = retry(|| self.wire.read(&mut self.buffer[self.end..]))?;
        self.end += received;
        Ok(received)
    }

    /// As [`Inbound::fetch`], without waiting: `None` where nothing has come.
    pub(crate) fn fetch_now(&mut self, most: usize) -> io::Result<Option<usize>> {
        self.make_room(most);
        match retry(|| self.wire.read_now(&mut self.buffer[self.end..])) {
            Ok(received) => {
                self.end += received;
                Ok(Some(received))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_room(&mut self, most: usize) {
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize((self.end * 2).min(most.max(self.end + 1)), 0);
            }
        }
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

    /// The length of the head that is buffered, `None` until it is whole.
    pub(crate) fn head(&mut self, most: usize) -> Result<Option<usize>, Refusal> {
        // Some clients end a body with a line end that belongs to nothing (RFC 9112 section 2.2).
        while self.buffered().starts_with(b"\r\n") {
            self.consume(2);
            self.scan = Scan::default();
        }
        match self.scan.find(&self.buffer[self.start..self.end])? {
            Some(length) if length <= most => {
                self.scan = Scan::default();
                Ok(Some(length))
            }
            None if self.buffered().len() < most => Ok(None),
            _ => Err(too_large()),
        }
    }
}

fn too_large() -> Refusal {
    Refusal {
        status: Status::HEAD_TOO_LARGE,
        reason: "the request head is too large",
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
