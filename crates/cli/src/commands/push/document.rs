//! The image that a version is: contents list, what is said of it, config and manifest.

use modelkeep_core::{Descriptor, Digest, RepoName};
use modelkeep_inspect::Record;
use modelkeep_package::{
    card,
    image::{self, Image, Platforms, Provenance as Said},
    layout::LayerPlan,
    modelpack::{self, About},
};

use super::{Figures, Job, job::limits};
use crate::{
    args::Format,
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
            origin: provenance.origin,
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
            .map(|plan| self.layer_descriptor(plan, &unread))
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

    /// The descriptor of a layer, in the words of the format.
    pub(super) fn layer_descriptor(&self, plan: &LayerPlan, digest: &Digest) -> Descriptor {
        match plan.is_raw() {
            true => modelpack::layer_descriptor(&self.files, plan, digest),
            false => image::layer_descriptor(&self.files, plan, digest),
        }
    }

    pub(super) fn image(
        &self,
        contents: modelkeep_core::Contents,
        layers: &[Descriptor],
        said: &Said,
    ) -> Result<Image, Failure> {
        let limits = limits(self.endpoint.as_ref());
        let about = || about(&self.name, said);
        let built = match (self.format, self.arguments.index) {
            (Format::ModelPack, false) => {
                modelpack::build(contents, layers, &self.image, said, &about(), &limits)
            }
            (Format::ModelPack, true) => {
                let platforms = Platforms::IndexAnd {
                    about: &about(),
                    layers: &self.as_artifact(layers),
                };
                image::build(contents, layers, &self.image, said, platforms, &limits)
            }
            (Format::Image, index) => {
                let platforms = match &self.base {
                    Some(base) => Platforms::Of(&base.image),
                    None if index => Platforms::Index,
                    None => Platforms::Single,
                };
                image::build(contents, layers, &self.image, said, platforms, &limits)
            }
        };
        built.map_err(|error| match error {
            image::ImageError::ReservedLabel(_) => Failure::new(Exit::Usage, error),
            image::ImageError::ConfigTooLarge { .. } => {
                Failure::failed(error).hint("put the many small files into an archive of their own")
            }
            image::ImageError::ManifestTooLarge { .. } if self.format == Format::ModelPack => {
                Failure::failed(error)
                    .hint(format!(
                        "it names each of {} files: put the many small ones into an archive of their own",
                        self.files.len()
                    ))
                    .hint("`--format image` has layers with many files")
            }
            error => Failure::failed(error),
        })
    }

    /// The layers of an image, and that of the table of tensors, as the manifest of an artifact names them.
    fn as_artifact(&self, layers: &[Descriptor]) -> Vec<Descriptor> {
        let model = self.plans.iter().zip(layers);
        let model = model.map(|(plan, layer)| modelpack::layer_descriptor(&self.files, plan, &layer.digest));
        let documents = layers.iter().skip(self.plans.len());
        model.chain(documents.map(modelpack::archived_document)).collect()
    }
}

/// What the config of an artifact says of the model.
fn about(name: &RepoName, said: &Said) -> About {
    let record = said.record.as_deref().and_then(Record::parse).unwrap_or_default();
    // That of which the parameters are counted, where there are several.
    let first = ["safetensors", "gguf", "pytorch", "onnx"]
        .into_iter()
        .find(|first| record.formats.iter().any(|format| format == first));
    let format = first
        .map(str::to_owned)
        .or_else(|| record.formats.first().cloned());
    let mut dtypes: Vec<(u64, String)> = record
        .dtypes
        .into_iter()
        .map(|(dtype, share)| (share.parameters, dtype))
        .collect();
    dtypes.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.cmp(other)));
    let mut datasets = record.lineage.datasets;
    datasets.retain(|dataset| dataset.contains("://"));
    About {
        name: name.last().to_owned(),
        architecture: record.architecture,
        format,
        parameters: record.parameters,
        dtypes: dtypes.into_iter().map(|(_, dtype)| dtype).collect(),
        quantization: record.quantization,
        datasets,
    }
}
