//! Memory, and places, that are used by some after the others.

use std::{
    ops::{Deref, DerefMut},
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Values, each for one at a time. Who comes when all are taken waits, and not for ever.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    free: Mutex<Vec<T>>,
    freed: Condvar,
}

/// A value, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, T> {
    /// There until the drop.
    value: Option<T>,
    gate: &'a Gate<T>,
}

impl<T> Gate<T> {
    pub(crate) fn new(values: Vec<T>) -> Self {
        Self {
            free: Mutex::new(values),
            freed: Condvar::new(),
        }
    }

    /// A value, or `None` when none became free in time.
    pub(crate) fn enter(&self, patience: Duration) -> Option<Turn<'_, T>> {
        let deadline = Instant::now() + patience;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(value) = free.pop() {
                return Some(Turn {
                    value: Some(value),
                    gate: self,
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.freed.wait_timeout(free, left);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the drop")
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the drop")
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut free = self.gate.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.value.take());
        drop(free);
        self.gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_too_late_gets_the_value_of_who_leaves() {
        let gate = Gate::new(vec![1]);
        let mut turn = gate.enter(Duration::ZERO).unwrap();
        assert!(gate.enter(Duration::ZERO).is_none());
        *turn += 1;
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.enter(Duration::from_secs(60)).map(|turn| *turn));
            drop(turn);
            assert_eq!(waiting.join().unwrap(), Some(2));
        });
    }
}
