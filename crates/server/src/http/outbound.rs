//! Writing an answer: one system call where it is small, `sendfile` where it is a file.

use super::connection::Context;
use super::date::DateCache;
use super::response::{ReplyBody, Response};
use super::turn::Turn;
use super::wire::{Meter, Piece, Wire, write_parts};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;

/// A body up to this length goes out in the buffer of its head.
const SMALL: u64 = 16 * 1024;

/// What a connection needs to write its answers; kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    buffer: Vec<u8>,
    date: DateCache,
}

/// How a written answer ends its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Close,
}

/// What was sent of an answer's body, and what cut it short.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) result: io::Result<()>,
}

impl Outbound {
    /// Writes `response`; its body only if `with_body`.
    pub(crate) fn send(
        &mut self,
        wire: &mut dyn Wire,
        context: &Context<'_>,
        response: &Response,
        with_body: bool,
        after: After,
    ) -> Sent {
        let mut meter = Meter::new(context.limits.body);
        self.write_head(response, after);
        let body = response.reply_body();
        let with_body = with_body && !response.status().is_bodiless();
        let result = if with_body {
            self.send_body(wire, body, &mut meter, context.turn)
        } else {
            self.flush(wire, &mut meter, context.turn)
        };
        let result = result.and_then(|()| wire.flush());
        let bytes = match (&result, with_body) {
            (Ok(()), true) => body.length(),
            (Err(_), true) => meter.total().min(body.length()),
            _ => 0,
        };
        Sent { bytes, result }
    }

    fn write_head(&mut self, response: &Response, after: After) {
        let status = response.status();
        let out = &mut self.buffer;
        out.clear();
        let mut line = |text: std::fmt::Arguments<'_>| {
            out.write_fmt(text).expect("writing to memory cannot fail");
        };
        line(format_args!("HTTP/1.1 {status}\r\nDate: {}\r\n", self.date.now()));
        if !status.is_bodiless() || response.reply_body().length() > 0 {
            line(format_args!(
                "Content-Length: {}\r\n",
                response.reply_body().length()
            ));
        }
        if after == After::Close {
            line(format_args!("Connection: close\r\n"));
        }
        out.extend_from_slice(response.fields());
        out.extend_from_slice(b"\r\n");
    }

    fn send_body(
        &mut self,
        wire: &mut dyn Wire,
        body: &ReplyBody,
        meter: &mut Meter,
        turn: &dyn Turn,
    ) -> io::Result<()> {
        match body {
            ReplyBody::Empty | ReplyBody::HeadOf(0) => self.flush(wire, meter, turn),
            // A handler's mistake: only the end of the connection keeps the client from waiting.
            ReplyBody::HeadOf(_) => {
                self.flush(wire, meter, turn)?;
                Err(io::Error::other(
                    "an answer to another method than HEAD has no body",
                ))
            }
            ReplyBody::Owned(bytes) => self.send_bytes(wire, bytes, meter, turn),
            ReplyBody::Shared(bytes) => self.send_bytes(wire, bytes, meter, turn),
            ReplyBody::File { file, offset, length } if *length <= SMALL => {
                let head = self.buffer.len();
                let length = usize::try_from(*length).expect("a small length fits in memory");
                self.buffer.resize(head + length, 0);
                file.read_exact_at(&mut self.buffer[head..], *offset)?;
                self.flush(wire, meter, turn)
            }
            ReplyBody::File { file, offset, length } => {
                let piece = Piece {
                    file,
                    offset: *offset,
                    length: *length,
                };
                turn.take_time();
                wire.send_file(&self.buffer, piece, meter)
            }
        }
    }

    fn send_bytes(
        &mut self,
        wire: &mut dyn Wire,
        bytes: &[u8],
        meter: &mut Meter,
        turn: &dyn Turn,
    ) -> io::Result<()> {
        if bytes.len() as u64 <= SMALL {
            self.buffer.extend_from_slice(bytes);
            return self.flush(wire, meter, turn);
        }
        turn.take_time();
        write_parts(wire, [&self.buffer, bytes], meter)
    }

    /// Sends the buffer: at once where the peer has read what it was sent before.
    fn flush(&mut self, wire: &mut dyn Wire, meter: &mut Meter, turn: &dyn Turn) -> io::Result<()> {
        let sent = match wire.write_now(&self.buffer) {
            Ok(sent) if sent == self.buffer.len() && !wire.is_behind() => return Ok(()),
            Ok(sent) => sent,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(error) => return Err(error),
        };
        turn.take_time();
        meter.moved(sent)?;
        write_parts(wire, [&self.buffer[sent..], &[]], meter)
    }
}
