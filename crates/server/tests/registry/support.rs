//! Servers on free ports of loopback.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use modelkeep_server::{
    ServeConfig, Server, StorageConfig,
    http::{Served, Shutdown},
};
use modelkeep_store::Store;
use tempfile::TempDir;

/// A server that ends with its test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<Served>>,
    _home: Option<TempDir>,
}

impl Running {
    /// A free port, and no more of the disk spared than any machine has.
    pub(crate) fn config() -> ServeConfig {
        ServeConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            storage: StorageConfig {
                headroom_mebibytes: 1,
                ..StorageConfig::default()
            },
            ..ServeConfig::default()
        }
    }

    /// On a store of its own.
    pub(crate) fn start(config: ServeConfig) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut running = Self::start_on(&home.path().join("store"), config);
        running._home = Some(home);
        running
    }

    pub(crate) fn start_on(store: &Path, config: ServeConfig) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let sink = move |line: &str| lines.lock().unwrap().push(line.to_owned());
        let server = Server::bind(Store::create(store).unwrap(), config, sink).unwrap();
        Self {
            address: server.address(),
            url: server.url(),
            log,
            shutdown: server.shutdown(),
            thread: Some(std::thread::spawn(move || server.run().unwrap())),
            _home: None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take() {
            // A panic of the server has shown already.
            let _ = thread.join();
        }
    }
}
