//! What can be typed after the commands that declare a repository.

use clap::Args;
use modelkeep_core::RepoName;

use super::Json;

#[derive(Args, Debug)]
pub(crate) struct Preview {
    /// Fail with exit code 6 when anything would change
    #[arg(long)]
    pub(crate) expect_no_changes: bool,
    /// Exit as `terraform plan` does: 0 nothing would change, 1 failed for whatever reason, 2 something would change
    #[arg(long, conflicts_with = "expect_no_changes")]
    pub(crate) detailed_exitcode: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Up {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Output {
    /// Print this alone: repository_uri, arn, registry_id, enforcement, or the digest reference of a version or an alias
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Destroy {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Delete all images with it, as `force_delete = true` in modelkeep.toml does
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Adopt {
    /// The repository; by default the one that modelkeep.toml declares
    pub(crate) name: Option<RepoName>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
