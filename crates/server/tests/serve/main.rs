//! The server on real sockets.

#[cfg(test)]
mod common;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod tls;
