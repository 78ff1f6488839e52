//! The files that a version holds, whoever made it, and how to get at them.

use std::path::Path;

use modelkeep_core::{Contents, Digest};
use modelkeep_package::{
    foreign::{self, Coding, Described, Kind, LayerError, Placed},
    unpack::{Existing, UnpackOptions, unpack},
};
use serde::Deserialize;

use crate::{
    commands::workers,
    error::{Exit, Failure},
    held::Held,
    model::Layered,
    report::{human, progress::Progress},
    settings::Settings,
};

/// What a version holds, as far as its manifest and config say.
pub(crate) struct Holding {
    pub(crate) described: Described,
    /// Its files, where all are known with their digests.
    pub(crate) contents: Option<Contents>,
    /// Whether Modelkeep wrote the list of them.
    pub(crate) is_own: bool,
}

impl Holding {
    /// Reads what the manifest and the config say.
    pub(crate) fn of(held: &Held, settings: &Settings) -> Result<Self, Failure> {
        if let Some(contents) = held.list()? {
            let diff_ids = held
                .config
                .as_ref()
                .map(|config| config.rootfs.diff_ids.as_slice());
            let described = foreign::listed(&held.manifest, diff_ids.unwrap_or_default(), &contents);
            if let Some(described) = described {
                return Ok(Self {
                    described,
                    contents: Some(contents),
                    is_own: true,
                });
            }
        }
        let directory = settings.image_path.value.parse().map_err(Failure::failed)?;
        let names = match foreign::kind(&held.manifest) {
            Some(Kind::Ollama) => names(held)?,
            _ => Vec::new(),
        };
        let described = foreign::describe(&held.manifest, &held.config_bytes, &names, &directory);
        let described = described.map_err(|error| refused(held, error))?.ok_or_else(|| {
            let config = human::clean(&held.manifest.config.media_type);
            refused(
                held,
                format!("{} is no model: its config is {config}", held.reference),
            )
        })?;
        let contents = described.contents().map_err(|error| refused(held, error))?;
        Ok(Self {
            described,
            contents,
            is_own: false,
        })
    }

    /// Whether any of its files can be read by itself, without the layer that it lies in.
    pub(crate) fn is_ranged(&self) -> bool {
        self.described
            .parts
            .iter()
            .all(|part| part.coding() == Coding::Plain)
    }

    /// Its files, as far as they are known without reading layers whole; `None` where they are not.
    pub(crate) fn files(&self, held: &Held) -> Result<Option<Vec<Placed>>, Failure> {
        let source = held.repository.source();
        foreign::list(source, &self.described, self.contents.as_ref())
            .map_err(|(layer, error)| unreadable(held, &layer, error))
    }

    /// Its files, for whoever reads their headers. `files` are those of [`Holding::files`].
    pub(crate) fn layered<'a>(&'a self, held: &'a Held, files: &'a [Placed]) -> Layered<'a> {
        Layered::new(held.repository.source(), &self.described.parts, files)
    }

    /// Bytes of the layers that hold the files.
    pub(crate) fn packed_bytes(&self) -> u64 {
        let parts = self.described.parts.iter();
        parts.fold(0, |sum, part| sum.saturating_add(part.layer.size))
    }

    /// Reads all of it, verified, into `directory`, which must not be there, and gives the list of its files.
    pub(crate) fn read(&self, held: &Held, directory: &Path, quiet: bool) -> Result<Contents, Failure> {
        let progress = Progress::begin(quiet, self.packed_bytes(), "read");
        let options = UnpackOptions {
            existing: Existing::Refuse,
            workers: workers(),
        };
        let unpacked = unpack(
            held.repository.source(),
            &self.described,
            self.contents.as_ref(),
            &|_| true,
            directory,
            &options,
            &|bytes| progress.add(bytes),
        );
        let unpacked = unpacked.map_err(|error| crate::commands::unpack_failure(error, held))?;
        progress.end(&format!("read {}: its layers are archives", held.reference));
        match (unpacked.found, &self.contents) {
            (Some(found), _) => Ok(found),
            (None, Some(known)) => Ok(known.clone()),
            (None, None) => Err(refused(held, "its layers name no file")),
        }
    }
}

/// The names that the manifest gives its layers, beside what descriptors have.
fn names(held: &Held) -> Result<Vec<Option<String>>, Failure> {
    #[derive(Deserialize)]
    struct Layer {
        name: Option<String>,
    }
    #[derive(Deserialize)]
    struct Named {
        layers: Vec<Layer>,
    }
    let limit = modelkeep_core::Limits::default().manifest_bytes;
    let bytes = held.repository.source().fetch(&held.image, limit)?;
    let named: Named = serde_json::from_slice(&bytes).map_err(|error| refused(held, error))?;
    Ok(named.layers.into_iter().map(|layer| layer.name).collect())
}

fn refused(held: &Held, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Exit::Failed, error).hint(export(held))
}

fn unreadable(held: &Held, layer: &Digest, error: LayerError) -> Failure {
    let error = modelkeep_package::unpack::UnpackError::Layer {
        layer: layer.clone(),
        source: error,
    };
    Failure::failed(error).hint(export(held))
}

/// What can be done with what cannot be read.
pub(crate) fn export(held: &Held) -> String {
    format!(
        "`modelkeep export {} --oci DIR` gives it as it is",
        held.reference
    )
}
