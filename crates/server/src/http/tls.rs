//! TLS: certificates from files, and a wire over them.

use super::limits::Limits;
use super::wire::{Socket, Wire};
use super::{Event, Handler};
use crate::watched::Watched;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Files are looked at this often, when a connection arrives.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// No certificate in the file.
    #[error("{path} holds no certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are of an unknown kind or do not belong together.
    #[error("cannot use certificate {path}")]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// A certificate chain and its private key in two PEM files, read again when they change.
pub struct TlsFiles {
    config: Watched<Arc<ServerConfig>, TlsError>,
}

impl TlsFiles {
    /// Reads both files.
    ///
    /// # Errors
    /// When a file cannot be read, or the two do not go together. Later, after a change, this only
    /// means that the previous certificate stays in use; see [`Event::Reload`].
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let paths = vec![certificate.to_owned(), key.to_owned()];
        Self::watching(paths, CHECK_EVERY)
    }

    fn watching(paths: Vec<PathBuf>, every: Duration) -> Result<Self, TlsError> {
        Ok(Self {
            config: Watched::open(paths, every, |paths| load(&paths[0], &paths[1]))?,
        })
    }
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsFiles").finish_non_exhaustive()
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let unusable = |source| TlsError::Unusable {
        path: certificate.to_owned(),
        source,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: certificate.to_owned(),
        });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Shakes hands on `socket`, within the time a head may take.
pub(crate) fn accept(
    files: &TlsFiles,
    mut socket: Socket,
    limits: &Limits,
    handler: &dyn Handler,
) -> io::Result<TlsWire> {
    let (config, failure) = files.config.get();
    if let Some(error) = failure {
        handler.observe(&Event::Reload(&error));
    }
    let mut session = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
    socket.allow_reads(limits.head);
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(TlsWire(StreamOwned::new(session, socket)))
}

/// The socket below TLS, without waiting for it.
struct Now<'a>(&'a mut Socket);

impl Read for Now<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(out)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_now(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection under TLS. Files are copied into it: the kernel does not see the plain bytes' cipher.
pub(crate) struct TlsWire(StreamOwned<ServerConnection, Socket>);

impl Read for TlsWire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for TlsWire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Wire for TlsWire {
    fn allow_reads(&mut self, time: Duration) {
        self.0.sock.allow_reads(time);
    }

    fn is_ready(&mut self, patience: Duration) -> io::Result<bool> {
        Ok(self.holds_back() || self.0.sock.is_ready(patience)?)
    }

    fn read_now(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (session, socket) = (&mut self.0.conn, &mut self.0.sock);
        loop {
            match session.reader().read(out) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if session.read_tls(&mut Now(socket))? == 0 {
                return Ok(0);
            }
            if let Err(error) = session.process_new_packets() {
                // The peer is told why, if there is room for it.
                let _ = session.write_tls(&mut Now(socket));
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (session, socket) = (&mut self.0.conn, &mut self.0.sock);
        let written = session.writer().write(bytes)?;
        while session.wants_write() {
            match session.write_tls(&mut Now(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn is_behind(&self) -> bool {
        self.0.conn.wants_write()
    }

    fn holds_back(&self) -> bool {
        // It wants nothing when it has deciphered bytes.
        !self.0.conn.wants_read()
    }

    fn end_writes(&mut self) {
        self.0.conn.send_close_notify();
        // A peer that is gone need not be told.
        let _ = self.0.flush();
        self.0.sock.end_writes();
    }

    fn is_secure(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_certificate_is_taken_up_once_both_files_go_together() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        let renew = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let first = renew();
        std::fs::write(&paths[0], first.cert.pem()).unwrap();
        std::fs::write(&paths[1], first.signing_key.serialize_pem()).unwrap();
        let files = TlsFiles::watching(paths.to_vec(), Duration::ZERO).unwrap();
        let (before, _) = files.config.get();
        let second = renew();
        // As renewal tools do: a new file in the old one's place.
        let replace = |path: &Path, text: String| {
            let aside = path.with_extension("new");
            std::fs::write(&aside, text).unwrap();
            std::fs::rename(aside, path).unwrap();
        };
        replace(&paths[0], second.cert.pem());
        let (between, failure) = files.config.get();
        assert!(Arc::ptr_eq(&before, &between), "the old pair stays in use");
        assert!(matches!(failure, Some(TlsError::Unusable { .. })));
        replace(&paths[1], second.signing_key.serialize_pem());
        let (after, failure) = files.config.get();
        assert!(!Arc::ptr_eq(&before, &after) && failure.is_none());
    }
}
