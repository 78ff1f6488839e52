//! Memory for uploads that come fast, which all uploads of a process share.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use modelkeep_core::Buffer;

/// For the first few: to receive, to hash and to write four mebibytes at a time costs the least.
const LARGE: usize = 4 << 20;
/// For the others.
const MEDIUM: usize = 1 << 20;
/// All of them together.
const MOST: usize = 24 << 20;

/// Buffers that are lent to uploads, and kept when they come back: their pages are there already.
#[derive(Default)]
pub(crate) struct Buffers {
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Bytes of the buffers that are lent. With those of `spare` at most [`MOST`].
    lent: usize,
    spare: Vec<Buffer>,
}

impl Buffers {
    /// A buffer of one mebibyte or more; `None` when all are lent.
    pub(super) fn lend(self: &Arc<Self>) -> Option<Lent> {
        let mut shared = self.lock();
        let length = match MOST - shared.lent {
            free if free > MOST / 2 => LARGE,
            free if free >= MEDIUM => MEDIUM,
            _ => return None,
        };
        let kept = shared.spare.iter().position(|spare| spare.len() == length);
        let buffer = kept.map(|at| shared.spare.swap_remove(at));
        shared.lent += length;
        while shared.lent + shared.spare.iter().map(|spare| spare.len()).sum::<usize>() > MOST {
            shared.spare.pop();
        }
        drop(shared);
        Some(Lent {
            buffer: buffer.unwrap_or_else(|| Buffer::new(length)),
            from: Arc::clone(self),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("lent", &self.lock().lent)
            .finish_non_exhaustive()
    }
}

/// A buffer that goes back when this is dropped.
pub(super) struct Lent {
    buffer: Buffer,
    from: Arc<Buffers>,
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::replace(&mut self.buffer, Buffer::new(0));
        let mut shared = self.from.lock();
        shared.lent -= buffer.len();
        shared.spare.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_get_smaller_run_out_and_come_back() {
        let buffers = Arc::new(Buffers::default());
        for _ in 0..2 {
            let lent: Vec<Lent> = std::iter::from_fn(|| buffers.lend()).collect();
            let bytes: usize = lent.iter().map(|lent| lent.len()).sum();
            assert_eq!(bytes, MOST);
            assert_eq!((lent[0].len(), lent[lent.len() - 1].len()), (LARGE, MEDIUM));
        }
        // One that was medium makes room for one that is large.
        let lent: Vec<Lent> = (0..3).filter_map(|_| buffers.lend()).collect();
        assert!(lent.iter().all(|lent| lent.len() == LARGE));
        drop(lent);
        let spare: usize = buffers.lock().spare.iter().map(|spare| spare.len()).sum();
        assert!(spare <= MOST && buffers.lock().lent == 0, "{spare}");
    }
}
