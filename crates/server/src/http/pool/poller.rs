//! Many clients that have nothing to say, and the one thread that awaits them.

use super::client::Client;
use super::{Pool, Task};
use crate::http::Event;
use crate::http::connection::{Connection, Next, Reading};
use crate::http::readiness::Readiness;
use crate::http::turn::Turn;
use std::cell::Cell;
use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often clients are looked at that stay silent.
const SWEEP: Duration = Duration::from_secs(1);

/// Clients that one thread awaits.
pub(super) struct Poller {
    pub(super) readiness: Readiness,
    parked: Mutex<HashMap<u64, Box<Client<Connection>>>>,
}

impl Poller {
    pub(super) fn new(readiness: Readiness) -> Self {
        Self {
            readiness,
            parked: Mutex::default(),
        }
    }

    pub(super) fn parked(&self) -> MutexGuard<'_, HashMap<u64, Box<Client<Connection>>>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of a thread that has a poller to look after, at one of its clients.
struct Polling<'a> {
    pool: &'a Arc<Pool>,
    poller: usize,
    stream: Arc<TcpStream>,
    is_left: Cell<bool>,
}

impl Turn for Polling<'_> {
    fn take_time(&self) {
        if !self.is_left.replace(true) {
            self.pool.pollers[self.poller].readiness.remove(&self.stream);
            self.pool.pass(Task::Poll(self.poller));
        }
    }
}

impl Pool {
    /// Looks after a poller, until another thread has to or the server has ended.
    pub(super) fn poll(self: &Arc<Self>, number: usize) {
        let poller = &self.pollers[number];
        let mut ready = Vec::new();
        let mut swept = Instant::now();
        while !(self.closing.is_triggered() && poller.parked().is_empty()) {
            if let Err(error) = poller.readiness.wait(&mut ready, SWEEP) {
                self.handler.observe(&Event::Accept(&error));
                std::thread::sleep(SWEEP);
            }
            for client in ready.drain(..) {
                let Some(mut client) = poller.parked().remove(&client) else {
                    continue;
                };
                let turn = Polling {
                    pool: self,
                    poller: number,
                    stream: Arc::clone(&client.stream),
                    is_left: Cell::new(false),
                };
                let next = client.serve(Reading::Now, &turn);
                let is_left = turn.is_left.get();
                drop(turn);
                match next {
                    Next::Over => drop(client),
                    Next::Peer if is_left => self.park(client),
                    Next::Peer => drop(poller.parked().insert(client.admission.number, client)),
                }
                if is_left {
                    return;
                }
            }
            if swept.elapsed() >= SWEEP {
                let late: Vec<_> = poller.parked().extract_if(|_, client| client.is_late()).collect();
                for (_, client) in late {
                    poller.readiness.remove(&client.stream);
                    // Who said nothing is told nothing: it is dropped.
                    if client.connection.has_begun() {
                        self.pass(Task::Serve(client));
                    }
                }
                swept = Instant::now();
            }
        }
    }
}
