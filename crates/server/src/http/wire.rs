//! The bytes of one connection: a plain socket here, TLS in `tls`, memory in `rehearsal`.

use super::limits::Limits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::net::{RecvFlags, SendFlags};
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection's two directions. A read or write that took too long is `TimedOut`.
pub(crate) trait Wire: Read + Write + Send {
    /// From now on reads wait `time` in all, however many they are.
    fn allow_reads(&mut self, time: Duration);

    /// Whether something can be read now or within `patience`.
    fn is_ready(&mut self, patience: Duration) -> io::Result<bool>;

    /// Reads what has come; `WouldBlock` where nothing has. Where only waiting can tell, it waits.
    fn read_now(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read(out)
    }

    /// Writes what there is room for; `WouldBlock` where there is none. Where only waiting can tell, it waits.
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    /// Whether bytes that were written wait here for room.
    fn is_behind(&self) -> bool {
        false
    }

    /// Whether bytes of the peer wait here that the system does not know of.
    fn holds_back(&self) -> bool {
        false
    }

    /// Tells the peer that nothing follows.
    fn end_writes(&mut self);

    /// Whether the peer's bytes are encrypted.
    fn is_secure(&self) -> bool;

    /// Sends `head`, then `length` bytes of `file` from `offset`.
    fn send_file(&mut self, head: &[u8], piece: Piece<'_>, meter: &mut Meter) -> io::Result<()> {
        self.write_all(head)?;
        copy_file(self, piece, meter)
    }
}

/// A piece of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) file: &'a File,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Tells a slow reader from a dead one: see [`Limits::body`].
#[derive(Debug)]
pub(crate) struct Meter {
    window: Duration,
    since: Instant,
    moved: u64,
    total: u64,
}

impl Meter {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            window,
            since: Instant::now(),
            moved: 0,
            total: 0,
        }
    }

    /// Counts bytes that moved; an error if too few did in the window.
    pub(crate) fn moved(&mut self, bytes: usize) -> io::Result<()> {
        self.total += bytes as u64;
        self.moved += bytes as u64;
        if self.moved >= Limits::PROGRESS_BYTES {
            self.moved = 0;
            self.since = Instant::now();
        } else if self.since.elapsed() >= self.window {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

/// A TCP socket with a budget of time for reads: only waiting uses it up, not what the caller does
/// between reads. The system's own timeout is set anew only when it is off by much, so that an
/// ordinary request costs no call for it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    budget: Duration,
    system: Duration,
}

impl Socket {
    pub(crate) fn new(stream: Arc<TcpStream>, write_timeout: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(write_timeout))?;
        Ok(Self {
            stream,
            budget: write_timeout,
            system: Duration::ZERO,
        })
    }

    fn within_budget(&mut self, read: impl FnOnce(&TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        if self.budget.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.budget > self.system || self.budget < self.system / 4 * 3 {
            let wait = self.budget.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(wait))?;
            self.system = wait;
        }
        let start = Instant::now();
        let result = timed_out(read(&self.stream));
        self.budget = self.budget.saturating_sub(start.elapsed());
        result
    }
}

/// The system reports an expired socket timeout as "would block".
fn timed_out<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })
}

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.within_budget(|mut stream| stream.read(out))
    }

    fn read_vectored(&mut self, out: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.within_budget(|mut stream| stream.read_vectored(out))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        timed_out((&*self.stream).write(bytes))
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        timed_out((&*self.stream).write_vectored(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Socket {
    fn allow_reads(&mut self, time: Duration) {
        self.budget = time;
    }

    fn is_ready(&mut self, patience: Duration) -> io::Result<bool> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut socket = [PollFd::new(&*self.stream, PollFlags::IN)];
        match poll(&mut socket, Some(&patience)) {
            Ok(ready) => Ok(ready > 0),
            // Interrupted: a read waits on.
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(target_os = "linux")]
    fn read_now(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let received = rustix::net::recv(&*self.stream, out, RecvFlags::DONTWAIT);
        received.map(|(received, _)| received).map_err(io::Error::from)
    }

    #[cfg(target_os = "linux")]
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(&*self.stream, bytes, flags).map_err(io::Error::from)
    }

    fn end_writes(&mut self) {
        // The peer may be gone already; then there is nobody to tell.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn is_secure(&self) -> bool {
        false
    }

    #[cfg(target_os = "linux")]
    fn send_file(&mut self, head: &[u8], piece: Piece<'_>, meter: &mut Meter) -> io::Result<()> {
        // The largest step: between two of them a stalled peer is noticed.
        const STEP: u64 = 2 * 1024 * 1024;
        let socket = &*self.stream;
        let mut head = head;
        while !head.is_empty() {
            let sent = rustix::net::send(socket, head, SendFlags::MORE | SendFlags::NOSIGNAL);
            match timed_out(sent.map_err(io::Error::from)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => head = &head[sent?..],
            }
        }
        let (mut offset, end) = (piece.offset, piece.offset.saturating_add(piece.length));
        while offset < end {
            let step = usize::try_from((end - offset).min(STEP)).expect("a step fits in memory");
            let sent = rustix::fs::sendfile(socket, piece.file, Some(&mut offset), step);
            match timed_out(sent.map_err(io::Error::from)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => meter.moved(sent)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Reads a piece of a file and writes it: where the kernel cannot do it alone.
pub(crate) fn copy_file<W: Write + ?Sized>(
    wire: &mut W,
    piece: Piece<'_>,
    meter: &mut Meter,
) -> io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    let (mut offset, end) = (piece.offset, piece.offset.saturating_add(piece.length));
    while offset < end {
        let step = buffer
            .len()
            .min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        piece.file.read_exact_at(&mut buffer[..step], offset)?;
        wire.write_all(&buffer[..step])?;
        meter.moved(step)?;
        offset += step as u64;
    }
    Ok(())
}

/// Writes all of `parts`, in one call where the system takes it, and notices a stalled peer.
pub(crate) fn write_parts(wire: &mut dyn Wire, parts: [&[u8]; 2], meter: &mut Meter) -> io::Result<()> {
    let [mut first, mut second] = parts;
    while !first.is_empty() || !second.is_empty() {
        let written = if second.is_empty() {
            wire.write(first)
        } else if first.is_empty() {
            wire.write(second)
        } else {
            wire.write_vectored(&[io::IoSlice::new(first), io::IoSlice::new(second)])
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                let of_first = written.min(first.len());
                first = &first[of_first..];
                second = &second[written - of_first..];
                if !(first.is_empty() && second.is_empty()) {
                    meter.moved(written)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
