//! A small HTTP/1.1 server: [`serve`] runs it, a [`Handler`] answers.
//!
//! It speaks what registries' clients speak and refuses the rest: keep-alive, pipelining, sized and
//! chunked bodies, `Expect: 100-continue`, `HEAD`. No HTTP/2, no upgrades, no compression.
//! Anything two parsers could read differently (RFC 9112 section 11.2) ends the connection.

mod body;
mod chunked;
mod connection;
mod date;
mod head;
mod inbound;
mod limits;
mod outbound;
mod phase;
mod pool;
mod readiness;
mod rehearsal;
mod request;
mod response;
mod shutdown;
pub(crate) mod target;
mod tls;
mod turn;
mod wire;

pub use body::{Body, BodyFault};
pub use head::Method;
pub use limits::Limits;
pub use pool::{Served, serve};
pub use rehearsal::{fuzz_head, rehearse};
pub use request::Request;
pub use response::{ReplyBody, Response, Status};
pub use shutdown::Shutdown;
pub use tls::{TlsError, TlsFiles};

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Answers requests; shared by all connections.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. It may read the body, in part or not at all. A panic becomes a 500 and
    /// ends the connection, not the process.
    fn handle(&self, request: &mut Request<'_>) -> Response;

    /// Hears what happened: for logs and counters. It runs on the connection's thread.
    fn observe(&self, _event: &Event<'_>) {}
}

/// What the server tells its [`Handler`] beside requests.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection begins.
    Connected,
    /// A connection has ended.
    Disconnected,
    /// A request was answered, or its answer was cut short.
    Answered(Answered<'a>),
    /// A request's head was refused before it reached the handler.
    Refused {
        /// Who sent it.
        remote: SocketAddr,
        /// What it was told.
        status: Status,
        /// What was wrong.
        reason: &'static str,
    },
    /// The handler panicked; the message is the panic's.
    Panicked {
        /// The request's target.
        target: &'a str,
        /// The panic's message.
        message: &'a str,
    },
    /// A connection was turned away because all are in use.
    Full {
        /// Who was turned away.
        remote: SocketAddr,
    },
    /// A TLS handshake failed.
    Handshake {
        /// The peer.
        remote: SocketAddr,
        /// Why.
        error: &'a io::Error,
    },
    /// New certificate files could not be used; the old certificate stays.
    Reload(&'a TlsError),
    /// `accept` or the start of a thread failed; the server tries again.
    Accept(&'a io::Error),
}

/// One request and how its answer went.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Who asked.
    pub remote: SocketAddr,
    /// The method.
    pub method: Method,
    /// The target as sent.
    pub target: &'a str,
    /// The answer's status.
    pub status: Status,
    /// Bytes of the body that were handed to the system.
    pub sent_bytes: u64,
    /// From the complete head to the last byte handed over.
    pub took: Duration,
    /// What the handler noted with [`Response::noting`].
    pub note: Option<&'a (dyn Any + Send + Sync)>,
    /// Why the answer was cut short, if it was.
    pub error: Option<&'a io::Error>,
}

#[cfg(test)]
mod tests;
