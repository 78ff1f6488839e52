use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    ClientConfig,
    client::UnbufferedClientConnection,
    pki_types::ServerName,
    unbuffered::{ConnectionState, EncodeError, EncryptError},
};

/// Bytes that are taken from the socket at once. A record has at most 16 KiB and a little.
const INCOMING: usize = 256 << 10;
/// What a connection has until that is full for the first time: most answers are small.
const INCOMING_SMALL: usize = 32 << 10;
/// Plain bytes that are encrypted before they are sent.
const PIECE: usize = 64 << 10;

/// A socket under TLS.
///
/// Records are taken from the socket many at a time and deciphered where they lie; the plain bytes go straight to the
/// reader. `docs/decisions/0012-tls-records.md` says what that saves.
pub(super) struct Secure {
    session: UnbufferedClientConnection,
    socket: TcpStream,
    /// `start..end` has come and is not processed.
    incoming: Vec<u8>,
    start: usize,
    end: usize,
    /// Plain bytes that did not fit where they were wanted; those before `taken` are gone.
    plain: Vec<u8>,
    taken: usize,
    /// `sent..queued` is encrypted and not sent.
    outgoing: Vec<u8>,
    sent: usize,
    queued: usize,
    /// The other side has said that nothing follows.
    closed: bool,
    /// What came was not what the other side should send: nothing after it counts.
    failed: bool,
}

/// What became of the bytes that were given to [`Secure::process`].
#[derive(Default)]
struct Moved {
    read: usize,
    written: usize,
}

impl Secure {
    /// Shakes hands: afterwards the other side is known to be `name`.
    pub(super) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        socket: TcpStream,
    ) -> io::Result<Self> {
        let session = UnbufferedClientConnection::new(config, name).map_err(wrong)?;
        let mut this = Self {
            session,
            socket,
            incoming: vec![0; INCOMING_SMALL],
            start: 0,
            end: 0,
            plain: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            queued: 0,
            closed: false,
            failed: false,
        };
        this.process(&mut [], &[])?;
        while this.session.is_handshaking() {
            this.send()?;
            this.receive()?;
            this.process(&mut [], &[])?;
        }
        Ok(this)
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether no plain byte has come and nothing was closed. Records that only serve TLS itself, such as tickets, which
    /// servers send when they like, are no answer. The socket must not block.
    pub(super) fn is_quiet(&mut self) -> bool {
        loop {
            if self.process(&mut [], &[]).is_err() || self.closed || !self.plain.is_empty() {
                return false;
            }
            match self.receive() {
                Ok(()) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Takes what the socket has.
    fn receive(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.incoming.len() {
            self.incoming.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.incoming.len() {
                return Err(wrong("a message of TLS is too long"));
            }
        }
        match retry(|| self.socket.read(&mut self.incoming[self.end..]))? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed, and TLS was not",
            )),
            came => {
                self.end += came;
                if self.end == self.incoming.len() && self.end < INCOMING {
                    self.incoming.resize(INCOMING, 0);
                }
                Ok(())
            }
        }
    }

    /// Sends what is encrypted.
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.queued {
            match retry(|| self.socket.write(&self.outgoing[self.sent..self.queued]))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => self.sent += sent,
            }
        }
        (self.sent, self.queued) = (0, 0);
        Ok(())
    }

    /// Processes what has come until `into` is full or more must come, and encrypts some of `from` if there is any.
    fn process(&mut self, into: &mut [u8], from: &[u8]) -> io::Result<Moved> {
        let mut moved = Moved::default();
        if self.failed {
            return Err(wrong("TLS has failed before"));
        }
        loop {
            let status = self
                .session
                .process_tls_records(&mut self.incoming[self.start..self.end]);
            let (outgoing, queued) = (&mut self.outgoing, &mut self.queued);
            let goes_on = match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let room = &mut into[moved.read..];
                    let fits = traffic.peek_len().is_none_or(|length| length.get() <= room.len());
                    if fits || moved.read == 0 {
                        if let Some(record) = traffic.next_record() {
                            let payload = record.map_err(wrong)?.payload;
                            let (now, later) = payload.split_at(payload.len().min(room.len()));
                            room[..now.len()].copy_from_slice(now);
                            moved.read += now.len();
                            self.plain.extend_from_slice(later);
                        }
                        fits || !from.is_empty()
                    } else {
                        false
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    put(outgoing, queued, |room| match data.encode(room) {
                        Err(EncodeError::InsufficientSize(error)) => Ok(Err(error.required_size)),
                        encoded => encoded.map(Ok).map_err(wrong),
                    })?;
                    true
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It is sent before anything is read or encrypted after it.
                    data.done();
                    true
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.closed = true;
                    true
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let from = &from[..from.len().min(PIECE)];
                    if !from.is_empty() {
                        put(outgoing, queued, |room| match traffic.encrypt(from, room) {
                            Err(EncryptError::InsufficientSize(error)) => Ok(Err(error.required_size)),
                            encrypted => encrypted.map(Ok).map_err(wrong),
                        })?;
                        moved.written = from.len();
                    }
                    false
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => false,
                Ok(other) => {
                    return Err(wrong(format!(
                        "TLS is in a state that clients have not: {other:?}"
                    )));
                }
                Err(error) => {
                    self.start += status.discard;
                    self.failed = true;
                    self.tell();
                    return Err(wrong(error));
                }
            };
            self.start += status.discard;
            if !goes_on {
                return Ok(moved);
            }
        }
    }

    /// Tells the other side why it is not believed, if it still listens.
    fn tell(&mut self) {
        let status = self
            .session
            .process_tls_records(&mut self.incoming[self.start..self.end]);
        if let Ok(ConnectionState::EncodeTlsData(mut alert)) = status.state {
            let room = &mut [0; 512];
            if let Ok(length) = alert.encode(room) {
                // It may be gone: then there is nobody to tell.
                let _ = self.send().and_then(|()| self.socket.write_all(&room[..length]));
            }
        }
    }
}

/// Appends to what is queued: `write` says how much it wrote, or how much room it needs.
fn put(
    outgoing: &mut Vec<u8>,
    queued: &mut usize,
    mut write: impl FnMut(&mut [u8]) -> io::Result<Result<usize, usize>>,
) -> io::Result<()> {
    loop {
        match write(&mut outgoing[*queued..])? {
            Ok(written) => {
                *queued += written;
                return Ok(());
            }
            Err(needed) => outgoing.resize(*queued + needed, 0),
        }
    }
}

fn wrong(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Read for Secure {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.plain.is_empty() {
                let rest = &self.plain[self.taken..];
                let taken = rest.len().min(into.len());
                into[..taken].copy_from_slice(&rest[..taken]);
                self.taken += taken;
                if self.taken == self.plain.len() {
                    self.plain.clear();
                    self.taken = 0;
                }
                return Ok(taken);
            }
            match self.process(into, &[])?.read {
                0 if self.closed => return Ok(0),
                0 => {}
                read => return Ok(read),
            }
            // Where nothing can be sent there may be an answer all the same; if not, this says what is wrong.
            let _ = self.send();
            self.receive()?;
        }
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send()?;
        let written = self.process(&mut [], bytes)?.written;
        if written == 0 && !bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "TLS was closed"));
        }
        match self.send() {
            // What is queued goes out with the next call.
            Err(error) if is_passing(&error) => Ok(written),
            sent => sent.map(|()| written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests;
