//! The accept loop and the threads behind it: one thread per connection, as many as are in use.

use super::connection::{self, Context};
use super::limits::Limits;
use super::phase::Phase;
use super::shutdown::Shutdown;
use super::tls::{self, TlsFiles};
use super::wire::{Socket, Wire};
use super::{Event, Handler};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown as Direction, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A thread without a connection ends after this time.
const SPARE: Duration = Duration::from_secs(10);
/// Pause after `accept` failed: the usual cause is that no file descriptor is left.
const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Connections it took.
    pub connections: u64,
    /// Connections that were still at work after [`Limits::shutdown`] and were cut.
    pub cut: usize,
}

/// Serves connections of `listener` until `shutdown` is triggered and the requests in flight are
/// answered, or their time is over. `SIGPIPE` must be ignored, as Rust programs do unless they change
/// it. `std`'s [`TcpListener::bind`] sets `SO_REUSEADDR` and takes port 0.
///
/// # Errors
/// When the listener itself cannot be used. A failing connection is told to the handler's
/// [`Handler::observe`] and goes no further.
pub fn serve(
    listener: &TcpListener,
    tls: Option<TlsFiles>,
    handler: Arc<dyn Handler>,
    limits: &Limits,
    shutdown: &Shutdown,
) -> io::Result<Served> {
    listener.set_nonblocking(true)?;
    let pool = Arc::new(Pool {
        handler,
        limits: limits.clone(),
        tls,
        shutdown: shutdown.clone(),
        epoch: Instant::now(),
        shared: Mutex::default(),
        work: Condvar::new(),
        ended: Condvar::new(),
    });
    let mut connections = 0;
    while !shutdown.is_triggered() {
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(shutdown.signal(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        match listener.accept() {
            Ok((stream, remote)) => {
                connections += 1;
                pool.admit(stream, remote);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                pool.handler.observe(&Event::Accept(&error));
                let mut stop = [PollFd::from_borrowed_fd(shutdown.signal(), PollFlags::IN)];
                // Woken early by a shutdown, or not at all: either way the loop looks again.
                let _ = poll(&mut stop, Some(&PAUSE));
            }
        }
    }
    Ok(Served {
        connections,
        cut: pool.close(),
    })
}

/// What only says that this connection, or this moment, has nothing.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | Interrupted | ConnectionAborted | ConnectionReset
    )
}

struct Live {
    stream: Arc<TcpStream>,
    phase: Arc<Phase>,
}

impl Live {
    /// Ends the connection under its thread, which sees the end of its input.
    fn cut(&self) {
        // A peer that is gone already makes this fail, which is as well.
        let _ = self.stream.shutdown(Direction::Both);
    }
}

#[derive(Default)]
struct Shared {
    queue: VecDeque<(TcpStream, SocketAddr)>,
    live: HashMap<u64, Live>,
    next: u64,
    threads: usize,
    spare: usize,
    closing: bool,
}

struct Pool {
    handler: Arc<dyn Handler>,
    limits: Limits,
    tls: Option<TlsFiles>,
    shutdown: Shutdown,
    epoch: Instant,
    shared: Mutex<Shared>,
    work: Condvar,
    ended: Condvar,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        let mut shared = self.lock();
        if shared.live.len() + shared.queue.len() >= self.limits.connections && !shared.reap_longest_idle() {
            drop(shared);
            self.handler.observe(&Event::Full { remote });
            if self.tls.is_none() {
                turn_away(&stream);
            }
            return;
        }
        shared.queue.push_back((stream, remote));
        if shared.queue.len() <= shared.spare || shared.threads >= self.limits.connections {
            self.work.notify_one();
            return;
        }
        let pool = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .stack_size(self.limits.stack_bytes);
        match thread.spawn(move || pool.work_on()) {
            Ok(_) => shared.threads += 1,
            Err(error) => {
                // Threads that exist will come for it; with none, better closed than forgotten.
                if shared.threads == 0 {
                    shared.queue.pop_back();
                }
                drop(shared);
                self.handler.observe(&Event::Accept(&error));
            }
        }
    }

    /// A thread's life: connections from the queue, until none came for a while.
    fn work_on(&self) {
        let mut shared = self.lock();
        loop {
            if let Some((stream, remote)) = shared.queue.pop_front() {
                let stream = Arc::new(stream);
                let phase = Arc::new(Phase::new(self.epoch, self.shutdown.clone()));
                let id = shared.next;
                shared.next += 1;
                shared.live.insert(
                    id,
                    Live {
                        stream: Arc::clone(&stream),
                        phase: Arc::clone(&phase),
                    },
                );
                drop(shared);
                // The handler's panics are caught nearer; one in its observer must not leak the connection.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    self.handler.observe(&Event::Connected);
                    self.converse(stream, remote, &phase);
                }));
                let _ = catch_unwind(AssertUnwindSafe(|| self.handler.observe(&Event::Disconnected)));
                shared = self.lock();
                shared.live.remove(&id);
                continue;
            }
            if shared.closing {
                break;
            }
            shared.spare += 1;
            let (guard, timeout) = self
                .work
                .wait_timeout(shared, SPARE)
                .unwrap_or_else(PoisonError::into_inner);
            shared = guard;
            shared.spare -= 1;
            if timeout.timed_out() && shared.queue.is_empty() {
                break;
            }
        }
        shared.threads -= 1;
        self.ended.notify_all();
    }

    fn converse(&self, stream: Arc<TcpStream>, remote: SocketAddr, phase: &Phase) {
        let Ok(socket) = Socket::new(stream, self.limits.body) else {
            return;
        };
        let wire: Box<dyn Wire> = match &self.tls {
            None => Box::new(socket),
            Some(files) => match tls::accept(files, socket, &self.limits, &*self.handler) {
                Ok(wire) => Box::new(wire),
                Err(error) => {
                    return self.handler.observe(&Event::Handshake {
                        remote,
                        error: &error,
                    });
                }
            },
        };
        let (handler, limits) = (&*self.handler, &self.limits);
        connection::run(
            wire,
            &Context {
                handler,
                limits,
                remote,
                phase,
            },
        );
    }

    /// Ends idle connections, waits for the others, then cuts those that remain.
    fn close(&self) -> usize {
        let deadline = Instant::now() + self.limits.shutdown;
        let mut shared = self.lock();
        shared.closing = true;
        shared.queue.clear();
        for live in shared.live.values() {
            if live.phase.reap() {
                live.cut();
            }
        }
        self.work.notify_all();
        shared = self.wait_for_threads(shared, deadline);
        let cut = shared.live.len();
        for live in shared.live.values() {
            live.cut();
        }
        // A cut connection ends at its next read or write; a handler at work elsewhere is not awaited.
        drop(self.wait_for_threads(shared, Instant::now() + Duration::from_secs(1)));
        cut
    }

    fn wait_for_threads<'a>(
        &self,
        mut shared: MutexGuard<'a, Shared>,
        until: Instant,
    ) -> MutexGuard<'a, Shared> {
        while shared.threads > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            shared = self
                .ended
                .wait_timeout(shared, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        shared
    }
}

impl Shared {
    fn reap_longest_idle(&mut self) -> bool {
        let mut idle: Vec<_> = self
            .live
            .iter()
            .filter_map(|(id, live)| Some((live.phase.idle_since()?, *id)))
            .collect();
        idle.sort_unstable();
        for (_, id) in idle {
            if self.live[&id].phase.reap() {
                if let Some(live) = self.live.remove(&id) {
                    live.cut();
                }
                return true;
            }
        }
        false
    }
}

/// Says "later" without waiting for the peer in any way.
fn turn_away(stream: &TcpStream) {
    const BODY: &str = "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\
        \"message\":\"all connections are in use, try later\"}]}";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut stream = stream;
    let mut scratch = [0; 4096];
    // What has arrived is read so that closing does not reset; whatever fails, the close tells the peer.
    let _ = stream.set_nonblocking(true);
    let _ = stream.write(answer.as_bytes());
    let _ = stream.shutdown(Direction::Write);
    let _ = stream.read(&mut scratch);
}
