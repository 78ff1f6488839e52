//! What a connection is doing, as the rest of the server may know it.

use super::shutdown::Shutdown;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const REAPED: u8 = 2;

/// Whether a connection waits for a request, so that it may be closed without loss.
#[derive(Debug)]
pub(crate) struct Phase {
    state: AtomicU8,
    /// Milliseconds since `epoch`.
    since: AtomicU64,
    epoch: Instant,
    shutdown: Shutdown,
}

impl Phase {
    pub(crate) fn new(epoch: Instant, shutdown: Shutdown) -> Self {
        let phase = Self {
            state: AtomicU8::new(IDLE),
            since: AtomicU64::new(0),
            epoch,
            shutdown,
        };
        phase.since.store(phase.now(), Ordering::Relaxed);
        phase
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The connection waits from now on. `false`: it must not, the server stops.
    pub(crate) fn rest(&self) -> bool {
        self.since.store(self.now(), Ordering::Relaxed);
        // A connection that was taken away stays so.
        let _ = self
            .state
            .compare_exchange(BUSY, IDLE, Ordering::SeqCst, Ordering::SeqCst);
        // After the store: either this sees the stop, or the stop sees the idle connection.
        !self.must_stop()
    }

    /// A request begins. `false`: the connection was taken away meanwhile.
    pub(crate) fn work(&self) -> bool {
        self.state
            .compare_exchange(IDLE, BUSY, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Takes the connection away if it is idle.
    pub(crate) fn reap(&self) -> bool {
        self.state
            .compare_exchange(IDLE, REAPED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Since when it waits, in milliseconds of the server's life; `None` while it is at work.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let idle = self.state.load(Ordering::SeqCst) == IDLE;
        idle.then(|| self.since.load(Ordering::Relaxed))
    }

    /// Whether the server stops.
    pub(crate) fn must_stop(&self) -> bool {
        self.shutdown.is_triggered()
    }
}
