//! What becomes a version, whoever made it.

use modelkeep_core::{
    Contents, Descriptor, Digest, Document, Tag, annotation,
    content::{self, Source},
};
use modelkeep_ledger::{Base, History, Standing, next_free};

use crate::{
    error::Failure,
    held::{is_about, read_document, read_image},
    promise::Keeper,
    settings::Settings,
    wiring::Endpoint,
};

/// The model that an image or index is, if it is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) root: Option<Digest>,
    /// What it lies on.
    pub(crate) base: Option<Base>,
}

impl Model {
    /// Reads what an image says of itself. What cannot be read is no model.
    pub(crate) fn of(source: &dyn Source, manifest: &Descriptor) -> Self {
        let Some(contents) = contents_of(source, manifest) else {
            return Self::default();
        };
        let annotations = match read_document(source, manifest) {
            Ok(Document::Image(image)) => image.annotations,
            Ok(Document::Index(index)) => index.annotations,
            Err(_) => Default::default(),
        };
        let digest = annotations.get(annotation::BASE_DIGEST);
        Self {
            root: Some(contents.root()),
            base: digest.and_then(|digest| {
                Some(Base {
                    name: annotations.get(annotation::BASE_NAME).cloned(),
                    digest: digest.parse().ok()?,
                })
            }),
        }
    }

    /// As what stands under a name.
    pub(crate) fn standing(&self, manifest: Descriptor) -> Standing {
        Standing {
            manifest,
            root: self.root.clone(),
            base: self.base.as_ref().map(|base| base.digest.clone()),
        }
    }
}

/// The contents list of a model; `None` for what is none, or cannot be read.
pub(crate) fn contents_of(source: &dyn Source, manifest: &Descriptor) -> Option<Contents> {
    let (image, config) = read_image(source, manifest).ok()?;
    let labels = config.config.labels?;
    let contents = Contents::parse(labels.get(Contents::LABEL)?).ok()?;
    is_about(&contents, &image).then_some(contents)
}

/// What stands under a name: by the history, or on a registry that keeps none by the tag that is not in it.
pub(crate) fn standing(
    endpoint: &Endpoint,
    history: &History,
    version: &Tag,
) -> Result<Option<Standing>, Failure> {
    if let Some(publication) = history.version(version) {
        return Ok(Some(Standing::from(&publication.publish)));
    }
    if endpoint.keeper()? != Keeper::Client {
        return Ok(None);
    }
    let Some(manifest) = endpoint.names().resolve(version)? else {
        return Ok(None);
    };
    let model = Model::of(endpoint.source(), &manifest);
    Ok(Some(model.standing(manifest)))
}

/// Refuses names that cannot be versions.
pub(crate) fn check_version(settings: &Settings, version: &Tag) -> Result<(), Failure> {
    if version.is_reserved() {
        return Err(Failure::usage(format!(
            "{version} cannot be a version: names that begin with c., l., sha256- or sha512-, and ledger, belong to the history"
        )));
    }
    if settings.aliases.value.contains(version) {
        return Err(Failure::usage(format!(
            "{version} is an alias: it names a version, and holds no content of its own"
        )));
    }
    Ok(())
}

/// A version to propose instead of one that is taken.
pub(crate) fn next_free_of(
    endpoint: &Endpoint,
    history: &History,
    version: &Tag,
) -> Result<Option<Tag>, Failure> {
    let tagged = untold_or_none(endpoint, history)?;
    Ok(next_free(|tag| history.has(tag) || tagged.contains(tag), version))
}

/// As [`untold`], where the first version may be about to make the repository.
pub(crate) fn untold_or_none(endpoint: &Endpoint, history: &History) -> Result<Vec<Tag>, content::Error> {
    match untold(endpoint, history) {
        Err(content::Error::NotFound { .. }) => Ok(Vec::new()),
        tags => tags,
    }
}

/// The tags of a registry that are versions, and that its history says nothing of: something else wrote them.
pub(crate) fn untold(endpoint: &Endpoint, history: &History) -> Result<Vec<Tag>, content::Error> {
    if endpoint.keeper()? != Keeper::Client {
        return Ok(Vec::new());
    }
    let mut tags = endpoint.versions()?;
    tags.retain(|tag| !history.has(tag));
    Ok(tags)
}
