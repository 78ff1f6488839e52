//! The accept loop, and the threads behind it. A connection that waits for its peer has none: one thread awaits many, and
//! answers itself what takes but a moment. Before it turns to anything longer, it leaves the others to another thread.

mod client;
mod poller;

use super::connection::{Connection, Next, Reading};
use super::limits::Limits;
use super::phase::Phase;
use super::readiness::Readiness;
use super::shutdown::Shutdown;
use super::tls::{self, TlsFiles};
use super::turn::Alone;
use super::wire::Socket;
use super::{Event, Handler};
use client::{Admission, Client};
use poller::Poller;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Shutdown as Direction, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A thread without work ends after this time.
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
    let closing = Shutdown::new()?;
    let pollers = Readiness::open(closing.signal())?.into_iter().map(Poller::new);
    let pool = Arc::new(Pool {
        handler,
        limits: limits.clone(),
        tls,
        shutdown: shutdown.clone(),
        closing,
        epoch: Instant::now(),
        pollers: pollers.collect(),
        shared: Mutex::default(),
        work: Condvar::new(),
        ended: Condvar::new(),
    });
    let connections = accept(&pool, listener);
    let cut = pool.close();
    Ok(Served {
        connections: connections?,
        cut,
    })
}

/// Takes connections until the server is to stop, and says how many they were.
fn accept(pool: &Arc<Pool>, listener: &TcpListener) -> io::Result<u64> {
    for poller in 0..pool.pollers.len() {
        pool.give(Task::Poll(poller))?;
    }
    let shutdown = &pool.shutdown;
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
    Ok(connections)
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
    tasks: VecDeque<Task>,
    live: HashMap<u64, Live>,
    next: u64,
    threads: usize,
    spare: usize,
}

/// What a thread does next.
enum Task {
    /// Awaits the clients of a poller, and answers what they ask.
    Poll(usize),
    /// Shakes hands for TLS.
    Handshake(Box<Client<()>>),
    /// Tells a client that it is late; or, where there are no pollers, answers it to the end.
    Serve(Box<Client<Connection>>),
}

struct Pool {
    handler: Arc<dyn Handler>,
    limits: Limits,
    tls: Option<TlsFiles>,
    shutdown: Shutdown,
    /// No connection comes any more.
    closing: Shutdown,
    epoch: Instant,
    /// None where the system cannot tell which of many peers has something to say.
    pollers: Vec<Poller>,
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
        if shared.live.len() >= self.limits.connections && !shared.reap_longest_idle() {
            drop(shared);
            self.handler.observe(&Event::Full { remote });
            if self.tls.is_none() {
                turn_away(&stream);
            }
            return;
        }
        let stream = Arc::new(stream);
        let phase = Arc::new(Phase::new(self.epoch, self.shutdown.clone()));
        let number = shared.next;
        shared.next += 1;
        let live = Live {
            stream: Arc::clone(&stream),
            phase: Arc::clone(&phase),
        };
        shared.live.insert(number, live);
        drop(shared);
        let pool = Arc::clone(self);
        let admission = Admission { pool, number };
        self.handler.observe(&Event::Connected);
        let client = Client {
            connection: (),
            stream,
            remote,
            phase,
            admission,
        };
        if self.tls.is_some() {
            self.pass(Task::Handshake(Box::new(client)));
        } else if let Ok(socket) = Socket::new(Arc::clone(&client.stream), self.limits.body) {
            self.park(client.connected(Box::new(socket)));
        }
    }

    /// Has some thread do it. If none can be had, that is told, and the first that comes back does it.
    fn pass(self: &Arc<Self>, task: Task) {
        if let Err(error) = self.give(task) {
            self.handler.observe(&Event::Accept(&error));
        }
    }

    /// Has some thread do it.
    fn give(self: &Arc<Self>, task: Task) -> io::Result<()> {
        let mut shared = self.lock();
        shared.tasks.push_back(task);
        // A thread for each connection, and one for each poller.
        let most = self.limits.connections + self.pollers.len();
        if shared.tasks.len() <= shared.spare || shared.threads >= most {
            self.work.notify_one();
            return Ok(());
        }
        let pool = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .stack_size(self.limits.stack_bytes);
        match thread.spawn(move || pool.work_on()) {
            Ok(_) => shared.threads += 1,
            Err(error) => {
                // Threads that exist will come for it; with none, better closed than forgotten.
                let forgotten = if shared.threads == 0 {
                    shared.tasks.pop_back()
                } else {
                    None
                };
                drop(shared);
                drop(forgotten);
                return Err(error);
            }
        }
        Ok(())
    }

    /// A thread's life: one task after the other, until none came for a while.
    fn work_on(self: &Arc<Self>) {
        let mut shared = self.lock();
        loop {
            if let Some(task) = shared.tasks.pop_front() {
                drop(shared);
                // The handler's panics are caught nearer; one in its observer must not take the thread along.
                let _ = catch_unwind(AssertUnwindSafe(|| match task {
                    Task::Poll(poller) => self.poll(poller),
                    Task::Handshake(client) => self.handshake(*client),
                    Task::Serve(client) => self.serve(client),
                }));
                shared = self.lock();
                continue;
            }
            if self.closing.is_triggered() {
                break;
            }
            shared.spare += 1;
            let (guard, timeout) = self
                .work
                .wait_timeout(shared, SPARE)
                .unwrap_or_else(PoisonError::into_inner);
            shared = guard;
            shared.spare -= 1;
            if timeout.timed_out() && shared.tasks.is_empty() {
                break;
            }
        }
        shared.threads -= 1;
        self.ended.notify_all();
    }

    /// Has a client wait with others.
    fn park(self: &Arc<Self>, client: Box<Client<Connection>>) {
        let number = client.admission.number;
        let Some(poller) = self.poller_of(number) else {
            return self.pass(Task::Serve(client));
        };
        let stream = Arc::clone(&client.stream);
        // First: it may have said something already.
        poller.parked().insert(number, client);
        if let Err(error) = poller.readiness.add(&stream, number) {
            let forgotten = poller.parked().remove(&number);
            drop(forgotten);
            self.handler.observe(&Event::Accept(&error));
        }
    }

    fn poller_of(&self, number: u64) -> Option<&Poller> {
        let pollers = self.pollers.len() as u64;
        (pollers > 0).then(|| &self.pollers[(number % pollers) as usize])
    }

    fn handshake(self: &Arc<Self>, client: Client<()>) {
        let Some(files) = &self.tls else {
            return;
        };
        let Ok(socket) = Socket::new(Arc::clone(&client.stream), self.limits.body) else {
            return;
        };
        match tls::accept(files, socket, &self.limits, &*self.handler) {
            // Its first request may have come with the end of the handshake.
            Ok(wire) => self.serve(client.connected(Box::new(wire))),
            Err(error) => self.handler.observe(&Event::Handshake {
                remote: client.remote,
                error: &error,
            }),
        }
    }

    /// Answers what a client has said. Where there are no pollers, it waits for what the client says then.
    fn serve(self: &Arc<Self>, mut client: Box<Client<Connection>>) {
        if client.is_late() {
            return client.expire();
        }
        let has_pollers = !self.pollers.is_empty();
        let reading = if has_pollers {
            Reading::Now
        } else {
            Reading::Waiting
        };
        while client.serve(reading, &Alone) == Next::Peer {
            if has_pollers {
                return self.park(client);
            }
        }
    }

    /// Ends idle connections, waits for the others, then cuts those that remain.
    fn close(&self) -> usize {
        let deadline = Instant::now() + self.limits.shutdown;
        let mut shared = self.lock();
        self.closing.trigger();
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
        for poller in &self.pollers {
            let left = mem::take(&mut *poller.parked());
            drop(left);
        }
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
