//! What a push of a manifest does, whichever protocol it came by.

use std::time::Duration;

use modelkeep_core::{
    Algorithm, Descriptor, Digest, Hashed, Hasher, MalformedManifest, Outline, Tag,
    content::{self, Expect, Need, Target as _},
};
use modelkeep_ledger::{self as ledger, Histories, Outcome, Publish, Refused, TagError, Who};
use modelkeep_store::Repository;
use serde::Deserialize;

use crate::{
    gate::{Gate, Turn},
    registry::Registry,
    reply::Fault,
};

/// The largest manifest that is taken (distribution-spec, "Pushing Manifests").
pub(crate) const MOST_BYTES: u64 = 4 << 20;
/// A manifest that is larger waits for its turn to be read.
pub(crate) const SMALL_BYTES: u64 = 128 << 10;
/// How long a request waits for its turn.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A manifest that somebody pushes.
pub(crate) struct Push<'a> {
    pub(crate) media_type: &'a str,
    pub(crate) bytes: &'a [u8],
    /// What its digest is said to be.
    pub(crate) digest: Option<&'a Digest>,
    pub(crate) tags: &'a [Tag],
}

/// A [`Push`] that was parsed and hashed.
pub(crate) struct Read<'a> {
    push: Push<'a>,
    hashed: Hashed,
    kind: Kind,
    subject: Option<Digest>,
}

/// What a manifest needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Blobs.
    Image,
    /// Manifests.
    Index,
}

/// A manifest that is one of the repository now.
pub(crate) struct Pushed {
    pub(crate) manifest: Descriptor,
    pub(crate) subject: Option<Digest>,
    /// Whether it was one before.
    pub(crate) was_here: bool,
    /// What came of each tag.
    pub(crate) tags: Vec<(Tag, Outcome)>,
}

/// Why a manifest was not taken. Nothing has changed then.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The bytes are no manifest of the type.
    Malformed(MalformedManifest),
    /// It has another digest than it is said to have.
    Digest { is: Digest, said: Digest },
    /// It is here as a manifest of another type.
    Type { is: String, said: String },
    /// It needs something that the repository does not have.
    Needs { what: String, kind: Kind },
    /// Tags stay what they are.
    Tags(Vec<Refused>),
    /// Whatever else.
    Fault(Fault),
}

impl From<content::Error> for Refusal {
    fn from(error: content::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl<'a> Push<'a> {
    /// Parses and hashes it.
    pub(crate) fn read(self) -> Result<Read<'a>, Refusal> {
        let outline = Outline::parse(self.media_type, self.bytes).map_err(Refusal::Malformed)?;
        let kind = match outline.is_index {
            false => Kind::Image,
            true => Kind::Index,
        };
        let mut hasher = Hasher::new(self.digest.map_or(Algorithm::Sha256, Digest::algorithm));
        hasher.update(self.bytes);
        let hashed = hasher.finish();
        match self.digest {
            Some(said) if said != hashed.digest() => Err(Refusal::Digest {
                is: hashed.digest().clone(),
                said: said.clone(),
            }),
            _ => Ok(Read {
                push: self,
                hashed,
                kind,
                subject: outline.subject,
            }),
        }
    }
}

impl Read<'_> {
    /// Stores it, and gives it its tags, all of them or none.
    pub(crate) fn into_repository(
        self,
        repository: &Repository,
        histories: &Histories,
        author: &Who,
    ) -> Result<Pushed, Refusal> {
        let Push {
            media_type,
            bytes,
            tags,
            ..
        } = self.push;
        let manifest = Descriptor::new(media_type, &self.hashed);
        let known = repository.manifest(&manifest.digest)?;
        match &known {
            Some(known) if known.media_type != media_type => {
                return Err(Refusal::Type {
                    is: known.media_type.clone(),
                    said: media_type.to_owned(),
                });
            }
            _ => {}
        }
        if repository.need(&manifest)? != Need::Nothing {
            let mut sink = repository.begin(Expect::Known(&manifest))?;
            sink.write(0, bytes)?;
            sink.commit(&self.hashed)?;
        }
        Ok(Pushed {
            tags: set_tags(repository, histories, author, tags, &manifest, self.kind)?,
            manifest,
            subject: self.subject,
            was_here: known.is_some(),
        })
    }
}

fn set_tags(
    repository: &Repository,
    histories: &Histories,
    author: &Who,
    tags: &[Tag],
    manifest: &Descriptor,
    kind: Kind,
) -> Result<Vec<(Tag, Outcome)>, Refusal> {
    let publish = Publish::of(manifest.clone());
    let recent = Some(histories.of(repository.name()));
    match ledger::tag(repository, recent, author, tags, &publish) {
        Ok(outcomes) => {
            // Whoever set it first may have died before its entry was on the disk.
            if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Unchanged) {
                repository.sync_history()?;
            }
            Ok(outcomes)
        }
        Err(TagError::Refused(refused)) => Err(Refusal::Tags(refused)),
        Err(TagError::Content(content::Error::NotFound { what, .. })) => Err(Refusal::Needs { what, kind }),
        Err(error) => Err(Refusal::Fault(error.into())),
    }
}

/// What a manifest says of itself that it is.
pub(crate) fn own_media_type(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: String,
    }
    serde_json::from_slice::<Typed>(bytes)
        .ok()
        .map(|typed| typed.media_type)
}

/// A turn among those that take much memory.
pub(crate) fn turn(gate: &Gate<()>) -> Result<Turn<'_, ()>, Fault> {
    gate.enter(PATIENCE)
        .ok_or_else(|| Fault::busy("too many large manifests at once, try later"))
}

/// A turn to parse a manifest of this length, where it needs one.
pub(crate) fn turn_to_parse(registry: &Registry, length: u64) -> Result<Option<Turn<'_, ()>>, Fault> {
    if length <= SMALL_BYTES {
        return Ok(None);
    }
    turn(&registry.whole_manifest).map(Some)
}
