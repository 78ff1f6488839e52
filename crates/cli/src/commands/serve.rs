//! `modelkeep serve`

mod log;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use log::Log;
use modelkeep_server::{self as server, ServeConfig, Server, StartError, TlsConfig, http::Shutdown};
use modelkeep_store::Store;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    args::{CreateRepositories, Serve},
    error::{Exit, Failure, SettingsError},
    report::{Answer, human},
    settings::Settings,
};

pub(super) fn run(arguments: &Serve, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let config = resolve(arguments)?;
    let store = Store::create(&settings.store.value)?;
    let log = Log::start(io::stderr()).map_err(Failure::failed)?;
    let lines = Arc::clone(&log);
    let add = move |line: &str| {
        if !quiet {
            lines.add(line);
        }
    };
    let server = Server::bind(store, config, add)?;
    end_on_signal(server.shutdown(), Arc::clone(&log))?;
    announce(&server.url())?;
    let served = server.run();
    log.flush();
    let served = served.map_err(Failure::failed)?;
    if served.cut > 0 && !quiet {
        human::line(&format!(
            "ended while {} went on",
            human::count(served.cut as u64, "request")
        ));
    }
    Ok(Answer::done(""))
}

/// The first line of stdout: whoever started the server reads from it where it is.
fn announce(url: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let announced = writeln!(stdout, "listening on {url}").and_then(|()| stdout.flush());
    match announced {
        // Nobody wants to know.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        announced => announced.map_err(Failure::failed),
    }
}

/// The first signal lets requests in flight end, the second does not.
fn end_on_signal(shutdown: Shutdown, log: Arc<Log>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::failed)?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if shutdown.is_triggered() {
                log.flush();
                std::process::exit(130);
            }
            shutdown.trigger();
        }
    });
    Ok(())
}

/// Flags before the file, the file before defaults.
fn resolve(arguments: &Serve) -> Result<ServeConfig, Failure> {
    let mut config = match &arguments.config {
        Some(path) => read(path)?,
        None => ServeConfig::default(),
    };
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        config.tls = Some(TlsConfig {
            certificate: certificate.clone(),
            key: key.clone(),
        });
    }
    config.access.aws_keys.extend(arguments.aws_keys.iter().cloned());
    if let Some(policy) = arguments.create_repositories {
        config.create_repositories = match policy {
            CreateRepositories::Immutable => server::CreateRepositories::Immutable,
            CreateRepositories::Mutable => server::CreateRepositories::Mutable,
            CreateRepositories::Never => server::CreateRepositories::Never,
        };
    }
    Ok(config)
}

/// Reads a settings file. The paths in it begin where it lies.
fn read(path: &Path) -> Result<ServeConfig, SettingsError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut config: ServeConfig = toml::from_str(&text).map_err(|source| SettingsError::Toml {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let from_here = |path: &mut PathBuf| *path = directory.join(&*path);
    if let Some(tls) = &mut config.tls {
        from_here(&mut tls.certificate);
        from_here(&mut tls.key);
    }
    config.access.htpasswd.as_mut().map(from_here);
    Ok(config)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Listen { ref source, .. } => {
                let in_use = source.kind() == io::ErrorKind::AddrInUse;
                let failure = Self::failed(error);
                if in_use {
                    failure.hint("another program listens there: choose with --listen ADDRESS:PORT")
                } else {
                    failure
                }
            }
            error => Self::new(Exit::Usage, error),
        }
    }
}
