use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Does `work` for every item on at most `workers` threads, and gives the results in the order of the items. After
/// the first failure no further item is begun; that failure is returned.
///
/// # Errors
/// The first failure.
pub fn in_parallel<T: Sync, R: Send, E: Send>(
    items: &[T],
    workers: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let failure = Mutex::new(None);
    let run = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match work(item) {
                Ok(result) => locked(&results)[at] = Some(result),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    locked(&failure).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        // This thread works too: one worker needs no other thread.
        for _ in 1..workers.min(items.len()) {
            scope.spawn(run);
        }
        run();
    });
    match locked(&failure).take() {
        Some(error) => Err(error),
        None => Ok(locked(&results).drain(..).flatten().collect()),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Poison means that `work` panicked; the scope passes the panic on, so no half result is used.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        for workers in [0, 1, 4, 200] {
            let squares: Vec<u64> = in_parallel(&items, workers, |n| Ok::<_, ()>(n * n)).unwrap();
            assert!(
                squares
                    .iter()
                    .enumerate()
                    .all(|(n, &square)| square == (n * n) as u64)
            );
            assert_eq!(squares.len(), 100);
        }
    }

    #[test]
    fn a_failure_is_returned_and_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let items: Vec<usize> = (0..1000).collect();
        let result = in_parallel(&items, 1, |&n| {
            begun.fetch_add(1, Ordering::Relaxed);
            if n == 3 { Err(n) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err(), 3);
        assert_eq!(begun.into_inner(), 4);
    }
}
