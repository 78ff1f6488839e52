//! The registry on real sockets and a real store.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

mod access;
mod conformance;
mod ecr_public;
mod history;
mod hostile;
mod immutability;
mod operation;
mod processes;
mod support;
