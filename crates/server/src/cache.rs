//! Manifests in memory, by digest: what a digest names never changes, so nobody needs to be told of anything.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use modelkeep_core::Digest;

/// Bytes by digest, as many as are allowed. What was not asked for since half of them came goes first.
pub(crate) struct Cache {
    /// Of one generation.
    most: usize,
    generations: RwLock<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Digest, Arc<[u8]>>,
    old: HashMap<Digest, Arc<[u8]>>,
    young_bytes: usize,
}

/// What an entry costs beside its bytes, about.
const OVERHEAD: usize = 256;

impl Cache {
    /// A cache of at most about `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            most: bytes / 2,
            generations: RwLock::default(),
        }
    }

    /// Whether something of `size` bytes is worth its room.
    pub(crate) fn takes(&self, size: u64) -> bool {
        size <= (self.most / 16) as u64
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = generations.young.get(digest) {
            return Some(Arc::clone(bytes));
        }
        generations.old.get(digest)?;
        drop(generations);
        let mut generations = self.write();
        let bytes = generations.old.remove(digest)?;
        generations.insert(self.most, digest.clone(), Arc::clone(&bytes));
        Some(bytes)
    }

    /// Keeps bytes that have been verified.
    pub(crate) fn insert(&self, digest: &Digest, bytes: &Arc<[u8]>) {
        if self.takes(bytes.len() as u64) {
            self.write().insert(self.most, digest.clone(), Arc::clone(bytes));
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Generations> {
        self.generations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn insert(&mut self, most: usize, digest: Digest, bytes: Arc<[u8]>) {
        let size = bytes.len() + OVERHEAD;
        if self.young_bytes + size > most {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(digest, bytes).is_none() {
            self.young_bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Cache, n: u32) -> Digest {
        let bytes: Arc<[u8]> = n.to_be_bytes().repeat(100).into();
        let digest = Digest::of(&bytes);
        cache.insert(&digest, &bytes);
        digest
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let cache = Cache::new(100_000);
        let wanted = keep(&cache, 0);
        let other = keep(&cache, 1);
        for n in 2..1000 {
            keep(&cache, n);
            assert!(cache.get(&wanted).is_some(), "{n}");
        }
        assert!(cache.get(&other).is_none());
        let generations = cache.generations.read().unwrap();
        let kept: usize = [&generations.young, &generations.old]
            .iter()
            .flat_map(|generation| generation.values())
            .map(|bytes| bytes.len() + OVERHEAD)
            .sum();
        assert!(kept <= 100_000, "{kept}");
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let cache = Cache::new(100_000);
        let bytes: Arc<[u8]> = vec![0; 50_000].into();
        let digest = Digest::of(&bytes);
        cache.insert(&digest, &bytes);
        assert!(cache.get(&digest).is_none());
    }
}
