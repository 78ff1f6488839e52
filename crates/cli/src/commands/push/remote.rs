//! Publishing on a registry that keeps no history.

use modelkeep_client::Registry;
use modelkeep_core::content::Target;
use modelkeep_ledger::Standing;

use super::{Decided, Figures, Job};
use crate::{error::Failure, publishing, report::progress::Progress, wiring::Endpoint};

impl Job<'_> {
    /// Sends the layers, then what names them, and the tag last.
    pub(super) fn publish_remote(
        &self,
        registry: &Registry,
        figures: &Figures,
        progress: &Progress,
    ) -> Result<Decided, Failure> {
        let (mut said, _) = self.said(figures)?;
        self.check_image(&said)?;
        let copied = self.copy_base(registry, progress)?;
        let mut packed = self.pack(Some(registry), progress)?;
        packed.bytes_written += copied.bytes;
        let contents = self.contents(&packed.digests, &packed.layers)?;
        let root = contents.root();
        let (recorded, layers) = self.recorded_layers(&mut packed, Some(registry))?;
        said.record = Some(recorded);
        let image = self.image(contents, &layers, &said)?;
        let top = image.top().clone();
        let manifests = image.manifests.iter().chain(&image.index);
        let (tagged, others): (Vec<_>, Vec<_>) = manifests.partition(|blob| blob.descriptor == top);
        for blob in image.configs.iter().chain(others) {
            registry.put(&blob.descriptor.media_type, &blob.bytes)?;
        }
        let candidate = Standing {
            manifest: top,
            root: Some(root.clone()),
            base: self.base_digest().cloned(),
        };
        let remote = publishing::Remote {
            registry,
            version: &self.version,
            mutability: self.mutability(),
            reference: self.reference(),
        };
        let tagged = tagged.first().expect("an image has a top");
        let (outcome, digest) = remote.publish(&candidate, &tagged.bytes)?;
        Ok(Decided {
            outcome,
            digest,
            root: Some(root),
            packed,
        })
    }

    /// A version to propose instead of one that is taken.
    pub(super) fn next_free(&self) -> Result<Option<modelkeep_core::Tag>, Failure> {
        match &self.endpoint {
            Some(endpoint @ Endpoint::Remote(_)) => publishing::next_free_of(endpoint, &self.version),
            _ => Ok(self.history.next_free(&self.version)),
        }
    }
}
