//! Waiting for many peers at once.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use rustix::fd::BorrowedFd;

/// The system's list of sockets of which one thread awaits whichever has something to say (`epoll`). Systems without it
/// have none, and a thread for each connection.
pub(crate) struct Readiness(system::List);

impl Readiness {
    /// As many as there is work for: answering what takes but a moment needs half of the processors, and leaves the
    /// others to those who ask, or to what takes longer. Each wakes when `stop` is readable.
    pub(crate) fn open(stop: BorrowedFd<'_>) -> io::Result<Vec<Self>> {
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        (0..processors.div_ceil(2) * system::LISTS)
            .map(|_| system::List::new(stop).map(Self))
            .collect()
    }

    /// Awaits `stream` too, under a number of its own.
    pub(crate) fn add(&self, stream: &TcpStream, number: u64) -> io::Result<()> {
        self.0.add(stream, number)
    }

    /// Awaits it no more. Who is closed is forgotten without it.
    pub(crate) fn remove(&self, stream: &TcpStream) {
        self.0.remove(stream);
    }

    /// Waits until somebody has something to say, or is gone, but not for longer than `most`; and adds their numbers.
    pub(crate) fn wait(&self, ready: &mut Vec<u64>, most: Duration) -> io::Result<()> {
        self.0.wait(ready, most)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::{BorrowedFd, Duration, TcpStream, io};
    use rustix::event::{Timespec, epoll};
    use rustix::fd::OwnedFd;
    use std::mem::MaybeUninit;

    pub(super) const LISTS: usize = 1;
    /// The number of what is no connection.
    const STOP: u64 = u64::MAX;
    /// Events that are taken at once.
    const BATCH: usize = 64;

    pub(super) struct List(OwnedFd);

    impl List {
        pub(super) fn new(stop: BorrowedFd<'_>) -> io::Result<Self> {
            let list = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            // Said once: it stays readable.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
            epoll::add(&list, stop, epoll::EventData::new_u64(STOP), flags)?;
            Ok(Self(list))
        }

        pub(super) fn add(&self, stream: &TcpStream, number: u64) -> io::Result<()> {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
            Ok(epoll::add(
                &self.0,
                stream,
                epoll::EventData::new_u64(number),
                flags,
            )?)
        }

        pub(super) fn remove(&self, stream: &TcpStream) {
            // It is in the list as long as it is open, or was never put there.
            let _ = epoll::delete(&self.0, stream);
        }

        pub(super) fn wait(&self, ready: &mut Vec<u64>, most: Duration) -> io::Result<()> {
            let most = Timespec::try_from(most).map_err(io::Error::other)?;
            let mut events = [MaybeUninit::uninit(); BATCH];
            let events = match epoll::wait(&self.0, &mut events, Some(&most)) {
                Ok((events, _)) => &*events,
                Err(rustix::io::Errno::INTR) => &[],
                Err(error) => return Err(error.into()),
            };
            let numbers = events.iter().map(|event| event.data.u64());
            ready.extend(numbers.filter(|number| *number != STOP));
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{BorrowedFd, Duration, TcpStream, io};

    pub(super) const LISTS: usize = 0;

    pub(super) enum List {}

    impl List {
        pub(super) fn new(_: BorrowedFd<'_>) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn add(&self, _: &TcpStream, _: u64) -> io::Result<()> {
            match *self {}
        }

        pub(super) fn remove(&self, _: &TcpStream) {
            match *self {}
        }

        pub(super) fn wait(&self, _: &mut Vec<u64>, _: Duration) -> io::Result<()> {
            match *self {}
        }
    }
}
