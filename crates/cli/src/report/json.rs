//! The JSON that `--json` prints. `docs/reference/json.md` describes it; what is there stays.

use std::collections::BTreeMap;

use modelkeep_core::{Descriptor, Digest, ImageConfig, repositories::Enforcement};
use modelkeep_inspect::{Record, danger::Finding};
use modelkeep_ledger::Role;
use modelkeep_provision::Plan;
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
    /// The key that signed its entry in the history.
    pub(crate) signed_by: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) aliases: Vec<String>,
    /// Why the version should not be taken into use.
    pub(crate) yanked: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) content_root: Option<Digest>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) params: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(crate) struct Show {
    pub(crate) repository: String,
    pub(crate) version: Option<String>,
    /// Why the version should not be taken into use.
    pub(crate) yanked: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) content_root: Option<Digest>,
    pub(crate) files: Vec<File>,
    pub(crate) layers: Vec<Descriptor>,
    /// `None` for what is no image.
    pub(crate) config: Option<ImageConfig>,
    /// Who makes such versions; `None` for what holds no model.
    pub(crate) kind: Option<&'static str>,
    /// What the config of an artifact says of the model.
    pub(crate) about: BTreeMap<&'static str, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) metrics: BTreeMap<String, f64>,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) base: Option<Base>,
    pub(crate) origin: Origin,
    pub(crate) history: Option<Entry>,
    pub(crate) record: Option<Record>,
}

#[derive(Serialize)]
pub(crate) struct Lock {
    pub(crate) path: String,
    pub(crate) changed: bool,
    pub(crate) repositories: Vec<LockedRepository>,
    pub(crate) models: Vec<LockedModel>,
}

#[derive(Serialize)]
pub(crate) struct LockedRepository {
    pub(crate) name: String,
    pub(crate) history: Option<Digest>,
    pub(crate) height: Option<u64>,
    pub(crate) head: Option<Digest>,
    pub(crate) seen: String,
    /// Whether the history is signed; `None` where it was not read.
    pub(crate) signed: Option<bool>,
}

#[derive(Serialize)]
pub(crate) struct LockedModel {
    pub(crate) repository: String,
    pub(crate) version: String,
    pub(crate) alias: Option<String>,
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) content_root: Option<Digest>,
    pub(crate) signature: Option<Digest>,
    pub(crate) signer: Option<String>,
}

/// All that `pull --locked` has pulled.
#[derive(Serialize)]
pub(crate) struct Locked {
    pub(crate) path: String,
    pub(crate) pulled: Vec<Pull>,
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
    /// `None` where only reading the file would tell.
    pub(crate) digest: Option<Digest>,
    pub(crate) layer: Digest,
    pub(crate) offset: u64,
}

/// The image that a model lies on.
#[derive(Serialize)]
pub(crate) struct Base {
    pub(crate) name: Option<String>,
    pub(crate) digest: Digest,
}

impl From<modelkeep_ledger::Base> for Base {
    fn from(base: modelkeep_ledger::Base) -> Self {
        let modelkeep_ledger::Base { name, digest } = base;
        Self { name, digest }
    }
}

/// Where a version came from.
#[derive(Serialize)]
pub(crate) struct Origin {
    pub(crate) created: Option<String>,
    pub(crate) revision: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) model: Option<String>,
}

/// The entry of a version in the history.
#[derive(Serialize)]
pub(crate) struct Entry {
    pub(crate) height: u64,
    pub(crate) id: Digest,
    pub(crate) time: String,
    pub(crate) author: String,
    /// The key that signed it.
    pub(crate) signed_by: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) parent: Option<String>,
    /// Where it was copied from.
    pub(crate) from: Option<String>,
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
    /// Whether the entry of the version in the history is signed.
    pub(crate) signed: bool,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    pub(crate) layers: u64,
    pub(crate) layers_reused: u64,
    pub(crate) base: Option<Base>,
}

#[derive(Serialize)]
pub(crate) struct Copy {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) version: Option<String>,
    /// The manifest that the destination has now; docker keeps none.
    pub(crate) digest: Option<Digest>,
    /// The manifest at the source; none where docker keeps it.
    pub(crate) source_digest: Option<Digest>,
    /// By which docker knows the image: the digest of its config.
    pub(crate) image_id: Option<Digest>,
    pub(crate) content_root: Option<Digest>,
    pub(crate) outcome: &'static str,
    pub(crate) enforcement: Option<&'static str>,
    /// Whether the entry of the version in the history is signed; none where nothing became a version.
    pub(crate) signed: Option<bool>,
    pub(crate) blobs: u64,
    pub(crate) blobs_reused: u64,
    pub(crate) bytes_written: u64,
    pub(crate) referrers: u64,
    /// What the destination cannot hold.
    pub(crate) left_out: Vec<String>,
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
    /// Where the signature is, if it was asked for.
    pub(crate) signature: Option<String>,
    pub(crate) files_reused: u64,
    /// That of all files of the version, also of those that were not included.
    pub(crate) content_root: Option<Digest>,
    pub(crate) findings: Vec<Finding>,
}

#[derive(Serialize)]
pub(crate) struct Verify {
    pub(crate) ok: bool,
    pub(crate) checked: Checked,
    pub(crate) problems: Vec<String>,
    /// What was wrong with tags and entries, and is right now.
    pub(crate) healed: Vec<String>,
    /// Tags that a signed history does not have.
    pub(crate) unlisted: Vec<String>,
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

/// What was made so, and where it is.
#[derive(Serialize)]
pub(crate) struct Up<'a> {
    pub(crate) repository_uri: &'a str,
    pub(crate) arn: Option<&'a str>,
    pub(crate) registry_id: Option<&'a str>,
    /// What was done.
    #[serde(flatten)]
    pub(crate) plan: &'a Plan,
}

#[derive(Serialize)]
pub(crate) struct Output {
    pub(crate) repository: String,
    pub(crate) registry: String,
    pub(crate) repository_uri: String,
    pub(crate) arn: Option<String>,
    pub(crate) registry_id: Option<String>,
    pub(crate) enforcement: Enforcement,
    pub(crate) image_tag_mutability: &'static str,
    pub(crate) versions: Vec<Pinned>,
    pub(crate) aliases: Vec<Pinned>,
}

/// A version or an alias, and the reference that never means anything else.
#[derive(Serialize)]
pub(crate) struct Pinned {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) reference: String,
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

#[derive(Serialize)]
pub(crate) struct Signature {
    pub(crate) model: String,
    pub(crate) signature: String,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub(crate) key: String,
    /// The digest of the whole, as OpenSSF Model Signing makes it.
    pub(crate) model_digest: Digest,
    pub(crate) files: u64,
}

#[derive(Serialize)]
pub(crate) struct SignatureCheck {
    pub(crate) model: String,
    pub(crate) signature: String,
    pub(crate) key: String,
    pub(crate) verified: bool,
    pub(crate) problems: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct NewKey {
    pub(crate) private_key: String,
    pub(crate) public_key: String,
    pub(crate) key: String,
}

/// A key of a history.
#[derive(Serialize)]
pub(crate) struct Key {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub(crate) key: String,
    pub(crate) role: Role,
    pub(crate) name: Option<String>,
    /// Height of the entry that listed it.
    pub(crate) since: u64,
    /// Whether it is the one that signs here.
    pub(crate) at_hand: bool,
    /// In PEM.
    pub(crate) public_key: String,
}

#[derive(Serialize)]
pub(crate) struct Keys {
    pub(crate) repository: String,
    pub(crate) signed: bool,
    pub(crate) keys: Vec<Key>,
}

/// What became of the keys of a history.
#[derive(Serialize)]
pub(crate) struct KeysChanged {
    pub(crate) changed: bool,
    #[serde(flatten)]
    pub(crate) keys: Keys,
}

/// The entry that says that a history is still what it is.
#[derive(Serialize)]
pub(crate) struct Checkpoint {
    pub(crate) repository: String,
    pub(crate) height: u64,
    pub(crate) id: Digest,
    pub(crate) time: String,
    pub(crate) signed_by: String,
}

/// An alias that points at a version, and who pointed it there.
#[derive(Serialize)]
pub(crate) struct Alias {
    pub(crate) alias: String,
    pub(crate) version: String,
    pub(crate) digest: Digest,
    pub(crate) time: String,
    pub(crate) author: String,
    pub(crate) message: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Aliases {
    pub(crate) repository: String,
    pub(crate) aliases: Vec<Alias>,
}

/// What became of an alias, or of a version that was yanked or restored.
#[derive(Serialize)]
pub(crate) struct Changed {
    pub(crate) repository: String,
    pub(crate) name: String,
    /// Where an alias points now.
    pub(crate) version: Option<String>,
    pub(crate) digest: Digest,
    pub(crate) changed: bool,
}

#[derive(Serialize)]
pub(crate) struct Log {
    pub(crate) repository: String,
    /// Whether the history lists keys: from some entry on, all are signed then.
    pub(crate) signed: bool,
    pub(crate) events: Vec<Event>,
}

#[derive(Serialize)]
pub(crate) struct Event {
    pub(crate) height: u64,
    pub(crate) id: Digest,
    pub(crate) time: String,
    pub(crate) author: String,
    /// The key that signed it.
    pub(crate) signed_by: Option<String>,
    /// publish, delete, alias, yank, restore, keys or checkpoint.
    pub(crate) op: &'static str,
    pub(crate) name: String,
    /// Of the manifest that it is about; none where it is about the history itself.
    pub(crate) digest: Option<Digest>,
    /// Where an alias was pointed.
    pub(crate) version: Option<String>,
    /// What was said of it: a message, or the reason of a yank.
    pub(crate) message: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Doctor {
    pub(crate) repository: String,
    /// Who keeps versions from moving.
    pub(crate) enforcement: &'static str,
    pub(crate) promise: &'static str,
    pub(crate) checks: Vec<Check>,
    pub(crate) protocol_tags: Vec<ProtocolTags>,
    pub(crate) left_behind: Vec<String>,
}

/// Something that was found out about a registry.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) result: String,
    pub(crate) detail: String,
}

/// Tags that are no versions, of one kind.
#[derive(Serialize)]
pub(crate) struct ProtocolTags {
    pub(crate) kind: &'static str,
    pub(crate) count: u64,
    pub(crate) meaning: &'static str,
}
