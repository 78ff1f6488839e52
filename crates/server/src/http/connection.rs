//! One connection from its first request to its end.

use super::body::Body;
use super::head::{Framing, Head, Method, Refusal};
use super::inbound::Inbound;
use super::limits::Limits;
use super::outbound::{After, Outbound};
use super::phase::Phase;
use super::request::Request;
use super::response::{Response, Status};
use super::turn::Turn;
use super::wire::Wire;
use super::{Answered, Event, Handler};
use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What a connection's requests are answered with.
pub(crate) struct Context<'a> {
    pub(crate) handler: &'a dyn Handler,
    pub(crate) limits: &'a Limits,
    pub(crate) remote: SocketAddr,
    pub(crate) phase: &'a Phase,
    /// The thread that it runs on.
    pub(crate) turn: &'a dyn Turn,
}

/// How a connection stands when all that has come is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The peer has the word.
    Peer,
    /// Nobody has: it is over.
    Over,
}

/// How a connection reads heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Only what has come.
    Now,
    /// Waiting for it.
    Waiting,
}

/// A connection, between two of its requests or within the head of one.
pub(crate) struct Connection {
    inbound: Inbound,
    outbound: Outbound,
    head: Head,
    /// Whether the head that comes next is on the clock: the first is at once, because a handshake may have used some
    /// of its time, and others are from their first byte.
    timed: bool,
    /// Whether some of that head is there.
    begun: bool,
    /// When it must have come.
    deadline: Instant,
}

/// Why there is no next request.
enum NoHead {
    /// The peer is gone, was silent, or was told to be: nothing to answer.
    Silence,
    /// To be answered, then closed.
    Refused(Refusal),
}

impl From<Refusal> for NoHead {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Connection {
    pub(crate) fn new(wire: Box<dyn Wire>, limits: &Limits) -> Self {
        Self {
            inbound: Inbound::new(wire),
            outbound: Outbound::default(),
            head: Head::new(),
            timed: true,
            begun: false,
            deadline: Instant::now() + limits.head,
        }
    }

    /// Whether some of the next head is there.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// When the head that comes next is late.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Answers requests until nothing is left of what has come, or, [`Reading::Waiting`], until none has for as long as
    /// the limits say. What comes while the answers are given is left for the next time, or a client that never stops
    /// asking would never let go.
    pub(crate) fn serve(&mut self, context: &Context<'_>, reading: Reading) -> Next {
        let mut has_read = false;
        loop {
            match self.next_request(context, reading, &mut has_read) {
                Ok(true) => {}
                Ok(false) => return Next::Peer,
                Err(NoHead::Refused(refusal)) => {
                    refuse(&mut self.inbound, &mut self.outbound, context, refusal);
                    return Next::Over;
                }
                Err(NoHead::Silence) => return Next::Over,
            }
            if !exchange(&mut self.inbound, &mut self.outbound, &self.head, context) {
                return Next::Over;
            }
            self.begun = !self.inbound.buffered().is_empty();
            self.timed = self.begun;
            self.deadline = Instant::now() + self.time(context.limits);
            if !self.begun {
                if !context.phase.rest() {
                    return Next::Over;
                }
                if !self.inbound.wire().holds_back() {
                    return Next::Peer;
                }
            }
        }
    }

    /// Ends a connection whose next head is late.
    pub(crate) fn expire(&mut self, context: &Context<'_>) {
        if self.begun {
            refuse(&mut self.inbound, &mut self.outbound, context, LATE);
        }
    }

    /// How long the next head may take from now on.
    fn time(&self, limits: &Limits) -> Duration {
        if self.timed { limits.head } else { limits.idle }
    }

    /// Whether there is a next request: its head, that is.
    fn next_request(
        &mut self,
        context: &Context<'_>,
        reading: Reading,
        has_read: &mut bool,
    ) -> Result<bool, NoHead> {
        let limits = context.limits;
        if reading == Reading::Waiting {
            if !self.begun && context.phase.must_stop() {
                return Err(NoHead::Silence);
            }
            let time = self.time(limits);
            self.inbound.wire().allow_reads(time);
        }
        let length = loop {
            if let Some(length) = self.inbound.head(limits.head_bytes)? {
                break length;
            }
            let received = match reading {
                Reading::Now if *has_read && !self.inbound.wire().holds_back() => return Ok(false),
                Reading::Now => self.inbound.fetch_now(limits.head_bytes),
                Reading::Waiting => self.inbound.fetch(limits.head_bytes).map(Some),
            };
            *has_read = true;
            match received {
                Ok(None) => return Ok(false),
                Ok(Some(0)) => return Err(NoHead::Silence),
                Ok(Some(_)) if self.begun => {}
                Ok(Some(_)) => {
                    if !context.phase.work() {
                        return Err(NoHead::Silence);
                    }
                    (self.begun, self.timed) = (true, true);
                    self.deadline = Instant::now() + limits.head;
                    self.inbound.wire().allow_reads(limits.head);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut && self.begun => {
                    return Err(LATE.into());
                }
                Err(_) => return Err(NoHead::Silence),
            }
        };
        self.head.parse(&self.inbound.buffered()[..length])?;
        self.inbound.consume(length);
        match self.head.framing() {
            Framing::Sized(length) if length > limits.body_bytes => Err(NoHead::Refused(Refusal {
                status: Status::CONTENT_TOO_LARGE,
                reason: "the request body is too large",
            })),
            _ => Ok(true),
        }
    }
}

/// A head that did not come in time.
const LATE: Refusal = Refusal {
    status: Status::REQUEST_TIMEOUT,
    reason: "the request took too long to arrive",
};

/// Answers one request. `false`: the connection is over.
fn exchange(inbound: &mut Inbound, outbound: &mut Outbound, head: &Head, context: &Context<'_>) -> bool {
    let Context {
        handler,
        limits,
        remote,
        phase,
        turn,
    } = *context;
    if head.framing() != Framing::Sized(0) {
        turn.take_time();
    }
    let start = Instant::now();
    let secure = inbound.wire().is_secure();
    let body = Body::new(inbound, head, limits);
    let mut request = Request::new(head, remote, secure, body, turn);
    // A handler keeps its own state whole: what it shares is behind locks or in the store.
    let outcome = catch_unwind(AssertUnwindSafe(|| handler.handle(&mut request)));
    let response = outcome.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        handler.observe(&Event::Panicked {
            target: head.target(),
            message,
        });
        Response::error(Status::INTERNAL_ERROR, "UNKNOWN", "internal error").closing()
    });
    let mut body = request.body;
    let again =
        head.keep_alive() && !response.closes() && !phase.must_stop() && body.may_finish(limits.drain_bytes);
    let after = if again { After::KeepAlive } else { After::Close };
    let with_body = head.method() != Method::Head;
    let sent = outbound.send(body.wire(), context, &response, with_body, after);
    handler.observe(&Event::Answered(Answered {
        remote,
        method: head.method(),
        target: head.target(),
        status: response.status(),
        sent_bytes: sent.bytes,
        took: start.elapsed(),
        note: response.note(),
        error: sent.result.as_ref().err(),
    }));
    if sent.result.is_err() {
        return false;
    }
    let clean = body.finish(limits.drain_bytes);
    if again && clean {
        return true;
    }
    if !clean || !inbound.buffered().is_empty() {
        turn.take_time();
        linger(inbound, limits);
    } else {
        inbound.wire().end_writes();
    }
    false
}

fn refuse(inbound: &mut Inbound, outbound: &mut Outbound, context: &Context<'_>, refusal: Refusal) {
    let Refusal { status, reason } = refusal;
    context.turn.take_time();
    context.handler.observe(&Event::Refused {
        remote: context.remote,
        status,
        reason,
    });
    let code = if status == Status::CONTENT_TOO_LARGE {
        "SIZE_INVALID"
    } else {
        "UNSUPPORTED"
    };
    let response = Response::error(status, code, reason);
    let sent = outbound.send(inbound.wire(), context, &response, true, After::Close);
    if sent.result.is_ok() {
        linger(inbound, context.limits);
    }
}

/// Reads on for a moment: closing a socket with unread bytes in it resets the connection, and the
/// client may lose the answer (RFC 9112 section 9.6).
fn linger(inbound: &mut Inbound, limits: &Limits) {
    const MOST: usize = 1024 * 1024;
    let mut scratch = [0; 4096];
    let mut total = 0;
    let wire = inbound.wire();
    wire.end_writes();
    wire.allow_reads(limits.linger);
    while total < MOST {
        match wire.read(&mut scratch) {
            Ok(0) | Err(_) => return,
            Ok(read) => total += read,
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
