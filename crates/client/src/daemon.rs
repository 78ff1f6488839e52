//! The docker engine of this machine, by its API over a socket (Docker Engine API, "Export an image", "Import images").

use std::{
    io::{self, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use modelkeep_core::{
    Digest,
    content::{self, Result},
};
use serde::Deserialize;

use crate::{
    Error,
    http::{Framing, Head, escape},
};

const SOCKET: &str = "/var/run/docker.sock";
/// Bytes that are read ahead.
const AHEAD: usize = 64 << 10;
/// Most bytes of an answer that is not an image.
const SMALL: u64 = 4 << 20;
/// How long the engine may say nothing: it writes what was loaded to its disk before it answers.
const PATIENCE: Duration = Duration::from_secs(600);

/// A docker engine, or one that speaks its API, such as podman's.
#[derive(Clone, Debug)]
pub struct Daemon {
    socket: PathBuf,
}

/// What an engine says of an image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    /// Digest of the image config, or of the manifest where the engine keeps those.
    pub id: Digest,
    /// Bytes of the layers, unpacked; 0 where the engine does not say.
    #[serde(default)]
    pub size: u64,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: InspectedLayers,
}

/// The layers of an image in an engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedLayers {
    /// Digests of the uncompressed layers, lowest first.
    #[serde(default)]
    pub layers: Vec<Digest>,
}

impl Daemon {
    /// The engine that `DOCKER_HOST` names, else the one of this machine. `variable` reads the environment. Nothing is
    /// sent yet.
    ///
    /// # Errors
    /// [`Error::Url`] when `DOCKER_HOST` is no socket of this machine.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> std::result::Result<Self, Error> {
        let host = variable("DOCKER_HOST").filter(|host| !host.is_empty());
        let socket = match &host {
            None => SOCKET,
            Some(host) => host
                .strip_prefix("unix://")
                .filter(|path| path.starts_with('/'))
                .ok_or_else(|| Error::Url {
                    url: host.chars().take(200).collect(),
                    reason: "DOCKER_HOST must be a socket of this machine, unix:///PATH",
                })?,
        };
        Ok(Self {
            socket: socket.into(),
        })
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the engine says of the image `name`; `None` when it does not have it.
    ///
    /// # Errors
    /// What the engine says.
    pub fn inspect(&self, name: &str) -> Result<Option<Inspected>> {
        let doing = || format!("look {name} up in the docker engine");
        let path = format!("/images/{}/json", escape_name(name));
        let answer = match self.get(&path) {
            Err(Error::Status { status: 404, .. }) => return Ok(None),
            answer => answer.map_err(|error| error.while_doing(doing()))?,
        };
        let body = answer.small().map_err(|error| error.while_doing(doing()))?;
        let inspected = serde_json::from_slice(&body);
        inspected.map(Some).map_err(|error| {
            let error = self.protocol(&path, error.to_string());
            error.while_doing(doing())
        })
    }

    /// The archive of the image `name`, as `docker save` writes it.
    ///
    /// # Errors
    /// [`content::Error::NotFound`] when the engine does not have it; what the engine says.
    pub fn save(&self, name: &str) -> Result<impl Read + use<>> {
        let answer = self.get(&format!("/images/{}/get", escape_name(name)));
        answer.map_err(|error| match error {
            Error::Status { status: 404, .. } => content::Error::NotFound {
                what: format!("the image {name}"),
                place: format!("the docker engine at {}", self.socket.display()),
            },
            error => error.while_doing(format!("read {name} from the docker engine")),
        })
    }

    /// Gives the engine an archive of `size` bytes, as `docker load` does. `write` is handed whatever takes the bytes,
    /// and its error ends the loading.
    ///
    /// # Errors
    /// What `write` says, what the engine says.
    pub fn load<E: From<content::Error>>(
        &self,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        const PATH: &str = "/images/load?quiet=1";
        let doing = |error: Error| error.while_doing("load an image into the docker engine");
        let mut stream = self
            .send(
                "POST",
                PATH,
                &format!("Content-Type: application/x-tar\r\nContent-Length: {size}\r\n"),
            )
            .map_err(doing)?;
        let written = write(&mut stream);
        // An engine that refuses says why before it takes the rest.
        let answered = match &written {
            Ok(()) => Answer::read(stream, "POST", PATH, &self.socket).and_then(Answer::small),
            Err(_) => {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                match Answer::read(stream, "POST", PATH, &self.socket) {
                    Err(error @ Error::Status { .. }) => return Err(doing(error).into()),
                    _ => return written,
                }
            }
        };
        let said = answered.map_err(doing)?;
        match refusal(&said) {
            Some(problem) => Err(doing(self.protocol(PATH, problem)).into()),
            None => Ok(()),
        }
    }

    fn get(&self, path: &str) -> std::result::Result<Answer, Error> {
        let stream = self.send("GET", path, "")?;
        Answer::read(stream, "GET", path, &self.socket)
    }

    fn send(&self, method: &str, path: &str, headers: &str) -> std::result::Result<UnixStream, Error> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: modelkeep/{}\r\nConnection: close\r\n{headers}\r\n",
            env!("CARGO_PKG_VERSION")
        );
        let sent = UnixStream::connect(&self.socket).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(head.as_bytes())?;
            Ok(stream)
        });
        sent.map_err(|source| connection(&self.socket, source))
    }

    fn protocol(&self, path: &str, reason: String) -> Error {
        Error::Protocol {
            host: place(&self.socket),
            request: path.to_owned(),
            reason: reason.chars().take(400).collect(),
        }
    }
}

fn place(socket: &Path) -> String {
    format!("the docker engine at {}", socket.display())
}

fn connection(socket: &Path, source: io::Error) -> Error {
    Error::Connection {
        host: place(socket),
        source,
    }
}

/// A name in a path: slashes and colons are part of the address.
fn escape_name(name: &str) -> String {
    name.split('/')
        .map(|part| part.split(':').map(escape).collect::<Vec<_>>().join(":"))
        .collect::<Vec<_>>()
        .join("/")
}

/// What one of the lines that an engine says while it loads calls an error: the status was sent before it knew.
fn refusal(said: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        error: Option<String>,
    }
    let lines = serde_json::Deserializer::from_slice(said).into_iter::<Line>();
    lines
        .map_while(std::result::Result::ok)
        .find_map(|line| line.error)
}

/// An answer, whose body is still to be read.
struct Answer {
    stream: BufReader<UnixStream>,
    framing: Framing,
}

impl Answer {
    fn read(stream: UnixStream, method: &str, path: &str, socket: &Path) -> std::result::Result<Self, Error> {
        let mut stream = BufReader::with_capacity(AHEAD, stream);
        let head = Head::read(&mut stream).map_err(|source| connection(socket, source))?;
        let (framing, _) = head
            .framing(method)
            .map_err(|source| connection(socket, source))?;
        let answer = Self { stream, framing };
        if (200..300).contains(&head.status) {
            return Ok(answer);
        }
        let body = answer.small().unwrap_or_default();
        Err(Error::Status {
            host: place(socket),
            request: format!("{method} {path}"),
            status: head.status,
            problem: match crate::problem::describe(&String::from_utf8_lossy(&body)) {
                said if said.is_empty() => said,
                said => format!(": {said}"),
            },
            retry_after: None,
        })
    }

    fn small(mut self) -> std::result::Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        let read = (&mut self).take(SMALL).read_to_end(&mut body);
        read.map_err(|source| Error::Connection {
            host: "the docker engine".to_owned(),
            source,
        })?;
        Ok(body)
    }
}

impl Read for Answer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.framing.read(&mut self.stream, into)
    }
}

#[cfg(test)]
mod tests;
