//! A line that is slow and long, between a client and a server on one machine: not every kernel has netem.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// What a line does to bytes, in each direction by itself.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Bytes a second, of all connections together.
    pub rate: f64,
    /// How long a byte is on its way.
    pub delay: Duration,
}

/// Bytes that travel as one, as far as a clock is concerned.
const PIECE: usize = 64 << 10;
/// How long the queue before the line may be; who has more to send waits.
const QUEUE: Duration = Duration::from_millis(50);

/// One direction: when it is free again.
struct Lane {
    link: Link,
    free: Mutex<Instant>,
}

impl Lane {
    fn new(link: Link) -> Arc<Self> {
        Arc::new(Self {
            link,
            free: Mutex::new(Instant::now()),
        })
    }

    /// Takes the line for `bytes`; says when they are off, and when they arrive.
    fn take(&self, bytes: usize) -> (Instant, Instant) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let off = (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.link.rate);
        *free = off;
        (off, off + self.link.delay)
    }
}

impl Link {
    /// Takes connections from `listener` and carries them to `to`, until the process ends.
    ///
    /// # Errors
    /// When no more connections can be taken.
    pub fn carry(self, listener: &TcpListener, to: SocketAddr) -> io::Result<()> {
        let (there, back) = (Lane::new(self), Lane::new(self));
        loop {
            let (near, _) = listener.accept()?;
            let (there, back) = (Arc::clone(&there), Arc::clone(&back));
            thread::spawn(move || {
                // Whom nobody answers sees a closed connection.
                if let Ok(far) = TcpStream::connect(to) {
                    let _ = both(&near, &far, &there, &back);
                }
            });
        }
    }
}

fn both(near: &TcpStream, far: &TcpStream, there: &Arc<Lane>, back: &Arc<Lane>) -> io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    for (from, into, lane) in [(near, far, there), (far, near, back)] {
        let (from, into, lane) = (from.try_clone()?, into.try_clone()?, Arc::clone(lane));
        let (queue, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
        thread::spawn(move || receive(from, &lane, &queue));
        thread::spawn(move || deliver(into, &arriving));
    }
    Ok(())
}

fn receive(mut from: TcpStream, lane: &Lane, queue: &mpsc::Sender<(Instant, Vec<u8>)>) {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return,
            Ok(came) => {
                let (off, arrives) = lane.take(came);
                if queue.send((arrives, piece[..came].to_vec())).is_err() {
                    let _ = from.shutdown(Shutdown::Both);
                    return;
                }
                sleep_until(off.checked_sub(QUEUE).unwrap_or(off));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn deliver(mut into: TcpStream, arriving: &mpsc::Receiver<(Instant, Vec<u8>)>) {
    for (at, piece) in arriving {
        sleep_until(at);
        if into.write_all(&piece).is_err() {
            let _ = into.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = into.shutdown(Shutdown::Write);
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_whole_and_no_sooner_than_the_line_allows() {
        let server = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let to = server.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(&vec![7; 1_000_000]).unwrap();
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let link = Link {
            rate: 10_000_000.0,
            delay: Duration::from_millis(20),
        };
        thread::spawn(move || link.carry(&listener, to));
        let began = Instant::now();
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"send").unwrap();
        let mut came = Vec::new();
        stream.read_to_end(&mut came).unwrap();
        assert_eq!(came, vec![7; 1_000_000]);
        // Twice the way, and a tenth of a second for the bytes.
        assert!(
            began.elapsed() >= Duration::from_millis(140),
            "{:?}",
            began.elapsed()
        );
    }
}
