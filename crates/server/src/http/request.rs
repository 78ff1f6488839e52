//! A request as its handler sees it.

use super::body::Body;
use super::head::{Head, Method};
use super::target::{self, Plus};
use super::turn::Turn;
use std::borrow::Cow;
use std::net::SocketAddr;

/// A request: its head is complete and well-formed, its body unread.
#[derive(Debug)]
pub struct Request<'c> {
    head: &'c Head,
    remote: SocketAddr,
    secure: bool,
    turn: &'c dyn Turn,
    /// The body, empty where there is none.
    pub body: Body<'c>,
}

impl<'c> Request<'c> {
    pub(crate) fn new(
        head: &'c Head,
        remote: SocketAddr,
        secure: bool,
        body: Body<'c>,
        turn: &'c dyn Turn,
    ) -> Self {
        Self {
            head,
            remote,
            secure,
            turn,
            body,
        }
    }

    /// Says that the answer may take more than a moment: it waits for something else than a small file, or computes.
    /// Other connections are then looked after by another thread. With a body that is so from the start.
    pub fn take_time(&self) {
        self.turn.take_time();
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.head.method()
    }

    /// The target as sent, in origin form: path, and query behind a `?`.
    pub fn target(&self) -> &'c str {
        self.head.target()
    }

    /// The path as sent, still percent-encoded.
    pub fn path(&self) -> &'c str {
        self.split().0
    }

    /// The path's segments, percent-decoded one by one, so that an encoded slash stays within its
    /// segment. `/v2/` has two: `v2` and an empty one.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'c, str>> + use<'c> {
        let path = self.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        path.split('/')
            .filter_map(|segment| target::decode(segment, Plus::Itself))
    }

    /// The query's pairs, decoded, in order; names may repeat.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'c, str>, Cow<'c, str>)> + use<'c> {
        target::pairs(self.split().1).flatten()
    }

    /// The first query value of this name.
    pub fn query_value(&self, name: &str) -> Option<Cow<'c, str>> {
        self.query()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    fn split(&self) -> (&'c str, &'c str) {
        let target = self.target();
        target.split_once('?').unwrap_or((target, ""))
    }

    /// The first value of a header field; names are compared without regard to case. A value that is
    /// not UTF-8 counts as absent.
    pub fn header(&self, name: &str) -> Option<&'c str> {
        self.headers(name).next()
    }

    /// All values of a header field, in order.
    pub fn headers<'n>(&self, name: &'n str) -> impl Iterator<Item = &'c str> + use<'c, 'n> {
        let head: &'c Head = self.head;
        head.values(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The peer's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Whether it came over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}
