//! How much is sent in one request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Chunks of a registry that wants chunks, in bytes.
const CHUNK: u64 = 64 << 20;
/// Smallest chunk that is tried on a registry that refuses larger ones: ECR takes none below, but for the last.
const SMALLEST_CHUNK: u64 = 5 << 20;

/// All of a blob at once, until the registry wants it otherwise.
#[derive(Debug)]
pub(crate) struct Chunks {
    size: AtomicU64,
    least: AtomicU64,
}

impl Default for Chunks {
    fn default() -> Self {
        Self {
            size: AtomicU64::new(u64::MAX),
            least: AtomicU64::new(SMALLEST_CHUNK),
        }
    }
}

impl Chunks {
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Relaxed)
    }

    /// The registry speaks of chunks, and takes none below `least` bytes.
    pub(crate) fn want(&self, least: u64) {
        let least = least.clamp(SMALLEST_CHUNK, 1 << 40);
        self.least.store(least, Relaxed);
        let now = self.size().min(CHUNK).max(least);
        self.size.store(now, Relaxed);
    }

    /// Ones below `length` from now on; `false` when none are so small.
    pub(crate) fn shrink_below(&self, length: u64) -> bool {
        while self.size() >= length {
            if !self.shrink() {
                return false;
            }
        }
        true
    }

    /// Smaller ones from now on; `false` when these are the smallest.
    pub(crate) fn shrink(&self) -> bool {
        let now = self.size();
        let smaller = match now {
            u64::MAX => CHUNK,
            now => now / 2,
        };
        let smaller = smaller.max(self.least.load(Relaxed));
        self.size.store(smaller, Relaxed);
        smaller < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_shrink_to_what_the_registry_takes() {
        let chunks = Chunks::default();
        assert!(chunks.shrink());
        assert_eq!(chunks.size(), CHUNK);
        while chunks.shrink() {}
        assert_eq!(chunks.size(), SMALLEST_CHUNK);
        chunks.want(10 << 20);
        assert_eq!(chunks.size(), 10 << 20);
        assert!(!chunks.shrink());
        let chunks = Chunks::default();
        chunks.want(1);
        assert_eq!(chunks.size(), CHUNK);
    }
}
