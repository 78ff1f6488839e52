//! A registry on the network keeps the clauses of the ports: the client speaks to our own server.
#![expect(clippy::unwrap_used, reason = "tests unwrap")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use modelkeep_client::{Access, Keychain, Registry, Settings};

/// `modelkeep serve` on a store of its own, killed in the end.
struct Server {
    process: Child,
    host: String,
    _home: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_modelkeep"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--create-repositories",
                "MUTABLE",
            ])
            .env_clear()
            .env("MODELKEEP_HOME", home.path())
            .env("HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let host = line.trim().rsplit('/').next().unwrap().to_owned();
        Self {
            process,
            host,
            _home: home,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn with_registry(clause: &dyn Fn(&Registry)) {
    let server = Server::start();
    let (host, name) = (server.host.parse().unwrap(), "team/model".parse().unwrap());
    let keychain = Keychain::from_environment(&|_| None);
    let registry = Registry::new(
        &host,
        &name,
        Access::Write,
        keychain,
        Settings::default(),
        &|_| None,
    );
    clause(&registry.unwrap());
}

modelkeep_testkit::sequential_blob_tests!(with_registry);
