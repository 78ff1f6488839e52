//! The connection loop with nothing behind it: what a request and a gigabyte cost at least.
//!
//! `bare ADDRESS FILE [CERTIFICATE KEY]` answers `/file` with the file and everything else with
//! 1.5 KiB; at the end (a line or the end of its input) it prints the CPU time it used.

use modelkeep_server::http::{
    Handler, Limits, ReplyBody, Request, Response, Shutdown, Status, TlsFiles, serve,
};
use std::error::Error;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

struct Bare {
    small: Arc<[u8]>,
    file: Arc<File>,
    length: u64,
}

impl Handler for Bare {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        let response = Response::new(Status::OK).field("Content-Type", "application/octet-stream");
        if request.path() == "/file" {
            let (file, length) = (Arc::clone(&self.file), self.length);
            return response.body(ReplyBody::File {
                file,
                offset: 0,
                length,
            });
        }
        response.body(ReplyBody::Shared(Arc::clone(&self.small)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, tls @ ..] = arguments.as_slice() else {
        return Err("usage: bare ADDRESS FILE [CERTIFICATE KEY]".into());
    };
    let tls = match tls {
        [certificate, key] => Some(TlsFiles::open(Path::new(certificate), Path::new(key))?),
        _ => None,
    };
    let file = File::open(file)?;
    let length = file.metadata()?.len();
    let handler = Arc::new(Bare {
        small: vec![b'm'; 1536].into(),
        file: Arc::new(file),
        length,
    });
    let shutdown = Shutdown::new()?;
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let mut line = String::new();
        // Whatever was read, or not: it is the sign to stop.
        let _ = std::io::stdin().read_line(&mut line);
        stop.trigger();
    });
    let listener = TcpListener::bind(address)?;
    let limits = Limits::default();
    let served = serve(&listener, tls, handler, &limits, &shutdown)?;
    println!("connections {}", served.connections);
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    println!("clock ticks: user {} system {}", fields[11], fields[12]);
    Ok(())
}
