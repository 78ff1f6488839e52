//! What can be typed to run a registry, and to look after a store.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint};
use modelkeep_server::access::AwsKey;

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Where to listen; port 0 is a free one [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub(crate) tls_key: Option<PathBuf>,
    /// What becomes of a push to a repository that is not there [default: IMMUTABLE]
    #[arg(long, value_name = "POLICY")]
    pub(crate) create_repositories: Option<CreateRepositories>,
    /// A key that signs requests to the ECR Public API; may be given several times. Other users of the machine see what
    /// a command line says: where there are any, write keys into the settings of the server
    #[arg(long = "aws-key", value_name = "ID:SECRET")]
    pub(crate) aws_keys: Vec<AwsKey>,
    /// Settings of the server (docs/reference/serve.md)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// The policy of repositories that a push makes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CreateRepositories {
    /// It is made, and none of its tags ever moves
    #[value(name = "IMMUTABLE")]
    Immutable,
    /// It is made, and its tags may move
    #[value(name = "MUTABLE")]
    Mutable,
    /// The push is refused
    #[value(name = "never")]
    Never,
}

#[derive(Args, Debug)]
pub(crate) struct Gc {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How long something must have lain unneeded: 90s, 30m, 24h, 7d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub(crate) grace: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Scrub {
    /// Write what follows from the manifests again, and move damaged blobs aside so that the next push brings them
    #[arg(long)]
    pub(crate) repair: bool,
}

/// A whole number and a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number and a unit: 90s, 30m, 24h, 7d".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let total = number.checked_mul(seconds).ok_or_else(wrong)?;
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in [
            "",
            "s",
            "24",
            "1.5h",
            "-1h",
            "1w",
            "9999999999999999999d",
            "1 h",
            "1é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
