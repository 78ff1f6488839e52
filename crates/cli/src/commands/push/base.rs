//! The image that a model is laid on.

use modelkeep_core::{Descriptor, Digest, Limits, Reference, content::Target};
use modelkeep_ledger as ledger;
use modelkeep_package::{
    base::{Base, BaseError},
    oci_layout::Named,
};
use modelkeep_transfer::{Copied, CopyError, copy_blobs};

use super::{Job, workers};
use crate::{
    args::Push,
    error::{Exit, Failure, Unknown},
    origin::Origin,
    place::Place,
    report::progress::Progress,
    settings::{Origin as From, Settings},
    wiring::{Endpoint, Mounting},
};

/// An image to lay a model on, and where its layers are read from.
pub(super) struct OnBase {
    pub(super) image: Base,
    origin: Origin,
}

impl OnBase {
    /// The image that the command or the settings name.
    pub(super) fn find(arguments: &Push, settings: &Settings) -> Result<Option<Self>, Failure> {
        let place = match (&arguments.base, &settings.base.value) {
            (Some(text), _) => Place::parse(settings, text)?,
            (None, Some(text)) => beside(Place::parse(settings, text)?, &settings.base.origin),
            (None, None) if arguments.platforms.is_empty() => return Ok(None),
            (None, None) => {
                return Err(Failure::usage(
                    "--platform chooses among those of a base: name one with --base",
                ));
            }
        };
        if arguments.index {
            return Err(Failure::usage(
                "--index says the platforms, and so does the base image: leave it out",
            ));
        }
        let name = name(&place);
        let origin = Origin::open(settings, place).map_err(|mut failure| {
            if let Some(Unknown::Repository { .. }) = failure.error.downcast_ref() {
                // Nobody means to push it first.
                failure.hints = vec!["an image of Docker Hub is docker.io/library/NAME:TAG".to_owned()];
            }
            failure
        })?;
        let image = Base::read_for(origin.source(), &origin.root, name, &arguments.platforms);
        let image = image.map_err(|error| match error {
            BaseError::Source(error) => Failure::from(error),
            error => Failure::failed(error),
        })?;
        Ok(Some(Self { image, origin }))
    }

    pub(super) fn said(&self) -> ledger::Base {
        ledger::Base {
            name: self.image.name().map(str::to_owned),
            digest: self.image.digest().clone(),
        }
    }

    /// Refuses layers that the target does not take.
    fn check(&self, most: u64) -> Result<(), Failure> {
        match self.image.layers().into_iter().find(|layer| layer.size > most) {
            None => Ok(()),
            Some(large) => Err(Failure::failed(CopyError::TooLarge {
                what: "layer of the base",
                digest: large.digest,
                size: large.size,
                most,
            })),
        }
    }
}

/// What is left of the limits for the model, whose layers lie above those of a base.
pub(super) fn room_above(base: Option<&OnBase>, limits: Limits) -> Result<Limits, Failure> {
    let Some(base) = base else { return Ok(limits) };
    base.check(limits.layer_bytes)?;
    let below = base.image.most_layers();
    match limits.layers.checked_sub(below) {
        Some(layers) if layers > 0 => Ok(Limits { layers, ..limits }),
        _ => Err(Failure::new(
            Exit::Failed,
            format!(
                "the base image has {below} layers, and an image has {} at most",
                limits.layers
            ),
        )
        .hint("build the base with fewer layers")),
    }
}

/// A path in a file of settings is one from where the file lies.
fn beside(place: Place, origin: &From) -> Place {
    let directory = match origin {
        From::File(path) => path.parent().map(std::path::Path::to_owned).unwrap_or_default(),
        _ => return place,
    };
    match place {
        Place::Layout {
            directory: path,
            named,
        } => Place::Layout {
            directory: directory.join(path),
            named,
        },
        Place::Archive { file, name } => Place::Archive {
            file: directory.join(file),
            name,
        },
        other => other,
    }
}

/// What the base is called, if that means something to others: a path on this machine does not.
fn name(place: &Place) -> Option<String> {
    match place {
        Place::Version(reference) => Some(reference.to_string()),
        Place::Layout {
            named: Named::Name(name),
            ..
        } => name.parse::<Reference>().is_ok().then(|| name.clone()),
        Place::Layout { .. } => None,
        Place::Archive { name, .. } => name.clone(),
        Place::Daemon { name } => Some(name.clone()),
    }
}

impl Job<'_> {
    /// Digest of the base, if there is one.
    pub(super) fn base_digest(&self) -> Option<&Digest> {
        self.base.as_ref().map(|base| base.image.digest())
    }

    /// Copies the layers of the base that the target lacks, byte for byte.
    pub(super) fn copy_base(&self, target: &dyn Target, progress: &Progress) -> Result<Copied, Failure> {
        let Some(base) = &self.base else {
            return Ok(Copied::default());
        };
        let to = Reference {
            host: self.host.clone(),
            name: self.name.clone(),
            target: modelkeep_core::name::Target::Tag(self.version.clone()),
        };
        let mounting = match (&self.endpoint, &base.origin.place) {
            (Some(Endpoint::Remote(registry)), Place::Version(from)) => {
                Mounting::between(registry, from, &to)
            }
            _ => None,
        };
        let target = mounting.as_ref().map_or(target, |mounting| mounting);
        let layers = base.image.layers();
        copy_blobs(base.origin.source(), target, &layers, workers(), &|bytes| {
            progress.add(bytes);
        })
        .map_err(Failure::failed)
    }

    /// Bytes of the base that a push may copy.
    pub(super) fn base_bytes(&self) -> u64 {
        let layers = self.base.as_ref().map(|base| base.image.layers());
        let sizes = layers.iter().flatten().map(|layer: &Descriptor| layer.size);
        sizes.fold(0, u64::saturating_add)
    }
}
