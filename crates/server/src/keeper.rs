//! What a server does by itself: now and then it removes what nothing needs.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

use modelkeep_store::{Act, CollectOptions};

use crate::{
    http::Shutdown,
    log::{Level, Line},
    registry::Registry,
    reply::chain,
};

/// A server that is restarted every day collects all the same, and one that is restarted over and over does not.
const FIRST: Duration = Duration::from_secs(3600);

/// Collects on schedule until the shutdown.
pub(crate) fn keep(registry: &Registry, shutdown: &Shutdown) {
    let Some(every) = registry.config.gc.every() else {
        return;
    };
    let mut pause = every.min(FIRST);
    while !shutdown.wait(pause) {
        collect(registry);
        pause = every;
    }
}

fn collect(registry: &Registry) {
    let options = CollectOptions {
        grace: registry.config.gc.grace(),
        now: SystemTime::now(),
        act: Act::Remove,
    };
    let metrics = &registry.metrics;
    match registry.store.collect(&options) {
        Ok(collected) => {
            metrics.collections.fetch_add(1, Relaxed);
            metrics.collected_blobs.fetch_add(collected.blobs, Relaxed);
            metrics.collected_bytes.fetch_add(collected.bytes, Relaxed);
            for (name, error) in &collected.kept {
                let line = Line::new(Level::Warning, "nothing of a repository was collected");
                registry.log(&line.add("repository", name).add("error", chain(error)));
            }
            let line = Line::new(Level::Info, "collected")
                .add("blobs", collected.blobs)
                .add("uploads", collected.uploads)
                .add("bytes", collected.bytes);
            registry.log(&line);
        }
        Err(error) => {
            registry.log(&Line::new(Level::Error, "cannot collect").add("error", chain(&error)));
        }
    }
}
