//! Connections without a network: for tests of handlers, and for fuzzing.

use super::connection::{Connection, Context, Next, Reading};
use super::limits::Limits;
use super::phase::Phase;
use super::request::Request;
use super::response::{Response, Status};
use super::shutdown::Shutdown;
use super::turn::Alone;
use super::wire::Wire;
use super::{BodyFault, Handler};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a connection on which `input` arrives, and then its end, is sent in answer.
///
/// # Panics
/// When the process has no file descriptors left.
pub fn rehearse(handler: &dyn Handler, limits: &Limits, input: &[u8]) -> Vec<u8> {
    converse(handler, limits, &[input], Reading::Waiting)
}

/// As [`rehearse`], on a connection that is parked until the next of `pieces` comes. Each read gives no more than the
/// rest of one piece.
#[cfg(test)]
pub(crate) fn rehearse_in_pieces(handler: &dyn Handler, limits: &Limits, pieces: &[&[u8]]) -> Vec<u8> {
    converse(handler, limits, pieces, Reading::Now)
}

fn converse(handler: &dyn Handler, limits: &Limits, pieces: &[&[u8]], reading: Reading) -> Vec<u8> {
    let output = Arc::new(Mutex::new(Vec::new()));
    let mut input: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    input.reverse();
    let wire = Box::new(Memory {
        input,
        has_paused: false,
        output: Arc::clone(&output),
    });
    let shutdown = Shutdown::new().expect("two file descriptors are free");
    let phase = Phase::new(Instant::now(), shutdown);
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
    let context = Context {
        handler,
        limits,
        remote,
        phase: &phase,
        turn: &Alone,
    };
    let mut connection = Connection::new(wire, limits);
    while connection.serve(&context, reading) == Next::Peer {}
    std::mem::take(&mut output.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Feeds `bytes` to a connection whose handler looks at everything a request has. It is right when
/// it returns.
pub fn fuzz_head(bytes: &[u8]) {
    struct Reader;
    impl Handler for Reader {
        fn handle(&self, request: &mut Request<'_>) -> Response {
            let parts = request.segments().count() + request.query().count();
            match request.body.read_all(1024 * 1024) {
                Ok(body) => Response::new(Status::OK).text(format!("{parts} {}", body.len())),
                Err(error) => {
                    Response::new(BodyFault::of(&error).map_or(Status::BAD_REQUEST, BodyFault::status))
                }
            }
        }
    }
    rehearse(&Reader, &Limits::default(), bytes);
}

/// Input as a stack of reversed pieces.
struct Memory {
    input: Vec<Vec<u8>>,
    /// Whether it was said that the next piece has not come.
    has_paused: bool,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Read for Memory {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(mut piece) = self.input.pop() {
            let taken = piece.len().min(out.len());
            out[..taken].copy_from_slice(&piece[..taken]);
            piece.drain(..taken);
            if !piece.is_empty() {
                self.input.push(piece);
            }
            if taken > 0 {
                return Ok(taken);
            }
        }
        Ok(0)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Memory {
    fn allow_reads(&mut self, _time: Duration) {}

    fn is_ready(&mut self, _patience: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn read_now(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.has_paused = !self.has_paused;
        if self.has_paused {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read(out)
    }

    fn end_writes(&mut self) {}

    fn is_secure(&self) -> bool {
        false
    }
}
