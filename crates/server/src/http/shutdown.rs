//! A request to stop, heard by every server that was given it.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

    /// Readable once triggered.
    pub(crate) fn signal(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }
}
