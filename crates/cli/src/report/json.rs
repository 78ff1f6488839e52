//! The JSON that `--json` prints. `docs/reference/json.md` describes it; what is there stays.

use std::collections::BTreeMap;

use modelkeep_core::{Descriptor, Digest, ImageConfig};
use modelkeep_inspect::Record;
use modelkeep_inspect::danger::Finding;
use serde::Serialize;

use super::Answer;

/// One JSON document on one line.
pub(crate) fn answer(document: &impl Serialize) -> Answer {
    let mut text = serde_json::to_string(document).expect("reports are texts, numbers and lists");
    text.push('\n');
    Answer::done(text)
}

#[derive(Serialize)]
pub(crate) struct Versions {
    pub(crate) repository: String,
    pub(crate) versions: Vec<Version>,
}

#[derive(Serialize)]
pub(crate) struct Version {
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) new_bytes: u64,
    pub(crate) created: Option<String>,
    pub(crate) author: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) aliases: Vec<String>,
    pub(crate) parent: Option<String>,
    pub(crate) content_root: Option<Digest>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) params: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(crate) struct Show {
    pub(crate) repository: String,
    pub(crate) version: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) content_root: Option<Digest>,
    pub(crate) files: Vec<File>,
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) config: ImageConfig,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) origin: Origin,
    pub(crate) history: Option<Entry>,
    pub(crate) record: Option<Record>,
}

#[derive(Serialize)]
pub(crate) struct Inspect {
    pub(crate) name: String,
    pub(crate) digest: Option<Digest>,
    pub(crate) record: Record,
}

#[derive(Serialize)]
pub(crate) struct Diff {
    pub(crate) from: Side,
    pub(crate) to: Side,
    #[serde(flatten)]
    pub(crate) diff: modelkeep_inspect::Diff,
}

/// One of two models.
#[derive(Serialize)]
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) digest: Option<Digest>,
}

#[derive(Serialize)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    pub(crate) layer: Digest,
    pub(crate) offset: u64,
}

/// Where a version came from.
#[derive(Serialize)]
pub(crate) struct Origin {
    pub(crate) created: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) source: Option<String>,
}

/// The entry of a version in the history.
#[derive(Serialize)]
pub(crate) struct Entry {
    pub(crate) height: u64,
    pub(crate) id: Digest,
    pub(crate) time: String,
    pub(crate) author: String,
    pub(crate) message: Option<String>,
    pub(crate) parent: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Push {
    pub(crate) reference: String,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) content_root: Option<Digest>,
    pub(crate) outcome: &'static str,
    /// Who keeps a version from being overwritten.
    pub(crate) enforcement: &'static str,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    pub(crate) layers: u64,
    pub(crate) layers_reused: u64,
}

#[derive(Serialize)]
pub(crate) struct Scan {
    pub(crate) name: String,
    pub(crate) digest: Option<Digest>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// How many findings are dangerous.
    pub(crate) dangerous: u64,
    /// How many are suspicious.
    pub(crate) suspicious: u64,
    pub(crate) findings: Vec<Finding>,
}

#[derive(Serialize)]
pub(crate) struct Pull {
    pub(crate) reference: String,
    pub(crate) version: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) directory: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_written: u64,
    pub(crate) files_reused: u64,
    pub(crate) findings: Vec<Finding>,
}

#[derive(Serialize)]
pub(crate) struct Verify {
    pub(crate) ok: bool,
    pub(crate) checked: Checked,
    pub(crate) problems: Vec<String>,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Checked {
    pub(crate) repositories: u64,
    pub(crate) versions: u64,
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
}

#[derive(Serialize)]
pub(crate) struct Export {
    pub(crate) reference: String,
    pub(crate) digest: Digest,
    pub(crate) path: String,
    pub(crate) bytes_written: u64,
}

#[derive(Serialize)]
pub(crate) struct Settings {
    pub(crate) settings: Vec<Setting>,
}

#[derive(Serialize)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) origin: String,
}
