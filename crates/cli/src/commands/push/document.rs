//! The image that a version is: contents list, what is said of it, config and manifest.

use modelkeep_core::{Descriptor, Digest};
use modelkeep_package::{
    card,
    image::{self, Image, Platforms, Provenance as Said},
};

use super::{Figures, Job, job::limits};
use crate::{
    error::{Exit, Failure},
    provenance::Provenance,
};

impl Job<'_> {
    pub(super) fn contents(
        &self,
        files: &[Digest],
        layers: &[Descriptor],
    ) -> Result<modelkeep_core::Contents, Failure> {
        let layers: Vec<Digest> = layers.iter().map(|layer| layer.digest.clone()).collect();
        image::contents(&self.files, files, &self.plans, &layers).map_err(Failure::failed)
    }

    /// The message, unless it says nothing.
    pub(super) fn message(&self) -> Option<String> {
        self.arguments
            .message
            .clone()
            .filter(|message| !message.is_empty())
    }

    /// What is said about the version, and who publishes it.
    pub(super) fn said(&self, figures: &Figures) -> Result<(Said, String), Failure> {
        let provenance = Provenance::find(&self.directory)?;
        let card = card::read(&self.files).map_err(Failure::failed)?;
        let said = Said {
            version: self.version.to_string(),
            created: provenance.created,
            revision: provenance.revision,
            source: provenance.source,
            title: card.title,
            licenses: card.license,
            message: self.message(),
            metrics: figures.metrics.clone(),
            params: figures.params.clone(),
            record: None,
        };
        Ok((said, provenance.author))
    }

    /// Refuses what makes no image before anything is stored. Digests are all of one length, so that the image has
    /// its size before any file is read.
    pub(super) fn check_image(&self, said: &Said) -> Result<(), Failure> {
        let unread = Digest::of(b"");
        let mut layers: Vec<Descriptor> = self
            .plans
            .iter()
            .map(|plan| image::layer_descriptor(&self.files, plan, &unread))
            .collect();
        let contents = self.contents(&vec![unread; self.files.len()], &layers)?;
        let recorded = self.unread_record()?;
        layers.extend(recorded.table.map(|(descriptor, _)| descriptor));
        let said = Said {
            record: Some(recorded.label),
            ..said.clone()
        };
        self.image(contents, &layers, &said).map(drop)
    }

    pub(super) fn image(
        &self,
        contents: modelkeep_core::Contents,
        layers: &[Descriptor],
        said: &Said,
    ) -> Result<Image, Failure> {
        let platforms = if self.arguments.index {
            Platforms::Index
        } else {
            Platforms::Single
        };
        image::build(
            contents,
            layers,
            &self.image,
            said,
            platforms,
            &limits(self.endpoint.as_ref()),
        )
        .map_err(|error| match error {
            image::ImageError::ReservedLabel(_) => Failure::new(Exit::Usage, error),
            image::ImageError::ConfigTooLarge { .. } => {
                Failure::failed(error).hint("put the many small files into an archive of their own")
            }
            error => Failure::failed(error),
        })
    }
}
