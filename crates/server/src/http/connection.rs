//! One connection from its first request to its end.

use super::body::Body;
use super::head::{Framing, Head, Method, Refusal};
use super::inbound::{Inbound, NoHead};
use super::limits::Limits;
use super::outbound::{After, Outbound};
use super::phase::Phase;
use super::request::Request;
use super::response::{Response, Status};
use super::wire::Wire;
use super::{Answered, Event, Handler};
use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What all connections of a server share.
pub(crate) struct Context<'a> {
    pub(crate) handler: &'a dyn Handler,
    pub(crate) limits: &'a Limits,
    pub(crate) remote: SocketAddr,
    pub(crate) phase: &'a Phase,
}

/// Serves requests until either side ends the connection.
pub(crate) fn run(wire: Box<dyn Wire>, context: &Context<'_>) {
    let mut inbound = Inbound::new(wire);
    let mut outbound = Outbound::default();
    let mut head = Head::new();
    let mut first = true;
    loop {
        match next_request(&mut inbound, &mut head, context, first) {
            Ok(()) => {}
            Err(NoHead::Refused(refusal)) => {
                return refuse(&mut inbound, &mut outbound, context, refusal);
            }
            Err(NoHead::Silence | NoHead::Reaped) => return,
        }
        first = false;
        if !exchange(&mut inbound, &mut outbound, &head, context) {
            return;
        }
    }
}

fn next_request(
    inbound: &mut Inbound,
    head: &mut Head,
    context: &Context<'_>,
    first: bool,
) -> Result<(), NoHead> {
    let length = inbound.await_head(context.limits, first, context.phase)?;
    head.parse(&inbound.buffered()[..length])?;
    inbound.consume(length);
    match head.framing() {
        Framing::Sized(length) if length > context.limits.body_bytes => Err(NoHead::Refused(Refusal {
            status: Status::CONTENT_TOO_LARGE,
            reason: "the request body is too large",
        })),
        _ => Ok(()),
    }
}

/// Answers one request. `false`: the connection is over.
fn exchange(inbound: &mut Inbound, outbound: &mut Outbound, head: &Head, context: &Context<'_>) -> bool {
    let Context {
        handler,
        limits,
        remote,
        phase,
    } = *context;
    let start = Instant::now();
    let secure = inbound.wire().is_secure();
    let body = Body::new(inbound, head, limits);
    let mut request = Request::new(head, remote, secure, body);
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
    let sent = outbound.send(body.wire(), limits, &response, with_body, after);
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
        linger(inbound, limits);
    } else {
        inbound.wire().end_writes();
    }
    false
}

fn refuse(inbound: &mut Inbound, outbound: &mut Outbound, context: &Context<'_>, refusal: Refusal) {
    let Refusal { status, reason } = refusal;
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
    let sent = outbound.send(inbound.wire(), context.limits, &response, true, After::Close);
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
