//! Many connections that wait, and the one thread that awaits their peers.

use super::guest::Guest;
use super::{Pool, Task};
use crate::http::Event;
use crate::http::connection::{Connection, Next, Reading};
use crate::http::turn::Turn;
use crate::http::watch::Watch;
use std::cell::Cell;
use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often connections are looked at whose peers are silent.
const SWEEP: Duration = Duration::from_secs(1);

/// Connections whose peers one thread awaits.
pub(super) struct Room {
    pub(super) watch: Watch,
    pub(super) waiting: Mutex<HashMap<u64, Box<Guest<Connection>>>>,
}

impl Room {
    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Box<Guest<Connection>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of a thread that has a room to look after.
struct Watcher<'a> {
    pool: &'a Arc<Pool>,
    room: usize,
    stream: Arc<TcpStream>,
    is_left: Cell<bool>,
}

impl Turn for Watcher<'_> {
    fn take_time(&self) {
        if !self.is_left.replace(true) {
            self.pool.rooms[self.room].watch.remove(&self.stream);
            self.pool.pass(Task::Watch(self.room));
        }
    }
}

impl Pool {
    /// Looks after a room, until another thread has to or the server has ended.
    pub(super) fn watch(self: &Arc<Self>, number: usize) {
        let room = &self.rooms[number];
        let mut ready = Vec::new();
        let mut swept = Instant::now();
        while !(self.closing.is_triggered() && room.waiting().is_empty()) {
            if let Err(error) = room.watch.wait(&mut ready, SWEEP) {
                self.handler.observe(&Event::Accept(&error));
                std::thread::sleep(SWEEP);
            }
            for guest in ready.drain(..) {
                let Some(mut guest) = room.waiting().remove(&guest) else {
                    continue;
                };
                let turn = Watcher {
                    pool: self,
                    room: number,
                    stream: Arc::clone(&guest.stream),
                    is_left: Cell::new(false),
                };
                let next = guest.serve(Reading::Now, &turn);
                let is_left = turn.is_left.get();
                drop(turn);
                match next {
                    Next::Over => drop(guest),
                    Next::Peer if is_left => self.seat(guest),
                    Next::Peer => drop(room.waiting().insert(guest.admission.number, guest)),
                }
                if is_left {
                    return;
                }
            }
            if swept.elapsed() >= SWEEP {
                let late: Vec<_> = room.waiting().extract_if(|_, guest| guest.is_late()).collect();
                for (_, guest) in late {
                    room.watch.remove(&guest.stream);
                    // Who said nothing is told nothing: it is dropped.
                    if guest.connection.has_begun() {
                        self.pass(Task::Talk(guest));
                    }
                }
                swept = Instant::now();
            }
        }
    }
}
