//! An image that is read, wherever it lies.

use modelkeep_core::{
    Descriptor, Digest,
    content::{Error, Source},
};
use modelkeep_ledger::Publication;
use modelkeep_package::{docker_archive::DockerArchive, oci_layout::OciLayout};

use crate::{error::Failure, held::Named, place::Place, settings::Settings, wiring::Endpoint};

/// An image or index and where it is read from.
pub(crate) struct Origin {
    pub(crate) place: Place,
    pub(crate) root: Descriptor,
    /// What the history says of it, where there is one.
    pub(crate) publication: Option<Publication>,
    kept: Kept,
}

enum Kept {
    Repository(Box<Endpoint>),
    Layout(Box<OciLayout>),
    Archive(Box<DockerArchive>),
}

impl Origin {
    /// Finds the image at `place`. What a docker engine has is not found there: it comes as it is sent.
    pub(crate) fn open(settings: &Settings, place: Place) -> Result<Self, Failure> {
        let (kept, root, publication) = match &place {
            Place::Version(reference) => {
                let named = Named::of(settings, reference.clone())?;
                named.check_use(settings)?;
                (
                    Kept::Repository(Box::new(named.repository)),
                    named.root,
                    named.publication,
                )
            }
            Place::Layout { directory, named } => {
                let layout = OciLayout::open(directory)?;
                let root = layout.find(named)?;
                (Kept::Layout(Box::new(layout)), root, None)
            }
            Place::Archive { file, name } => {
                let archive = DockerArchive::open(file, name.as_deref())?;
                let root = archive.root().clone();
                (Kept::Archive(Box::new(archive)), root, None)
            }
            Place::Daemon { name } => {
                return Err(Failure::usage(format!(
                    "{place} cannot be read from: a docker engine sends an image once, and whole"
                ))
                .hint(format!(
                    "copy it first: `modelkeep copy docker-daemon:{name} oci:DIR`"
                )));
            }
        };
        Ok(Self {
            place,
            root,
            publication,
            kept,
        })
    }

    pub(crate) fn source(&self) -> &dyn Source {
        match &self.kept {
            Kept::Repository(endpoint) => endpoint.source(),
            Kept::Layout(layout) => &**layout,
            Kept::Archive(archive) => &**archive,
        }
    }

    /// The manifests that say something about `subject`.
    pub(crate) fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        match &self.kept {
            Kept::Repository(endpoint) => match &**endpoint {
                Endpoint::Store(repository) => repository.referrers(subject),
                Endpoint::Remote(registry) => registry.referrers(subject),
            },
            Kept::Layout(layout) => layout.referrers(subject),
            Kept::Archive(_) => Ok(Vec::new()),
        }
    }

    /// Where it came from, for a history.
    pub(crate) fn said(&self) -> String {
        let digest = &self.root.digest;
        match self.place.to_string() {
            text if text.ends_with(&digest.to_string()) => text,
            text => format!("{text}@{digest}"),
        }
    }
}
