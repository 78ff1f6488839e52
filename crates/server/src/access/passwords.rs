//! Checking passwords without paying for each request, and without letting strangers take the CPU.

use super::accounts::{Accounts, StoredHash};
use super::mac::{Mac, random};
use super::secret::Secret;
use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a verified password is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Checks at once: they are meant to be slow, and argon2 takes memory.
const AT_ONCE: usize = 2;
/// How long a request waits for its check to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Right,
    Wrong,
    /// Too many checks are waiting.
    Busy,
}

type Check = Box<dyn Fn(&StoredHash, &str) -> bool + Send + Sync>;

/// Remembers verified passwords as salted hashes: the salt is random and never leaves the process.
pub(crate) struct Passwords {
    salt: [u8; 32],
    check: Check,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    verified: HashMap<String, ([u8; 32], Instant)>,
    running: HashSet<[u8; 32]>,
}

impl Passwords {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Self::checking_by(Box::new(StoredHash::verify))
    }

    fn checking_by(check: Check) -> Result<Self, getrandom::Error> {
        Ok(Self {
            salt: random()?,
            check,
            state: Mutex::default(),
            freed: Condvar::new(),
        })
    }

    /// Whether `password` is the account's. Unknown names cost what known ones do.
    pub(crate) fn check(&self, accounts: &Accounts, name: &str, password: &Secret) -> Checked {
        let known = accounts.get(name);
        let stored = known.unwrap_or_else(|| accounts.decoy());
        // The stored hash is part of it: a changed password is forgotten at once.
        let proof = Mac::new(&self.salt)
            .field(name.as_bytes())
            .field(password.expose().as_bytes())
            .field(stored.text().as_bytes());
        let (tag, until) = (proof.finish(), Instant::now() + PATIENCE);
        let mut state = self.lock();
        loop {
            if let Some((verified, since)) = state.verified.get(name)
                && since.elapsed() < REMEMBERED
                && Mac::equal(verified, &tag)
            {
                return Checked::Right;
            }
            if state.running.len() < AT_ONCE && !state.running.contains(&tag) {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Checked::Busy;
            }
            state = self
                .freed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.running.insert(tag);
        drop(state);
        let right = (self.check)(stored, password.expose()) && known.is_some();
        let mut state = self.lock();
        state.running.remove(&tag);
        if right {
            // Names come from the file only, so this never outgrows it by much.
            state
                .verified
                .retain(|_, (_, since)| since.elapsed() < REMEMBERED);
            state.verified.insert(name.to_owned(), (tag, Instant::now()));
        }
        drop(state);
        self.freed.notify_all();
        if right { Checked::Right } else { Checked::Wrong }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn accounts() -> Accounts {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("htpasswd");
        let hash = "$2y$05$1bF.w/aELjhd3j5DBve7ferX/yP7Yr6PZsn2NIYh3/k2w85mozEpC";
        std::fs::write(&path, format!("ada:{hash}\n")).unwrap();
        Accounts::read(&path).unwrap()
    }

    fn counted() -> (Passwords, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let check = move |_: &StoredHash, password: &str| {
            seen.fetch_add(1, Ordering::SeqCst);
            password == "right"
        };
        (Passwords::checking_by(Box::new(check)).unwrap(), count)
    }

    #[test]
    fn fifty_requests_at_once_cost_one_check() {
        let (passwords, count) = counted();
        let (accounts, right) = (accounts(), Secret::new("right"));
        std::thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| assert_eq!(passwords.check(&accounts, "ada", &right), Checked::Right));
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn wrong_passwords_and_unknown_names_cost_a_check_each_time() {
        let (passwords, count) = counted();
        let accounts = accounts();
        assert_eq!(
            passwords.check(&accounts, "ada", &Secret::new("right")),
            Checked::Right
        );
        assert_eq!(
            passwords.check(&accounts, "ada", &Secret::new("wrong")),
            Checked::Wrong
        );
        assert_eq!(
            passwords.check(&accounts, "eve", &Secret::new("right")),
            Checked::Wrong
        );
        assert_eq!(
            passwords.check(&accounts, "eve", &Secret::new("right")),
            Checked::Wrong
        );
        assert_eq!(count.load(Ordering::SeqCst), 4);
    }
}
