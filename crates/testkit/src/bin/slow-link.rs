//! `slow-link HOST:PORT MBIT MS`: a line to a server, of so many Mbit/s and milliseconds each way. Says on which port
//! it listens, and carries until it is killed.

use std::{env, error::Error, net::TcpListener, time::Duration};

use modelkeep_testkit::Link;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [to, rate, delay] = words.as_slice() else {
        return Err("usage: slow-link HOST:PORT MBIT MS".into());
    };
    let link = Link {
        rate: rate.parse::<f64>()? * 1e6 / 8.0,
        delay: Duration::from_millis(delay.parse()?),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    link.carry(&listener, to.parse()?)?;
    Ok(())
}
