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
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    /// An engine that answers one request, and gives what it was sent.
    fn engine(
        answer: &'static [u8],
        takes: usize,
    ) -> (Daemon, thread::JoinHandle<Vec<u8>>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                let mut piece = [0; 1024];
                let came = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..came]);
            }
            let body = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            let mut rest = vec![0; takes.saturating_sub(request.len() - body)];
            stream.read_exact(&mut rest).unwrap();
            request.extend(rest);
            stream.write_all(answer).unwrap();
            request
        });
        (Daemon { socket }, asked, directory)
    }

    fn variable(value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |name| (name == "DOCKER_HOST").then(|| value.to_owned())
    }

    #[test]
    fn the_engine_is_the_one_that_the_environment_names() {
        let named = Daemon::from_environment(&variable("unix:///run/my.sock")).unwrap();
        assert_eq!(named.socket(), Path::new("/run/my.sock"));
        for default in [
            Daemon::from_environment(&|_| None),
            Daemon::from_environment(&variable("")),
        ] {
            assert_eq!(default.unwrap().socket(), Path::new(SOCKET));
        }
        for other in ["tcp://10.0.0.1:2375", "ssh://host", "unix://relative"] {
            assert!(Daemon::from_environment(&variable(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn an_image_is_saved_as_it_comes() {
        let (daemon, asked, _kept) = engine(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            0,
        );
        let mut bytes = Vec::new();
        daemon
            .save("ghcr.io/a/b:1")
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        assert_eq!(bytes, b"abcde");
        let asked = String::from_utf8(asked.join().unwrap()).unwrap();
        assert!(
            asked.starts_with("GET /images/ghcr.io/a/b:1/get HTTP/1.1\r\n"),
            "{asked}"
        );
    }

    #[test]
    fn an_image_that_breaks_off_is_an_error() {
        let (daemon, _asked, _kept) = engine(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
            0,
        );
        let mut bytes = Vec::new();
        assert!(daemon.save("a:1").unwrap().read_to_end(&mut bytes).is_err());
    }

    #[test]
    fn an_image_that_is_not_there_is_not_found() {
        const ANSWER: &[u8] =
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 26\r\n\r\n{\"message\":\"No such image\"}";
        let (daemon, _asked, _kept) = engine(ANSWER, 0);
        assert!(matches!(
            daemon.save("a:1").err(),
            Some(content::Error::NotFound { .. })
        ));
        let (daemon, _asked, _kept) = engine(ANSWER, 0);
        assert!(daemon.inspect("a:1").unwrap().is_none());
    }

    #[test]
    fn what_an_engine_says_of_an_image_is_read() {
        let (daemon, _asked, _kept) = engine(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"Id\":\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"RootFS\":{\"Type\":\"layers\"}}",
            0,
        );
        let inspected = daemon.inspect("a:1").unwrap().unwrap();
        assert_eq!(inspected.id.short(), "ba7816bf8f01");
        assert!(inspected.root_fs.layers.is_empty());
    }

    #[test]
    fn an_archive_is_loaded_and_a_refusal_is_told() {
        let load = |answer, size| {
            let (daemon, asked, _kept) = engine(answer, 3);
            let loaded: Result<()> = daemon.load(size, |stream| {
                stream.write_all(b"tar").map_err(content::Error::io("write"))
            });
            (loaded, String::from_utf8(asked.join().unwrap()).unwrap())
        };
        let (loaded, asked) = load(b"HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"Loaded\"}\r\n", 3);
        loaded.unwrap();
        assert!(asked.starts_with("POST /images/load?quiet=1 "), "{asked}");
        assert!(
            asked.contains("Content-Length: 3\r\n") && asked.ends_with("tar"),
            "{asked}"
        );
        let refusals: [&[u8]; 2] = [
            b"HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"x\"}\n{\"errorDetail\":{},\"error\":\"no space\"}\n",
            b"HTTP/1.1 500 Error\r\nContent-Length: 22\r\n\r\n{\"message\":\"no space\"}",
        ];
        for answer in refusals {
            let (loaded, _) = load(answer, 3);
            let error = loaded.unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains("no space"), "{cause}");
        }
    }

    #[test]
    fn an_engine_that_is_not_there_is_told() {
        let daemon = Daemon {
            socket: "/nowhere/docker.sock".into(),
        };
        let error = daemon.inspect("a:1").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("/nowhere/docker.sock"), "{cause}");
    }
}
