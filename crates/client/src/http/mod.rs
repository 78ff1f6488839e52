//! HTTP/1.1 as a registry needs it: bodies are written by whoever has the bytes, when they have them.

mod body;
mod connection;
mod headers;
mod proxy;
mod secure;
mod tls;
mod url;

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

pub(crate) use body::Framing;
pub use connection::Timeouts;
use connection::{Connection, named};
pub(crate) use headers::Head;
pub(crate) use proxy::Proxies;
use tls::Trust;
pub(crate) use url::{Origin, Scheme, Url, escape, is_loopback};

use crate::Error;

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Anywhere,
    /// Not into private networks: somebody on the open network sent us there.
    Public,
}

/// A request. It has no `Debug`, because its headers hold secrets.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) url: &'a Url,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: &'a [u8],
    pub(crate) reach: Reach,
}

impl Request<'_> {
    /// For messages.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }

    fn head(&self, length: u64, connection: &Connection) -> String {
        let authority = self.url.origin.authority();
        let mut head = format!("{} ", self.method);
        if connection.whole_address {
            head.push_str(&format!("{}://{authority}", self.url.origin.scheme.as_str()));
        }
        head.push_str(&format!(
            "{} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: modelkeep/{}\r\n",
            self.url.target,
            env!("CARGO_PKG_VERSION")
        ));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(authorization) = &connection.proxy_authorization {
            head.push_str(&format!("Proxy-Authorization: {}\r\n", authorization.expose()));
        }
        if length > 0 || matches!(self.method, "POST" | "PUT" | "PATCH") {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head
    }
}

/// Idle connections that are kept.
const IDLE: usize = 16;

type Pool = Arc<Mutex<Vec<(Origin, Connection)>>>;

/// Sends requests, one at a time on each connection, and uses connections again.
pub(crate) struct Http {
    trust: Trust,
    proxies: Proxies,
    timeouts: Timeouts,
    pool: Pool,
}

impl Http {
    pub(crate) fn new(ca: Option<PathBuf>, proxies: Proxies, timeouts: Timeouts) -> Self {
        Self {
            trust: Trust::new(ca),
            proxies,
            timeouts,
            pool: Pool::default(),
        }
    }

    /// Sends a request with its body, and reads the head of the answer.
    pub(crate) fn send(&self, request: &Request<'_>) -> Result<Response, Error> {
        let length = request.body.len() as u64;
        let mut upload = self.begin(request, length)?;
        // An answer may come before the body was taken: then it says why.
        let _ = upload.write(request.body);
        upload.finish()
    }

    /// Sends the head of a request whose body of `length` bytes follows by [`Upload::write`].
    pub(crate) fn begin(&self, request: &Request<'_>, length: u64) -> Result<Upload, Error> {
        // One that was closed meanwhile is found here, where nothing is lost yet.
        while let Some(mut connection) = self.idle(request) {
            if connection.is_idle()
                && let Ok(upload) = self.begin_on(connection, request, length)
            {
                return Ok(upload);
            }
        }
        let proxy = self.proxies.for_url(request.url);
        let opened = Connection::open(request.url, proxy, &self.trust, self.timeouts, request.reach)?;
        self.begin_on(opened, request, length)
    }

    fn begin_on(
        &self,
        mut connection: Connection,
        request: &Request<'_>,
        length: u64,
    ) -> Result<Upload, Error> {
        let head = request.head(length, &connection);
        connection
            .write(head.as_bytes())
            .map_err(|source| Error::Connection {
                host: request.url.origin.authority(),
                source,
            })?;
        Ok(Upload {
            connection,
            pool: Arc::clone(&self.pool),
            origin: request.url.origin.clone(),
            method: request.method,
            name: request.name(),
            left: length,
        })
    }

    fn idle(&self, request: &Request<'_>) -> Option<Connection> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pool.iter().rposition(|(origin, connection)| {
            *origin == request.url.origin && (request.reach == Reach::Anywhere || connection.peer_is_public)
        })?;
        Some(pool.swap_remove(at).1)
    }
}

/// A request whose body is being written.
pub(crate) struct Upload {
    connection: Connection,
    pool: Pool,
    origin: Origin,
    method: &'static str,
    name: String,
    left: u64,
}

impl Upload {
    /// Writes a piece of the body, from the caller's memory into the connection.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.write(bytes)?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Ok(())
    }

    /// Writes a piece of the body out of a file.
    pub(crate) fn write_file(&mut self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        self.connection.write_file(file, offset, length)?;
        self.left = self.left.saturating_sub(length);
        Ok(())
    }

    /// Reads the head of the answer.
    pub(crate) fn finish(mut self) -> Result<Response, Error> {
        let head = self
            .connection
            .head()
            .and_then(|head| Ok((head.framing(self.method)?, head)));
        let ((framing, keeps), head) =
            head.map_err(|source| answer_error(&self.origin, &self.name, source))?;
        Ok(Response {
            head,
            framing,
            peer_is_public: self.connection.peer_is_public,
            name: self.name,
            // What of the body was not sent would be read as the next request.
            keeps: keeps && self.left == 0,
            connection: Some(self.connection),
            pool: self.pool,
            origin: self.origin,
        })
    }
}

fn answer_error(origin: &Origin, name: &str, source: io::Error) -> Error {
    let host = origin.authority();
    // A TLS alert is of this kind too, and comes with a cause; what our own parsers say comes as a text.
    let is_tls = source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if source.kind() == io::ErrorKind::InvalidData && !is_tls {
        return Error::Protocol {
            host,
            request: name.to_owned(),
            reason: source.to_string(),
        };
    }
    Error::Connection { host, source }
}

/// An answer, whose body is still to be read. When all of it was read, the connection serves again.
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) peer_is_public: bool,
    /// Method and path of the request.
    pub(crate) name: String,
    framing: Framing,
    keeps: bool,
    connection: Option<Connection>,
    pool: Pool,
    origin: Origin,
}

impl Response {
    pub(crate) fn host(&self) -> String {
        self.origin.authority()
    }

    /// Reads a body that must not have more than `limit` bytes.
    pub(crate) fn small_body(mut self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let read = (&mut self).take(limit + 1).read_to_end(&mut body);
        read.map_err(|source| answer_error(&self.origin, &self.name, source))?;
        if body.len() as u64 > limit {
            return Err(Error::Protocol {
                host: self.host(),
                request: self.name.clone(),
                reason: format!("it has more than {limit} bytes"),
            });
        }
        Ok(body)
    }

    /// Reads what is left of a small body, so that the connection serves again.
    pub(crate) fn discard(mut self) {
        // Its content matters to nobody, nor does its failure.
        let _ = io::copy(&mut (&mut self).take(64 << 10), &mut io::sink());
    }

    fn keep(&mut self) {
        if self.framing == Framing::Ended
            && let Some(connection) = self.connection.take()
            && self.keeps
        {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            if pool.len() < IDLE {
                pool.push((self.origin.clone(), connection));
            }
        }
    }
}

impl Read for Response {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(connection) = &mut self.connection else {
            return Ok(0);
        };
        let came = self.framing.read(connection.reader(), into).map_err(named)?;
        if self.framing == Framing::Ended {
            self.keep();
        }
        Ok(came)
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        self.keep();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn whoever_is_sent_on_from_the_open_network_gets_nowhere_near() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let http = Http::new(None, Proxies::default(), Timeouts::default());
        for host in ["127.0.0.1", "localhost", "169.254.169.254", "[::1]"] {
            let url = Url::parse(&format!("http://{host}:{port}/latest")).unwrap();
            let request = Request {
                method: "GET",
                url: &url,
                headers: Vec::new(),
                body: &[],
                reach: Reach::Public,
            };
            let refused = http.send(&request).err();
            assert!(
                matches!(refused, Some(Error::Redirect { .. })),
                "{host}: {refused:?}"
            );
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "somebody came");
    }
}
