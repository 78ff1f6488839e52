//! The command line: what can be typed. Its help text is the reference, in `docs/reference/cli.md`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use modelkeep_core::{Host, RepoName};

use crate::condition::Condition;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or settings
  3  a registry wants other credentials
  4  refused: the version exists with other content
  5  a check found damage
  7  refused by policy: a file is dangerous
  130  interrupted

A VERSION is any OCI tag (1.0, v2.3.1-rc.1, candidate). NAME:VERSION and NAME@sha256:... work wherever VERSION does,
and HOST/NAME:VERSION is in the registry HOST.";

/// Versions for machine-learning models that stay what they were.
#[derive(Debug, Parser)]
#[command(name = "modelkeep", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The store to use, instead of the one in MODELKEEP_HOME or the data directory of the user
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) store: Option<PathBuf>,
    /// Certificates (PEM) of authorities to trust besides those of the machine
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,
    /// Speak to registries without TLS, as with those on this machine when there is no --ca
    #[arg(long, global = true)]
    pub(crate) plain_http: bool,
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented modelkeep.toml
    Init(Init),
    /// Pack a model directory and publish it as a version
    Push(Push),
    /// List the versions of a repository, newest first
    Versions(Versions),
    /// Show what a version is
    Show(Show),
    /// Say what a model is, from the headers of its files
    Inspect(Inspect),
    /// Say what two models differ in: files, tensors, metrics, configs, vocabulary
    Diff(Diff),
    /// Look for what in model files could do harm to who loads them
    Scan(Scan),
    /// Write the files of a version to a directory
    Pull(Pull),
    /// Read again what is stored, and compare it with its digests
    Verify(Verify),
    /// Write a version as an OCI image layout or a docker archive
    Export(Export),
    /// Store the user and password of a registry, where docker keeps them
    Login(Login),
    /// Forget the user and password of a registry
    Logout(Logout),
    /// Serve the store as an OCI registry
    Serve(Serve),
    /// Remove what no manifest needs
    Gc(Gc),
    /// Read everything that is stored again, and compare every index with the manifests
    Scrub(Scrub),
    /// Print every setting, its value and where it came from
    Config(Config),
    /// Print the completion script of a shell
    Completions(Completions),
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Name of the repository; by default that of the directory
    #[arg(long)]
    pub(crate) name: Option<RepoName>,
    /// Where versions are kept: embedded, ecr-public, ecr, or HOST[/PREFIX]
    #[arg(long, default_value = "embedded")]
    pub(crate) registry: String,
}

const PUSH_USAGE: &str = "\
modelkeep push [OPTIONS] [DIR] VERSION
       modelkeep push [OPTIONS] [DIR] --next STEP";

const PUSH_ARGUMENTS: &str = "\
DIR is the model directory, by default this one. VERSION is the version to publish, or NAME:VERSION.";

#[derive(Args, Debug)]
#[command(override_usage = PUSH_USAGE, after_help = PUSH_ARGUMENTS)]
pub(crate) struct Push {
    // One or two words, and which is which depends on their number: clap has no such usage line.
    #[arg(hide = true, num_args = 0..=2, value_hint = ValueHint::DirPath)]
    pub(crate) positionals: Vec<String>,
    /// Raise the highest version instead of naming one
    #[arg(long, value_name = "STEP")]
    pub(crate) next: Option<Step>,
    /// What is to be said of this version
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    /// A measured figure, as NAME=NUMBER; may be given several times
    #[arg(long = "metric", value_name = "NAME=NUMBER")]
    pub(crate) metrics: Vec<String>,
    /// A parameter of the training, as NAME=VALUE; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Publish an index for amd64 and arm64 over the same layers
    #[arg(long)]
    pub(crate) index: bool,
    /// Publish this file although the scanner calls it dangerous; its path in the model, may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) allow_unsafe: Vec<String>,
    /// Print what would be published, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Which number `--next` raises.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Step {
    Patch,
    Minor,
    Major,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Json {
    /// Print JSON (docs/reference/json.md)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Versions {
    /// The repository; by default that of the settings or of the directory
    pub(crate) name: Option<String>,
    /// A metric to list, as it was declared or stands in the files (NAME or NAME@DATASET); may be given several times
    #[arg(long = "metric", value_name = "NAME")]
    pub(crate) metrics: Vec<String>,
    /// Only versions of which this is true, as 'f1>0.9'; may be given several times. Known are < <= = != >= >
    #[arg(long = "where", value_name = "CONDITION")]
    pub(crate) conditions: Vec<Condition>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// VERSION, NAME:VERSION or NAME@DIGEST
    pub(crate) version: String,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// A directory, VERSION, NAME:VERSION or NAME@DIGEST
    #[arg(value_name = "DIR|VERSION", value_hint = ValueHint::DirPath)]
    pub(crate) subject: String,
    /// List the tensors
    #[arg(long)]
    pub(crate) tensors: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Scan {
    /// A directory, a file, VERSION, NAME:VERSION or NAME@DIGEST
    #[arg(value_name = "DIR|FILE|VERSION", value_hint = ValueHint::AnyPath)]
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Diff {
    /// The first model: a directory, VERSION, NAME:VERSION or NAME@DIGEST
    #[arg(value_name = "A", value_hint = ValueHint::DirPath)]
    pub(crate) from: String,
    /// The second model
    #[arg(value_name = "B", value_hint = ValueHint::DirPath)]
    pub(crate) to: String,
    /// List all tensors that are not the same
    #[arg(long, conflicts_with = "stat")]
    pub(crate) tensors: bool,
    /// Say of tensors with other values how far they have moved: relative L2 distance, and cosine. Their bytes are read
    #[arg(long, conflicts_with = "stat")]
    pub(crate) values: bool,
    /// Only say how much is different
    #[arg(long)]
    pub(crate) stat: bool,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "json")]
    pub(crate) format: DiffFormat,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// How a difference is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DiffFormat {
    /// For a terminal
    Text,
    /// For a comment on a pull request
    Markdown,
}

#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// VERSION, NAME:VERSION or NAME@DIGEST
    pub(crate) version: String,
    /// Where the files go; by default NAME-VERSION
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Only files whose path matches; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Write into a directory that holds other files; files in the way are replaced, others are let be
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// VERSION, NAME:VERSION or NAME@DIGEST; without it all versions of the repository
    pub(crate) version: Option<String>,
    /// Everything in the store
    #[arg(long, conflicts_with = "version")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// VERSION, NAME:VERSION or NAME@DIGEST
    pub(crate) version: String,
    #[command(flatten)]
    pub(crate) to: ExportTo,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ExportTo {
    /// An OCI image layout, in which the image is named by its version
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) oci: Option<PathBuf>,
    /// An archive for docker load and podman load
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) docker_archive: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Login {
    /// The registry, as HOST or HOST:PORT
    pub(crate) host: Host,
    /// The user
    #[arg(long, short, value_name = "USER")]
    pub(crate) username: String,
    /// Read the password from standard input; nothing else is a safe place for it
    #[arg(long, required = true)]
    pub(crate) password_stdin: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// The registry, as HOST or HOST:PORT
    pub(crate) host: Host,
}

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

#[derive(Args, Debug)]
pub(crate) struct Scrub {
    /// Write what follows from the manifests again, and move damaged blobs aside so that the next push brings them
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
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
