//! Publishing on a registry that keeps no history: it does not refuse to overwrite a version, so we do.

use modelkeep_client::Registry;
use modelkeep_core::{
    Contents, Descriptor,
    content::{self, Names, Source, Target},
};
use modelkeep_ledger::{Proposed, PublishError, Standing, Verdict, judge, next_free};

use super::{Decided, Figures, Job};
use crate::{
    error::{Exit, Failure, registry as registry_error},
    held::{is_about, read_image},
    report::progress::Progress,
    wiring::Endpoint,
};

/// What stands under a tag, with the content root of a model.
pub(super) fn standing(
    names: &dyn Names,
    source: &dyn Source,
    tag: &modelkeep_core::Tag,
) -> Result<Option<Standing>, Failure> {
    let Some(manifest) = names.resolve(tag)? else {
        return Ok(None);
    };
    // What is no model stands there all the same.
    let contents = read_image(source, &manifest).ok().and_then(|(image, config)| {
        let labels = config.config.labels?;
        let contents = Contents::parse(labels.get(Contents::LABEL)?).ok()?;
        is_about(&contents, &image).then_some(contents)
    });
    Ok(Some(Standing {
        manifest,
        root: contents.map(|contents| contents.root()),
    }))
}

/// Whether a registry that enforces immutable tags refused: what it says names the reason.
fn is_conflict(error: &content::Error) -> bool {
    matches!(
        registry_error(error),
        Some(modelkeep_client::Error::Status { status: 409, .. })
    )
}

impl Job<'_> {
    /// Sends the layers, then what names them, and the tag last. The tag is looked at before and after: what another
    /// client published in between is not overwritten silently.
    pub(super) fn publish_remote(
        &self,
        registry: &Registry,
        figures: &Figures,
        progress: &Progress,
    ) -> Result<Decided, Failure> {
        let (said, _) = self.said(figures)?;
        self.check_image(&said)?;
        let packed = self.pack(Some(registry), progress)?;
        let contents = self.contents(&packed.digests, &packed.layers)?;
        let root = contents.root();
        let image = self.image(contents, &packed.layers, &said)?;
        let top = image.top().clone();
        let manifests = image.manifests.iter().chain(&image.index);
        let (tagged, others): (Vec<_>, Vec<_>) = manifests.partition(|blob| blob.descriptor == top);
        for blob in image.configs.iter().chain(others) {
            registry.put(&blob.descriptor.media_type, &blob.bytes)?;
        }
        let decided = |outcome, digest| Decided {
            outcome,
            digest,
            root: Some(root.clone()),
            packed,
        };
        let before = standing(registry, registry, &self.version)?;
        let proposed = Proposed {
            manifest: &top.digest,
            root: Some(&root),
        };
        let stands = before.as_ref().map(|standing| Proposed {
            manifest: &standing.manifest.digest,
            root: standing.root.as_ref(),
        });
        match (judge(self.mutability(), &self.version, stands, proposed), &before) {
            (Verdict::Taken, Some(standing)) => return Err(self.taken(&standing.manifest, &top)?),
            (Verdict::Same, Some(standing)) => {
                return Ok(decided("unchanged", standing.manifest.digest.clone()));
            }
            _ => {}
        }
        for blob in tagged {
            let put = registry.put_manifest(&self.version, &top.media_type, &blob.bytes);
            // A registry that keeps versions itself refuses when somebody was faster.
            if let Err(error) = put {
                match registry.resolve(&self.version) {
                    Ok(Some(other)) if other.digest != top.digest => return Err(self.taken(&other, &top)?),
                    // Its answer was lost.
                    Ok(Some(_)) => {}
                    // The name is kept for what was deleted under it.
                    _ if is_conflict(&error) => return Err(Failure::new(Exit::Exists, error)),
                    _ => return Err(error.into()),
                }
            }
        }
        match registry.resolve(&self.version)? {
            Some(after) if after.digest == top.digest => Ok(decided("published", top.digest)),
            Some(other) => Err(self.taken(&other, &top)?),
            None => Err(Failure::failed(modelkeep_core::content::Error::NotFound {
                what: format!("the version {} that was just written", self.version),
                place: self.reference(),
            })),
        }
    }

    fn taken(&self, standing: &Descriptor, refused: &Descriptor) -> Result<Failure, Failure> {
        Ok(PublishError::Taken {
            version: self.version.clone(),
            standing: standing.digest.clone(),
            refused: refused.digest.clone(),
            next_free: self.next_free()?,
        }
        .into())
    }

    /// A version to propose instead of one that is taken.
    pub(super) fn next_free(&self) -> Result<Option<modelkeep_core::Tag>, Failure> {
        match &self.endpoint {
            Some(endpoint @ Endpoint::Remote(_)) => {
                let taken = endpoint.versions()?;
                Ok(next_free(|tag| taken.contains(tag), &self.version))
            }
            _ => Ok(self.history.next_free(&self.version)),
        }
    }
}
