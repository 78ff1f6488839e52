//! The registry on real sockets and a real store.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

mod conformance;
mod support;
