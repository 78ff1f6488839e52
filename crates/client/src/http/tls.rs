use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::Error;

/// Whom we believe: the authorities of the machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), and one file
/// more. Read when the first connection needs it.
#[derive(Debug)]
pub(crate) struct Trust {
    more: Option<PathBuf>,
    config: Mutex<Option<Arc<ClientConfig>>>,
}

impl Trust {
    pub(crate) fn new(more: Option<PathBuf>) -> Self {
        Self {
            more,
            config: Mutex::default(),
        }
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*config {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if let Some(path) = &self.more {
            add(&mut roots, path).map_err(|source| Error::Setup {
                what: format!("cannot use the authorities in {}", path.display()),
                source,
            })?;
        }
        if roots.is_empty() {
            let reason = found.errors.first().map_or_else(
                || "the machine has no list of authorities".to_owned(),
                ToString::to_string,
            );
            return Err(Error::Setup {
                what: "cannot verify any registry: install ca-certificates, or name a file with --ca"
                    .to_owned(),
                source: io::Error::other(reason),
            });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let built = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Setup {
                what: "cannot set TLS up".to_owned(),
                source: io::Error::other(error),
            })?;
        let built = Arc::new(built.with_root_certificates(roots).with_no_client_auth());
        *config = Some(Arc::clone(&built));
        Ok(built)
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> io::Result<()> {
    let text = std::fs::read(path)?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
        count += 1;
    }
    match count {
        0 => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds no certificate in PEM",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        let error = Trust::new(Some(file.path().to_owned())).config().unwrap_err();
        assert!(error.to_string().contains("authorities"), "{error}");
    }
}
