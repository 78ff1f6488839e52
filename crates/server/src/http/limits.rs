//! The bounds that keep a hostile or slow client from costing more than its socket.

use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// Bounds of one server. Every field has a default; in a settings file times are whole seconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections at once. Beyond it the longest idle one is closed for a new one; when none is
    /// idle, the new one is answered 503.
    pub connections: usize,
    /// Bytes of a request's head (request line and header fields).
    pub head_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Bytes of an unread body that are read away to keep a connection.
    pub drain_bytes: u64,
    /// From a head's first byte (or the connection's start, TLS handshake included) to its last.
    #[serde(rename = "head_seconds", deserialize_with = "seconds")]
    pub head: Duration,
    /// In this time at least [`Limits::PROGRESS_BYTES`] of a body must move, either way.
    #[serde(rename = "body_seconds", deserialize_with = "seconds")]
    pub body: Duration,
    /// How long a connection may wait for its next request.
    #[serde(rename = "idle_seconds", deserialize_with = "seconds")]
    pub idle: Duration,
    /// How long a closing connection is read on, so that the client sees the last answer.
    #[serde(rename = "linger_seconds", deserialize_with = "seconds")]
    pub linger: Duration,
    /// How long requests in flight may go on after a shutdown began.
    #[serde(rename = "shutdown_seconds", deserialize_with = "seconds")]
    pub shutdown: Duration,
    /// Stack of a connection's thread.
    pub stack_bytes: usize,
}

impl Limits {
    /// What must move in [`Limits::body`] for a transfer to count as alive.
    pub const PROGRESS_BYTES: u64 = 4 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head_bytes: 32 * 1024,
            body_bytes: u64::MAX,
            drain_bytes: 64 * 1024,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            linger: Duration::from_secs(2),
            shutdown: Duration::from_secs(30),
            stack_bytes: 256 * 1024,
        }
    }
}

/// A time of zero would mean "no limit" to the system, so the least is one second.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    Ok(Duration::from_secs(u64::from(seconds.max(1))))
}
