//! A client of the server.

use super::Pool;
use crate::http::Event;
use crate::http::connection::{Connection, Context, Next, Reading};
use crate::http::phase::Phase;
use crate::http::turn::{Alone, Turn};
use crate::http::wire::Wire;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// A client, with its connection or, before the handshake, without.
pub(super) struct Client<C> {
    pub(super) connection: C,
    pub(super) stream: Arc<TcpStream>,
    pub(super) remote: SocketAddr,
    pub(super) phase: Arc<Phase>,
    pub(super) admission: Admission,
}

/// That a connection counts: until this is dropped.
pub(super) struct Admission {
    pub(super) pool: Arc<Pool>,
    pub(super) number: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        // A panic in it must not leak the connection.
        let handler = &self.pool.handler;
        let _ = catch_unwind(AssertUnwindSafe(|| handler.observe(&Event::Disconnected)));
        self.pool.lock().live.remove(&self.number);
    }
}

impl Client<()> {
    /// With its connection.
    pub(super) fn connected(self, wire: Box<dyn Wire>) -> Box<Client<Connection>> {
        let Self {
            stream,
            remote,
            phase,
            admission,
            ..
        } = self;
        let connection = Connection::new(wire, &admission.pool.limits);
        Box::new(Client {
            connection,
            stream,
            remote,
            phase,
            admission,
        })
    }
}

impl Client<Connection> {
    /// Answers what has come.
    pub(super) fn serve(&mut self, reading: Reading, turn: &dyn Turn) -> Next {
        self.attend(turn, |connection, context| connection.serve(context, reading))
    }

    /// Ends it, because its next request is late.
    pub(super) fn expire(mut self: Box<Self>) {
        self.attend(&Alone, |connection, context| {
            connection.expire(context);
            Next::Over
        });
    }

    fn attend(&mut self, turn: &dyn Turn, act: impl FnOnce(&mut Connection, &Context<'_>) -> Next) -> Next {
        let pool = &*self.admission.pool;
        let context = Context {
            handler: &*pool.handler,
            limits: &pool.limits,
            remote: self.remote,
            phase: &self.phase,
            turn,
        };
        // The handler's panics are caught nearer; this is for one in its observer.
        catch_unwind(AssertUnwindSafe(|| act(&mut self.connection, &context))).unwrap_or(Next::Over)
    }

    pub(super) fn is_late(&self) -> bool {
        self.connection.deadline() <= Instant::now()
    }
}
