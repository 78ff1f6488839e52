//! The log of a server, whose lines are written together: a call to the system for each costs as much as a small answer.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long a line waits for others.
const WAIT: Duration = Duration::from_millis(50);
/// So many bytes wait for nothing.
const MOST: usize = 64 << 10;

/// Lines that are on their way to a writer.
pub(super) struct Log {
    shared: Mutex<Shared>,
    changed: Condvar,
}

struct Shared {
    lines: Vec<u8>,
    out: Box<dyn Write + Send>,
}

impl Log {
    /// A log to `out`, and a thread that writes it.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let shared = Shared {
            lines: Vec::new(),
            out: Box::new(out),
        };
        let log = Arc::new(Self {
            shared: Mutex::new(shared),
            changed: Condvar::new(),
        });
        let writer = Arc::clone(&log);
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(64 << 10);
        thread.spawn(move || writer.keep_writing())?;
        Ok(log)
    }

    /// Adds a line, given without its end.
    pub(super) fn add(&self, line: &str) {
        let mut shared = self.lock();
        let is_first = shared.lines.is_empty();
        shared.lines.extend_from_slice(line.as_bytes());
        shared.lines.push(b'\n');
        if shared.lines.len() >= MOST {
            shared.write();
        } else if is_first {
            drop(shared);
            self.changed.notify_one();
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&self) {
        self.lock().write();
    }

    fn keep_writing(&self) {
        loop {
            let idle = self
                .changed
                .wait_while(self.lock(), |shared| shared.lines.is_empty());
            drop(idle);
            thread::sleep(WAIT);
            self.flush();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn write(&mut self) {
        let lines = mem::take(&mut self.lines);
        // A log that nobody reads does not stop the server.
        let _ = self.out.write_all(&lines);
        self.lines = lines;
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    struct Pieces(Sender<Vec<u8>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Arc<Log>, Receiver<Vec<u8>>) {
        let (sender, pieces) = channel();
        (Log::start(Pieces(sender)).unwrap(), pieces)
    }

    #[test]
    fn lines_are_written_whole_in_their_order_and_without_being_asked_for() {
        let (log, pieces) = log();
        let mut expected = String::new();
        for n in 0..20_000 {
            log.add(&format!("line {n}"));
            expected.push_str(&format!("line {n}\n"));
        }
        let mut found = Vec::new();
        let mut count = 0;
        while found.len() < expected.len() {
            let piece = pieces.recv().unwrap();
            count += 1;
            assert!(piece.ends_with(b"\n"));
            found.extend(piece);
        }
        assert!(found == expected.as_bytes());
        assert!(count < 1_000, "{count}");
    }

    #[test]
    fn what_waits_is_written_when_that_is_asked_for() {
        let (log, pieces) = log();
        log.add("last words");
        log.flush();
        assert_eq!(pieces.recv().unwrap(), b"last words\n");
    }
}
