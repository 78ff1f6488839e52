//! A request to stop, heard by every server that was given it.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Stops servers: clones stop the same ones.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    triggered: AtomicBool,
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Shutdown {
    /// A new one, not triggered.
    ///
    /// # Errors
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Self(Arc::new(Inner {
            triggered: AtomicBool::new(false),
            reader,
            writer,
        })))
    }

    /// Asks for the stop. Returns at once.
    pub fn trigger(&self) {
        if !self.0.triggered.swap(true, Ordering::SeqCst) {
            // The pipe is empty, so one byte always fits; it is never read, so all who poll see it.
            let _ = rustix::io::write(&self.0.writer, &[1]);
        }
    }

    /// Whether the stop was asked for.
    pub fn is_triggered(&self) -> bool {
        self.0.triggered.load(Ordering::SeqCst)
    }

    /// Waits for the stop for this long at most, and says whether it was asked for.
    pub fn wait(&self, most: Duration) -> bool {
        let deadline = Instant::now() + most;
        while !self.is_triggered() {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(left) = Timespec::try_from(left) else {
                return false;
            };
            let mut fds = [PollFd::from_borrowed_fd(self.signal(), PollFlags::IN)];
            // Woken for nothing, it looks again.
            if poll(&mut fds, Some(&left)) == Ok(0) {
                return self.is_triggered();
            }
        }
        true
    }

    /// Readable once triggered.
    pub(crate) fn signal(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_hears_of_the_stop_and_of_the_end_of_its_time() {
        let shutdown = Shutdown::new().unwrap();
        assert!(!shutdown.wait(Duration::ZERO));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| shutdown.wait(Duration::from_secs(3600)));
            shutdown.trigger();
            assert!(waiting.join().unwrap());
        });
    }
}
