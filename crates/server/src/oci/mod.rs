//! The resources of the distribution specification, one file for each.

pub(crate) mod blobs;
pub(crate) mod catalog;
mod conditions;
pub(crate) mod history;
pub(crate) mod manifests;
mod page;
mod ranges;
pub(crate) mod referrers;
pub(crate) mod tags;
pub(crate) mod uploads;

use modelkeep_core::{Digest, RepoName};

/// What a digest names stays, so that whoever has it need not ask again.
const KEEP: &str = "max-age=31536000, immutable";

fn blob_path(name: &RepoName, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}
