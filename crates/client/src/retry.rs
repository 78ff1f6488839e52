use std::{
    hash::{BuildHasher, RandomState},
    thread,
    time::{Duration, Instant},
};

use crate::Error;

/// How often and how long a request is tried that may succeed later.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts in all.
    pub attempts: u32,
    /// Wait before the second attempt; each further one is twice as long.
    pub first_wait: Duration,
    /// Longest wait that we choose ourselves.
    pub longest_wait: Duration,
    /// Longest wait that a registry may ask for by `Retry-After`; when it asks for more, that is the end.
    pub longest_asked: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(300),
            longest_wait: Duration::from_secs(10),
            longest_asked: Duration::from_secs(120),
        }
    }
}

impl Patience {
    /// The wait after attempt number `attempt`, counted from 1; `None` when it was the last. `random` is spread over
    /// all numbers: whoever was refused at the same moment must not come again at the same moment.
    fn wait(&self, attempt: u32, asked: Option<Duration>, random: u64) -> Option<Duration> {
        if attempt >= self.attempts || asked.is_some_and(|asked| asked > self.longest_asked) {
            return None;
        }
        let doubled = self
            .first_wait
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(self.longest_wait);
        // Between half of it and all of it.
        let spread = doubled.mul_f64(0.5 + 0.5 * (random % 1024) as f64 / 1024.0);
        Some(match asked {
            Some(asked) => asked + spread.min(Duration::from_secs(1)),
            None => spread,
        })
    }
}

/// The attempts at one thing.
pub(crate) struct Attempts {
    patience: Patience,
    made: u32,
    begun: Instant,
}

impl Attempts {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            patience,
            made: 0,
            begun: Instant::now(),
        }
    }

    /// Takes note that something moved: what fails from here on is counted anew.
    pub(crate) fn progress(&mut self) {
        self.made = 0;
    }

    /// Waits for the next attempt after `error`.
    ///
    /// # Errors
    /// The error, when it is not of a kind that passes, or it was the last attempt.
    pub(crate) fn again(&mut self, error: Error) -> Result<(), Error> {
        self.made += 1;
        if !error.is_transient() {
            return Err(error);
        }
        match self.next(&error) {
            Some(wait) => {
                thread::sleep(wait);
                Ok(())
            }
            None => Err(Error::GaveUp {
                attempts: self.made,
                elapsed: self.begun.elapsed(),
                last: Box::new(error),
            }),
        }
    }

    /// The wait after `error`, if there is to be another attempt.
    fn next(&self, error: &Error) -> Option<Duration> {
        let asked = match error {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        if !error.is_transient() {
            return None;
        }
        self.patience
            .wait(self.made, asked, RandomState::new().hash_one(self.made))
    }
}

/// The attempts at an upload whose bytes only the caller has.
pub struct Retries(Attempts);

impl Retries {
    pub(crate) fn new(patience: Patience) -> Self {
        Self(Attempts::new(patience))
    }

    /// Waits for the next attempt after `error`, and says whether there is one. What the registry has more than at the
    /// last attempt makes `progressed` true: then it is counted anew.
    pub fn wait(&mut self, error: &Error, progressed: bool) -> bool {
        if progressed {
            self.0.progress();
        }
        self.0.made += 1;
        let wait = self.0.next(error);
        if let Some(wait) = wait {
            thread::sleep(wait);
        }
        wait.is_some()
    }
}

/// What `Retry-After` asks for; dates are not read, and our own wait serves.
pub(crate) fn retry_after(value: Option<&str>) -> Option<Duration> {
    value?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_spread_and_end() {
        let patience = Patience::default();
        let wait = |attempt, random| patience.wait(attempt, None, random).unwrap();
        assert_eq!(wait(1, 0), patience.first_wait / 2);
        assert!(wait(1, 1023) > wait(1, 0));
        assert!(wait(3, 0) > wait(1, 1023));
        assert_eq!(patience.wait(5, None, 0), None);
    }

    #[test]
    fn a_registry_may_ask_for_a_wait_but_not_for_an_hour() {
        let patience = Patience::default();
        let asked = |seconds| retry_after(Some(seconds));
        assert!(patience.wait(1, asked("7"), 0).unwrap() >= Duration::from_secs(7));
        assert_eq!(patience.wait(1, asked("3600"), 0), None);
        assert_eq!(asked("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
