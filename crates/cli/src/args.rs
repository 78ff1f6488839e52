//! The command line: what can be typed. Its help text is the reference, in `docs/reference/cli.md`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use modelkeep_core::{Host, RepoName};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or settings
  3  a registry wants other credentials
  4  refused: the version exists with other content
  5  a check found damage
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
    /// Speak to registries without TLS, as always with those on this machine
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
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}
