//! What can be typed about names that move, and versions that are advised against.

use clap::Args;
use modelkeep_core::Tag;

use super::Json;

#[derive(Args, Debug)]
pub(crate) struct Promote {
    /// VERSION or NAME:VERSION
    pub(crate) version: String,
    /// The alias, in the repository of the version; it must be a name that may move
    pub(crate) alias: Tag,
    /// What must hold first: `verified`, or `metric f1>=0.9`; may be given several times
    #[arg(long = "require", value_name = "CONDITION")]
    pub(crate) requirements: Vec<Requirement>,
    /// Why
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// What a version must be to be promoted.
#[derive(Clone, Debug)]
pub(crate) enum Requirement {
    /// All of it is there, and is what its digests say.
    Verified,
    /// A metric is as it should be.
    Metric(crate::condition::Condition),
}

impl std::str::FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("metric ") {
            Some(condition) => condition.trim().parse().map(Self::Metric),
            None if text == "verified" => Ok(Self::Verified),
            None => Err("write `verified`, or a metric and what it must be: `metric f1>=0.9`".to_owned()),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Rollback {
    /// ALIAS or NAME:ALIAS
    pub(crate) alias: String,
    /// Why
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Aliases {
    /// The repository; by default that of the settings or of the directory
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Log {
    /// The repository; by default that of the settings or of the directory
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Yank {
    /// VERSION or NAME:VERSION
    pub(crate) version: String,
    /// What is wrong with it
    #[arg(long, short)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// VERSION or NAME:VERSION
    pub(crate) version: String,
    #[command(flatten)]
    pub(crate) json: Json,
}
