use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
use rustix::io::Errno;
use rustls::pki_types::ServerName;

use super::{
    Reach,
    headers::Head,
    proxy::Proxy,
    secure::Secure,
    tls::Trust,
    url::{Scheme, Url, is_public},
};
use crate::Error;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to one address.
    pub connect: Duration,
    /// For the first byte of an answer: some registries copy a blob before they say that they have it.
    pub first_byte: Duration,
    /// Between two pieces of a body, either way.
    pub progress: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            first_byte: Duration::from_secs(300),
            progress: Duration::from_secs(60),
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "a handful of connections exist")]
enum Stream {
    Plain(TcpStream),
    Tls(Secure),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.socket(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Bytes that are read ahead. Larger reads go past this buffer.
const AHEAD: usize = 16 << 10;

/// How often a write that does not get on looks whether there is an answer already.
const LOOK_UP: Duration = Duration::from_secs(1);
/// Bytes of a file that are read at once where the system does not send them itself.
const FILE_PIECE: usize = 256 << 10;

/// A connection to one origin, perhaps through a proxy.
pub(super) struct Connection {
    stream: BufReader<Stream>,
    timeouts: Timeouts,
    /// Whether the other side lies on the open network. Unknown behind a proxy, where it counts as such.
    pub(super) peer_is_public: bool,
    /// Whether requests name the whole address, as a proxy wants it.
    pub(super) whole_address: bool,
    pub(super) proxy_authorization: Option<crate::Secret>,
}

impl Connection {
    pub(super) fn open(
        url: &Url,
        proxy: Option<&Proxy>,
        trust: &Trust,
        timeouts: Timeouts,
        reach: Reach,
    ) -> Result<Self, Error> {
        let origin = &url.origin;
        let at = proxy.map_or(origin, |proxy| &proxy.url.origin);
        let failed = |source| Error::Connection {
            host: at.authority(),
            source,
        };
        let direct = proxy.is_none();
        let literal = origin.host.parse().ok();
        if reach == Reach::Public && literal.is_some_and(|address| !is_public(address)) {
            return Err(private(url));
        }
        let addresses: Vec<SocketAddr> = (at.host.as_str(), at.port)
            .to_socket_addrs()
            .map_err(|error| failed(unknown_host(error)))?
            .collect();
        if direct && reach == Reach::Public && addresses.iter().any(|address| !is_public(address.ip())) {
            return Err(private(url));
        }
        let socket = connect(&addresses, timeouts.connect).map_err(failed)?;
        let peer = socket.peer_addr().map_err(failed)?;
        let prepared = socket
            .set_nodelay(true)
            .and_then(|()| socket.set_write_timeout(Some(LOOK_UP.min(timeouts.progress))))
            .and_then(|()| socket.set_read_timeout(Some(timeouts.first_byte)));
        prepared.map_err(failed)?;
        let mut socket = socket;
        if let (Some(proxy), Scheme::Https) = (proxy, origin.scheme) {
            tunnel(&mut socket, proxy, url)?;
        }
        let stream = match origin.scheme {
            Scheme::Http => Stream::Plain(socket),
            Scheme::Https => {
                let name = ServerName::try_from(origin.host.clone())
                    .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
                let secure = Secure::connect(trust.config()?, name, socket);
                Stream::Tls(secure.map_err(|error| failed(named(error)))?)
            }
        };
        let plain_proxy = proxy.filter(|_| origin.scheme == Scheme::Http);
        Ok(Self {
            stream: BufReader::with_capacity(AHEAD, stream),
            timeouts,
            peer_is_public: !direct || is_public(peer.ip()),
            whole_address: plain_proxy.is_some(),
            proxy_authorization: plain_proxy.and_then(|proxy| proxy.authorization.clone()),
        })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut moved = Instant::now();
        while !bytes.is_empty() {
            match self.stream.get_mut().write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    bytes = &bytes[taken..];
                    moved = Instant::now();
                }
                Err(error) => self.stuck(error, moved)?,
            }
        }
        Ok(())
    }

    /// Whether to try once more after `error`: not if the other side has answered instead of reading on, and not when
    /// nothing moved for too long.
    fn stuck(&mut self, error: io::Error, moved: Instant) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                if moved.elapsed() < self.timeouts.progress =>
            {
                if self.is_idle() {
                    return Ok(());
                }
                Err(io::Error::new(
                    io::ErrorKind::BrokenPipe,
                    "it answered before it had everything",
                ))
            }
            _ => Err(named(error)),
        }
    }

    /// Writes bytes of a file: where nothing has to be encrypted, the system takes them from where it has them.
    pub(super) fn write_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        let end = offset.saturating_add(length);
        let mut at = offset;
        #[cfg(target_os = "linux")]
        let mut moved = Instant::now();
        #[cfg(target_os = "linux")]
        while at < end {
            let Stream::Plain(socket) = self.stream.get_ref() else {
                break;
            };
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
            match rustix::fs::sendfile(socket, file, Some(&mut at), most) {
                Ok(0) => return Err(short_file()),
                Ok(_) => moved = Instant::now(),
                // Some file systems do not do that.
                Err(Errno::INVAL | Errno::NOSYS) => break,
                Err(error) => self.stuck(error.into(), moved)?,
            }
        }
        let mut buffer = Vec::new();
        while at < end {
            buffer.resize(FILE_PIECE, 0);
            let most = usize::try_from(end - at).unwrap_or(FILE_PIECE).min(FILE_PIECE);
            let came = match file.read_at(&mut buffer[..most], at) {
                Ok(0) => return Err(short_file()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                came => came?,
            };
            self.write(&buffer[..came])?;
            at += came as u64;
        }
        Ok(())
    }

    pub(super) fn head(&mut self) -> io::Result<Head> {
        let moved = Instant::now();
        while let Err(error) = self.stream.get_mut().flush() {
            match self.stuck(error, moved) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                // The answer says why it does not want more, if there is one.
                Err(_) => break,
                Ok(()) => {}
            }
        }
        let socket = self.stream.get_ref().socket();
        socket.set_read_timeout(Some(self.timeouts.first_byte))?;
        let head = Head::read(&mut self.stream).map_err(named)?;
        let socket = self.stream.get_ref().socket();
        socket.set_read_timeout(Some(self.timeouts.progress))?;
        Ok(head)
    }

    pub(super) fn reader(&mut self) -> &mut impl BufRead {
        &mut self.stream
    }

    /// Whether nothing has come, and nothing was closed, since the last answer.
    pub(super) fn is_idle(&mut self) -> bool {
        if !self.stream.buffer().is_empty() {
            return false;
        }
        let stream = self.stream.get_mut();
        if stream.socket().set_nonblocking(true).is_err() {
            return false;
        }
        let quiet = match stream {
            Stream::Plain(socket) => {
                matches!(socket.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Stream::Tls(stream) => stream.is_quiet(),
        };
        stream.socket().set_nonblocking(false).is_ok() && quiet
    }
}

/// A timeout by its name: the system says that the operation would block.
pub(super) fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long")
        }
        _ => error,
    }
}

/// Not a broken connection: it fails the same way the next time.
fn short_file() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the file became shorter while it was sent",
    )
}

fn private(url: &Url) -> Error {
    Error::Redirect {
        host: "a registry on the open network".to_owned(),
        to: url.origin.authority(),
        reason: "it lies in a private network or on this machine",
    }
}

/// Names that do not exist are told from name servers that do not answer by the text alone.
fn unknown_host(error: io::Error) -> io::Error {
    if error.to_string().contains("Temporary failure") {
        return error;
    }
    io::Error::new(io::ErrorKind::NotFound, error)
}

fn connect(addresses: &[SocketAddr], timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, timeout) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks a proxy for a connection to the host of `url`.
fn tunnel(socket: &mut TcpStream, proxy: &Proxy, url: &Url) -> Result<(), Error> {
    let failed = |source| Error::Connection {
        host: proxy.url.origin.authority(),
        source,
    };
    let to = url.origin.with_port();
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", authorization.expose()));
    }
    request.push_str("\r\n");
    socket.write_all(request.as_bytes()).map_err(failed)?;
    // One byte at a time: what follows the head belongs to TLS.
    let head =
        Head::read(&mut BufReader::with_capacity(1, &mut *socket)).map_err(|error| failed(named(error)))?;
    if head.status != 200 {
        return Err(Error::Status {
            host: proxy.url.origin.authority(),
            request: format!("CONNECT {to}"),
            status: head.status,
            problem: String::new(),
            retry_after: None,
        });
    }
    Ok(())
}
