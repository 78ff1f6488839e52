//! What says something about an image goes with it: signatures, attestations, bills of material.

use std::collections::{HashSet, VecDeque};

use modelkeep_core::{Descriptor, Digest, Limits, content::Target, media};
use modelkeep_ledger::{Publish, TagError, Who};
use modelkeep_package::oci_layout::OciLayoutWriter;
use modelkeep_transfer::{Copied, Tree};

use super::{
    failure,
    version::{Made, author},
    workers,
};
use crate::{error::Failure, origin::Origin, provenance::now};

/// Most manifests that may say something about one image.
const MOST: usize = 10_000;

/// Where a referrer goes.
trait Holder {
    fn target(&self) -> &dyn Target;
    /// The referrers of `subject` that are there already.
    fn listed(&self, subject: &Digest) -> Result<Vec<Digest>, Failure>;
    /// Takes a manifest whose parts are there.
    fn take(&mut self, manifest: &Descriptor, bytes: &[u8], children: &[Descriptor]) -> Result<(), Failure>;
}

/// Copies what refers to the manifests of `tree`, and what refers to that, and says how many they are.
pub(super) fn copy(
    origin: &Origin,
    tree: &Tree,
    made: &Made<'_>,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<(u64, Copied), Failure> {
    let mut holder = InVersion { made, author: None };
    all(origin, tree, &mut holder, on_bytes)
}

/// As [`copy`], into a layout; gives what its index is to list.
pub(super) fn copy_to_layout(
    origin: &Origin,
    tree: &Tree,
    layout: &OciLayoutWriter,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<(Vec<Descriptor>, Copied), Failure> {
    let mut holder = InLayout {
        layout,
        taken: Vec::new(),
    };
    let (_, copied) = all(origin, tree, &mut holder, on_bytes)?;
    Ok((holder.taken, copied))
}

fn all(
    origin: &Origin,
    tree: &Tree,
    holder: &mut dyn Holder,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<(u64, Copied), Failure> {
    let mut subjects: VecDeque<Digest> = tree.manifests().iter().map(|m| m.digest.clone()).collect();
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut copied = Copied::default();
    while let Some(subject) = subjects.pop_front() {
        let referrers = origin.referrers(&subject)?;
        let there = match referrers.as_slice() {
            [] => continue,
            _ => holder.listed(&subject)?,
        };
        for referrer in referrers {
            if !media::is_manifest(&referrer.media_type) || !seen.insert(referrer.digest.clone()) {
                continue;
            }
            if seen.len() > MOST {
                return Err(Failure::failed(modelkeep_core::content::Error::Malformed {
                    what: origin.place.to_string(),
                    reason: format!("more than {MOST} manifests refer to it"),
                }));
            }
            subjects.push_back(referrer.digest.clone());
            if there.contains(&referrer.digest) {
                copied.reused += 1;
                continue;
            }
            let below = Tree::read(origin.source(), &referrer).map_err(failure)?;
            below.check(&holder.target().limits()).map_err(failure)?;
            copied += below
                .send(origin.source(), holder.target(), workers(), on_bytes)
                .map_err(failure)?;
            let bytes = origin
                .source()
                .fetch(&referrer, Limits::default().manifest_bytes)?;
            let children: Vec<Descriptor> = below.manifests()[1..].iter().rev().cloned().collect();
            holder.take(&referrer, &bytes, &children)?;
            copied.blobs += 1;
            copied.bytes += referrer.size;
        }
    }
    Ok((seen.len() as u64, copied))
}

struct InVersion<'a> {
    made: &'a Made<'a>,
    /// Found out once: git is asked.
    author: Option<String>,
}

impl Holder for InVersion<'_> {
    fn target(&self) -> &dyn Target {
        self.made.target()
    }

    fn listed(&self, subject: &Digest) -> Result<Vec<Digest>, Failure> {
        let listed = match self.made {
            Made::Store(repository) => repository.referrers(subject)?,
            Made::Remote(registry) => registry.referrers(subject)?,
        };
        Ok(listed.into_iter().map(|referrer| referrer.digest).collect())
    }

    fn take(&mut self, manifest: &Descriptor, bytes: &[u8], children: &[Descriptor]) -> Result<(), Failure> {
        match self.made {
            Made::Remote(registry) => {
                registry.put_referrer(&manifest.media_type, bytes)?;
            }
            Made::Store(repository) => {
                let author = match self.author.take() {
                    Some(author) => author,
                    None => author()?,
                };
                self.author = Some(author.clone());
                let who = Who {
                    time: now(),
                    author,
                    seal: None,
                };
                repository.put(&manifest.media_type, bytes)?;
                for manifest in children.iter().chain([manifest]) {
                    let plain =
                        Descriptor::plain(&manifest.media_type, manifest.digest.clone(), manifest.size);
                    // Admitted without a name.
                    let admitted = modelkeep_ledger::tag(&**repository, None, &who, &[], &Publish::of(plain));
                    admitted.map_err(|error| match error {
                        TagError::Content(error) => error.into(),
                        error => Failure::failed(error),
                    })?;
                }
            }
        }
        Ok(())
    }
}

struct InLayout<'a> {
    layout: &'a OciLayoutWriter,
    taken: Vec<Descriptor>,
}

impl Holder for InLayout<'_> {
    fn target(&self) -> &dyn Target {
        self.layout
    }

    fn listed(&self, subject: &Digest) -> Result<Vec<Digest>, Failure> {
        let listed = self.layout.layout().referrers(subject)?;
        Ok(listed.into_iter().map(|referrer| referrer.digest).collect())
    }

    fn take(&mut self, manifest: &Descriptor, bytes: &[u8], _: &[Descriptor]) -> Result<(), Failure> {
        self.layout.put(&manifest.media_type, bytes)?;
        self.taken.push(manifest.clone());
        Ok(())
    }
}
