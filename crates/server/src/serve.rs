//! A server from its settings to its end.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use modelkeep_store::Store;

use crate::{
    access::{Access, AccessError, KeyError, OpenToAll, TokenKey, check_listen},
    config::ServeConfig,
    http::{self, Served, Shutdown, TlsError, TlsFiles},
    keeper,
    log::{Level, Line},
    registry::Registry,
    reply::chain,
};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Everybody could write to it.
    #[error(transparent)]
    Open(#[from] OpenToAll),
    /// The accounts or rules cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The key of tokens cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// A registry that has its address and takes connections as soon as it [runs](Server::run).
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsFiles>,
    registry: Arc<Registry>,
    shutdown: Shutdown,
}

impl Server {
    /// Takes the address that `config` names. Lines for the log go to `log`, without the line's end.
    ///
    /// # Errors
    /// When the settings contradict each other, or what they name cannot be used.
    pub fn bind(
        store: Store,
        config: ServeConfig,
        log: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        check_listen(config.listen, config.access.has_accounts())?;
        let log: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(log);
        // A name with a dot in front is not the store's: it is no part of the format, and all servers share it.
        let key = TokenKey::open(&store.root().join(".token-key"))?;
        let reload = Arc::clone(&log);
        let access = Access::open(config.access.clone(), key)?.on_reload_failure(move |error| {
            let line = Line::new(Level::Error, "the accounts before stay in use");
            reload(line.add("error", chain(error)).as_str());
        });
        let tls = config.tls.as_ref();
        let tls = tls
            .map(|tls| TlsFiles::open(&tls.certificate, &tls.key))
            .transpose()?;
        let listen = |source| StartError::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        if address.ip().is_loopback() {
            do_not_pace(&listener);
        }
        notice_who_vanishes(&listener);
        let shutdown = Shutdown::new().map_err(listen)?;
        let sink = Box::new(move |line: &str| log(line));
        Ok(Self {
            listener,
            address,
            tls,
            registry: Arc::new(Registry::new(store, access, config, sink)),
            shutdown,
        })
    }

    /// The address, with the port that it has in truth.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients on this machine reach it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Ends it.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// What answers its requests: for [rehearsals](http::rehearse) without a network.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// Serves until the shutdown is triggered, and the requests in flight are answered or their time is over.
    ///
    /// # Errors
    /// When the address can no longer be listened on.
    pub fn run(self) -> io::Result<Served> {
        let Self {
            listener,
            tls,
            registry,
            shutdown,
            ..
        } = self;
        let limits = registry.config.limits.clone();
        let handler = Arc::clone(&registry);
        std::thread::scope(|scope| {
            scope.spawn(|| keeper::keep(&registry, &shutdown));
            let served = http::serve(&listener, tls, handler, &limits, &shutdown);
            // Whatever ended it, the keeper ends with it.
            shutdown.trigger();
            served
        })
    }
}

/// Keeps TCP from pacing what it sends over loopback, where there is no queue to spare. Where the system's congestion
/// control paces (BBR), each piece of a blob would wake its reader and set a timer, for several times the CPU time.
/// Connections have it from their listener: set later, the pacing stays.
#[cfg(target_os = "linux")]
fn do_not_pace(listener: &TcpListener) {
    // Every kernel has it and lets everybody choose it; where not, things are as they were.
    let _ = rustix::net::sockopt::set_tcp_congestion(listener, "reno");
}

#[cfg(not(target_os = "linux"))]
fn do_not_pace(_: &TcpListener) {}

/// A client that is silent for this long is asked whether it is still there,
#[cfg(target_os = "linux")]
const SILENT: std::time::Duration = std::time::Duration::from_secs(10);
/// again after this,
#[cfg(target_os = "linux")]
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(3);
/// and when it has not answered so often, its connection ends, and with it what it held: an upload that nobody else
/// could go on with.
#[cfg(target_os = "linux")]
const TIMES: u32 = 3;

/// Has the system end connections whose clients lost their network or power, and never said so. Connections have it from
/// their listener.
#[cfg(target_os = "linux")]
fn notice_who_vanishes(listener: &TcpListener) {
    use rustix::net::sockopt;
    // Where it cannot be set, the limits of time end such connections, later.
    let _ = sockopt::set_tcp_keepidle(listener, SILENT)
        .and_then(|()| sockopt::set_tcp_keepintvl(listener, ASK_AGAIN))
        .and_then(|()| sockopt::set_tcp_keepcnt(listener, TIMES))
        .and_then(|()| sockopt::set_socket_keepalive(listener, true));
}

#[cfg(not(target_os = "linux"))]
fn notice_who_vanishes(_: &TcpListener) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use rustix::net::sockopt;

    use super::*;

    #[test]
    fn a_connection_whose_client_vanished_ends_within_twenty_seconds() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        notice_who_vanishes(&listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        assert!(sockopt::socket_keepalive(&connection).unwrap());
        let asking =
            sockopt::tcp_keepintvl(&connection).unwrap() * sockopt::tcp_keepcnt(&connection).unwrap();
        let ends = sockopt::tcp_keepidle(&connection).unwrap() + asking;
        assert!(ends <= Duration::from_secs(20), "{ends:?}");
    }
}
