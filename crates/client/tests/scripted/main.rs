//! How the client behaves against registries with quirks, failures and bad intentions.
#![expect(clippy::unwrap_used, reason = "tests unwrap")]

mod ahead;
mod auth;
mod aws;
mod history;
mod manifests;
mod network;
mod probe;
mod read;
mod referrers;
mod resume;
mod server;
mod write;

use std::{fs, time::Duration};

use modelkeep_client::{Access, Keychain, Patience, Registry, Settings};
use modelkeep_core::{ByteRange, Descriptor, Hashed, Hasher, content};
use server::Server;

/// A registry as a client of `server`, with the docker config `config`.
fn registry_with(server: &Server, access: Access, config: &str) -> Registry {
    registry_set(server, access, config, Settings::default())
}

fn registry_set(server: &Server, access: Access, config: &str, settings: Settings) -> Registry {
    let path = format!("{}/{}-{access:?}.json", env!("CARGO_TARGET_TMPDIR"), server.port);
    fs::write(&path, config).unwrap();
    let variable = move |name: &str| (name == "REGISTRY_AUTH_FILE").then(|| path.clone());
    let (host, name) = (server.host().parse().unwrap(), "team/model".parse().unwrap());
    let keychain = Keychain::from_environment(&variable);
    Registry::new(&host, &name, access, keychain, in_a_hurry(settings), &|_| None).unwrap()
}

fn in_a_hurry(settings: Settings) -> Settings {
    Settings {
        patience: Patience {
            first_wait: Duration::from_millis(1),
            ..Patience::default()
        },
        ..settings
    }
}

/// As everybody has them, but in more of a hurry.
fn settings() -> Settings {
    in_a_hurry(Settings::default())
}

fn registry(server: &Server, access: Access) -> Registry {
    registry_with(server, access, "{}")
}

/// A docker config with a user and password for `server`.
fn config(server: &Server) -> String {
    format!(
        r#"{{"auths":{{"{}":{{"username":"me","password":"hunter2"}}}}}}"#,
        server.host()
    )
}

/// Bytes of which each block of 4 KiB is different.
fn numbered(length: usize) -> Vec<u8> {
    let mut bytes = vec![0x5a; length];
    for (number, block) in bytes.chunks_mut(4096).enumerate() {
        let number = (number as u64).to_le_bytes();
        let length = block.len().min(8);
        block[..length].copy_from_slice(&number[..length]);
    }
    bytes
}

fn blob(bytes: &[u8]) -> Descriptor {
    Descriptor::of("application/vnd.oci.image.layer.v1.tar", bytes)
}

fn whole(blob: &Descriptor) -> ByteRange {
    ByteRange {
        offset: 0,
        length: blob.size,
    }
}

fn hashed(bytes: &[u8]) -> Hashed {
    let mut hasher = Hasher::new(modelkeep_core::Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

/// An error with all its causes, as a user sees it.
fn chain(error: &content::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
