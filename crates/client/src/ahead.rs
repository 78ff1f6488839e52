//! Parts of a blob that are fetched while the ones before them are still coming.

use std::{
    io::{self, Read as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{Error, Registry, source::Place};

/// Bytes of a part, each in memory until its turn comes.
pub(crate) const PART: u64 = 2 << 20;
/// Parts that all readers of a registry have in memory, or on the way, at once.
const PARTS: usize = 12;

/// How many parts there may be, and the memory of those that were read: given back to the allocator, it would lie
/// about in the arenas of threads that are gone.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    taken: AtomicUsize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// Leave to have one part in memory, and the memory.
pub(crate) struct Permit {
    budget: Arc<Budget>,
    bytes: Vec<u8>,
}

impl Budget {
    pub(crate) fn permit(self: &Arc<Self>) -> Option<Permit> {
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < PARTS).then_some(taken + 1)
            });
        taken.is_ok().then(|| {
            let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            Permit {
                budget: Arc::clone(self),
                bytes: free.unwrap_or_default(),
            }
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut free = self.budget.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(bytes);
        drop(free);
        self.budget.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part that is being fetched. Dropped, it comes to its end on its own, and is thrown away.
pub(crate) struct Part {
    pub(crate) begin: u64,
    pub(crate) end: u64,
    thread: JoinHandle<Result<Fetched, Error>>,
}

/// A part that is in memory.
pub(crate) struct Fetched {
    permit: Permit,
    taken: usize,
}

impl Part {
    /// Fetches `at..end` on a connection of its own. `None` when the system gives no thread.
    pub(crate) fn begin(
        registry: &Registry,
        place: &Arc<Place>,
        at: u64,
        end: u64,
        mut permit: Permit,
    ) -> Option<Self> {
        let (registry, place) = (registry.clone(), Arc::clone(place));
        let fetch = move || {
            let length = end - at;
            let response = place.request(&registry, at, end)?;
            if !response.is_part {
                return Err(place.no_ranges(&response.answer));
            }
            let host = response.answer.host();
            let bytes = &mut permit.bytes;
            bytes.reserve_exact(usize::try_from(PART).unwrap_or(0));
            let came = response.answer.take(length).read_to_end(bytes);
            let came = came.and_then(|came| match came as u64 {
                came if came < length => Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the answer ended too early",
                )),
                _ => Ok(()),
            });
            came.map_err(|source| Error::Connection { host, source })?;
            Ok(Fetched { permit, taken: 0 })
        };
        let thread = thread::Builder::new().spawn(fetch).ok()?;
        Some(Self {
            begin: at,
            end,
            thread,
        })
    }

    /// Waits until it is there.
    pub(crate) fn join(self) -> Result<Fetched, Error> {
        match self.thread.join() {
            Ok(fetched) => fetched,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Fetched {
    /// Bytes that were not read yet.
    pub(crate) fn left(&self) -> u64 {
        (self.permit.bytes.len() - self.taken) as u64
    }

    /// Copies what is left of it, and says how much; 0 when it is used up.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> usize {
        let left = &self.permit.bytes[self.taken..];
        let length = left.len().min(into.len());
        into[..length].copy_from_slice(&left[..length]);
        self.taken += length;
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_parts_than_the_budget_has() {
        let budget = Arc::new(Budget::default());
        let mut held: Vec<Permit> = std::iter::from_fn(|| budget.permit()).collect();
        assert_eq!(held.len(), PARTS);
        held.pop();
        assert!(budget.permit().is_some());
    }
}
