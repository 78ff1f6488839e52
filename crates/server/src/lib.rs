//! HTTP in front of the store.
//!
//! What is here needs no store: the HTTP/1.1 connection loop ([`http`]) and who may do what
//! ([`access`]). Routes are a [`http::Handler`]: they get a [`http::Request`], ask
//! [`access::Access`] whether it may go on, and give back a [`http::Response`].
//!
//! What takes its time blocks, on a thread of its own from a bounded pool, so that a stored file leaves by `sendfile`; what
//! takes but a moment is answered by the thread that awaits all connections. `docs/decisions/0005-own-http-loop.md` and
//! `0014-who-waits-has-no-thread.md` have the reasons and the figures.
//!
//! ```
//! use modelkeep_server::http::{Handler, Limits, Request, Response, Status, rehearse};
//!
//! struct Hello;
//! impl Handler for Hello {
//!     fn handle(&self, request: &mut Request<'_>) -> Response {
//!         Response::new(Status::OK).text(format!("you asked for {}", request.path()))
//!     }
//! }
//!
//! let answer = rehearse(&Hello, &Limits::default(), b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n");
//! assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
//! assert!(answer.ends_with(b"you asked for /v2/"));
//! ```
#![forbid(unsafe_code)]

pub mod access;
mod cache;
mod config;
mod ecr_public;
mod gate;
pub mod http;
mod keeper;
mod log;
mod metrics;
mod oci;
mod pushed;
mod registry;
mod reply;
mod route;
mod serve;
mod watched;

pub use config::{
    CreateRepositories, EcrPublicConfig, GcConfig, InvalidRegistryId, RegistryId, ServeConfig, StorageConfig,
    TlsConfig,
};
pub use registry::Registry;
pub use serve::{Server, StartError};
