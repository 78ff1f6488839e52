//! The command line: what can be typed. Its help text is the reference, in `docs/reference/cli.md`.

mod declare;
mod doctor;
mod history;
mod keys;
mod serve;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
pub(crate) use declare::{Adopt, Destroy, Output, Preview, Up};
pub(crate) use doctor::Doctor;
pub(crate) use history::{Aliases, Log, Promote, Requirement, Restore, Rollback, Yank};
pub(crate) use keys::{AddKey, Checkpoint, KeyChange, Keys, ListKeys, NewKey, RemoveKey, RotateKey};
use modelkeep_core::{Host, Platform, RepoName};
pub(crate) use serve::{CreateRepositories, Gc, Scrub, Serve};

use crate::condition::Condition;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage or settings
  3  a registry wants other credentials, or the history lists another key
  4  refused: the version exists with other content
  5  a check found damage
  6  changes are pending (preview --expect-no-changes)
  7  refused by policy (a dangerous file, a yanked version, --require, require_enforcement, protect,
     a repository that holds images)
  8  a history contradicts itself, or what was seen of it
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
    /// Where the API of AWS is, such as `modelkeep serve`; AWS_ENDPOINT_URL_ECR_PUBLIC and AWS_ENDPOINT_URL_ECR say so too
    #[arg(long, global = true, value_name = "URL", value_parser = endpoint, value_hint = ValueHint::Url)]
    pub(crate) endpoint_url: Option<String>,
    /// Print nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented modelkeep.toml
    Init(Init),
    /// Show what `up` would change in the registry, and change nothing
    Preview(Preview),
    /// Make the repository what modelkeep.toml declares
    Up(Up),
    /// Print where the repository is, and what its versions and aliases are
    Output(Output),
    /// Delete the repository that modelkeep.toml declares
    Destroy(Destroy),
    /// Take over a repository that somebody else made
    Adopt(Adopt),
    /// Print the least IAM policy for a pipeline that declares and publishes
    Policy,
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
    /// Lock versions by digest in modelkeep.lock, which belongs into version control
    Lock(Lock),
    /// Compare what is stored with its digests, and the tags with the history
    Verify(Verify),
    /// Copy an image between the store, registries, OCI layouts and docker
    Copy(Copy),
    /// Write a version as an OCI image layout or a docker archive
    Export(Export),
    /// Point an alias at a version
    Promote(Promote),
    /// Point an alias at the version that it pointed at before
    Rollback(Rollback),
    /// List the aliases of a repository
    Aliases(Aliases),
    /// Show everything that happened in a repository, newest first
    Log(Log),
    /// Advise against a version; it stays what it is, and is refused for new use
    Yank(Yank),
    /// Take the advice against a version back
    Restore(Restore),
    /// Sign the files of a directory or of a version
    Sign(Sign),
    /// Check the files of a directory or of a version against a signature
    VerifySignature(VerifySignature),
    /// Make keys for signatures, and say which of them may add to a history
    #[command(subcommand)]
    Keys(Keys),
    /// Sign that a history is still what it is
    Checkpoint(Checkpoint),
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
    /// Say what a registry can do and does, and what that means for versions
    Doctor(Doctor),
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
    /// What the version is: an image, or a ModelPack artifact with a layer for each file [default: image]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Publish an index for amd64 and arm64 over the same layers
    #[arg(long, conflicts_with = "base")]
    pub(crate) index: bool,
    /// Lay the model on this image, for each of its platforms: HOST/NAME:VERSION, NAME:VERSION, oci:DIR:NAME or
    /// docker-archive:FILE
    #[arg(long, value_name = "IMAGE")]
    pub(crate) base: Option<String>,
    /// Of the platforms of the base only this one, as linux/amd64; may be given several times
    #[arg(long = "platform", value_name = "OS/ARCH", conflicts_with = "index")]
    pub(crate) platforms: Vec<Platform>,
    /// Publish this file although the scanner calls it dangerous; its path in the model, may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) allow_unsafe: Vec<String>,
    /// Print what would be published, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// What a version is: an OCI image, whose layers are archives, or a ModelPack artifact, whose layers are the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Image,
    #[value(name = "modelpack")]
    ModelPack,
}

impl Format {
    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::ModelPack => "modelpack",
        }
    }
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
    #[arg(required_unless_present = "locked")]
    pub(crate) version: Option<String>,
    /// What modelkeep.lock says, by digest, whatever has become of tags and histories: VERSION, NAME:VERSION or an
    /// alias that is locked, or all that is
    #[arg(long)]
    pub(crate) locked: bool,
    /// Where the files go; by default NAME-VERSION
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Only files whose path matches; may be given several times
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Write the signature over the files of the version (OpenSSF Model Signing) here, outside of DIR, if it holds
    #[arg(long, value_name = "FILE", conflicts_with = "include", value_hint = ValueHint::FilePath)]
    pub(crate) with_signature: Option<PathBuf>,
    /// Write into a directory that holds other files; files in the way are replaced, others are let be
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Lock {
    /// NAME:VERSION or NAME:ALIAS, of the store or with HOST/ before it; without any, all that is locked, anew
    #[arg(value_name = "VERSION|ALIAS")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// VERSION, NAME:VERSION or NAME@DIGEST, or HOST/NAME for all versions of that repository; without it all versions
    /// of the repository of the settings
    pub(crate) version: Option<String>,
    /// Everything in the store
    #[arg(long, conflicts_with = "version")]
    pub(crate) all: bool,
    /// Put tags back that are not what the history says, and entries of the history that were seen and are gone
    #[arg(long)]
    pub(crate) heal: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

const COPY_PLACES: &str = "\
SRC and DST are each one of
  VERSION, NAME:VERSION, NAME@DIGEST      in the store, or in the registry of the settings
  HOST/NAME:VERSION, HOST/NAME@DIGEST     in a registry (docker://HOST/NAME:VERSION too)
  oci:DIR, oci:DIR:NAME, oci:DIR@DIGEST   an OCI image layout
  docker-archive:FILE[:NAME:TAG]          an archive of docker save
  docker-daemon:NAME:TAG                  the docker engine of this machine (DOCKER_HOST=unix://...)";

#[derive(Args, Debug)]
#[command(after_help = COPY_PLACES)]
pub(crate) struct Copy {
    /// What is copied
    #[arg(value_name = "SRC")]
    pub(crate) from: String,
    /// Where to
    #[arg(value_name = "DST")]
    pub(crate) to: String,
    /// Say what would be copied, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
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
pub(crate) struct Sign {
    /// A directory, or VERSION, NAME:VERSION or NAME@DIGEST
    #[arg(value_name = "DIR|VERSION", value_hint = ValueHint::DirPath)]
    pub(crate) model: String,
    /// The private key (PEM), instead of the one in MODELKEEP_SIGNING_KEY
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// Where the signature goes
    #[arg(long, value_name = "FILE", default_value = "model.sig", value_hint = ValueHint::FilePath)]
    pub(crate) signature: PathBuf,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct VerifySignature {
    /// A directory, or VERSION, NAME:VERSION or NAME@DIGEST
    #[arg(value_name = "DIR|VERSION", value_hint = ValueHint::DirPath)]
    pub(crate) model: String,
    /// The public key (PEM) that must have signed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: PathBuf,
    /// The signature
    #[arg(long, value_name = "FILE", default_value = "model.sig", value_hint = ValueHint::FilePath)]
    pub(crate) signature: PathBuf,
    #[command(flatten)]
    pub(crate) json: Json,
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

/// An address that begins with `http://` or `https://` and has a host.
fn endpoint(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    match rest.and_then(|rest| rest.split('/').next()) {
        Some(host) if !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(text.to_owned())
        }
        _ => Err("write an address such as http://127.0.0.1:5000".to_owned()),
    }
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
    fn an_endpoint_is_an_address() {
        for right in [
            "http://127.0.0.1:5000",
            "https://aws.example/",
            "http://[::1]:80/x",
        ] {
            assert_eq!(endpoint(right).as_deref(), Ok(right));
        }
        for wrong in [
            "",
            "aws.example",
            "http://",
            "https:///x",
            "ftp://x",
            "http://a b",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
