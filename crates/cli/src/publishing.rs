//! What becomes a version, whoever made it, and how it becomes one on a registry that does not refuse to overwrite.

use modelkeep_client::Registry;
use modelkeep_core::{
    Contents, Descriptor, Digest, Document, Mutability, Tag, annotation,
    content::{self, Names, Source},
};
use modelkeep_ledger::{Base, PublishError, Standing, Verdict, judge, next_free};

use crate::{
    error::{Exit, Failure, registry},
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
        let contents = read_image(source, manifest).ok().and_then(|(image, config)| {
            let labels = config.config.labels?;
            let contents = Contents::parse(labels.get(Contents::LABEL)?).ok()?;
            is_about(&contents, &image).then_some(contents)
        });
        let Some(contents) = contents else {
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

/// What stands under a tag of a registry.
pub(crate) fn standing(registry: &Registry, tag: &Tag) -> Result<Option<Standing>, Failure> {
    let Some(manifest) = registry.resolve(tag)? else {
        return Ok(None);
    };
    let model = Model::of(registry, &manifest);
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

/// A version of a registry that keeps no history, and may be overwritten there: so we do not.
pub(crate) struct Remote<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) version: &'a Tag,
    pub(crate) mutability: &'a Mutability,
    /// For messages.
    pub(crate) reference: String,
}

/// What came of publishing: in JSON's words, and what stands then.
pub(crate) type Published = (&'static str, Digest);

impl Remote<'_> {
    /// Publishes what `candidate` is; its manifest is `bytes`, and everything that it names is there. The tag is
    /// looked at before and after: what another client published in between is not overwritten silently.
    pub(crate) fn publish(&self, candidate: &Standing, bytes: &[u8]) -> Result<Published, Failure> {
        let top = &candidate.manifest;
        let before = standing(self.registry, self.version)?;
        let stands = before.as_ref().map(Standing::proposed);
        let verdict = judge(self.mutability, self.version, stands, candidate.proposed());
        match (verdict, &before) {
            (Verdict::Taken, Some(standing)) => return Err(self.taken(&standing.manifest, top)?),
            (Verdict::Same, Some(standing)) => return Ok(("unchanged", standing.manifest.digest.clone())),
            _ => {}
        }
        let put = self.registry.put_manifest(self.version, &top.media_type, bytes);
        // A registry that keeps versions itself refuses when somebody was faster.
        if let Err(error) = put {
            match self.registry.resolve(self.version) {
                Ok(Some(other)) if other.digest != top.digest => return Err(self.taken(&other, top)?),
                // Its answer was lost.
                Ok(Some(_)) => {}
                // The name is kept for what was deleted under it.
                _ if is_conflict(&error) => return Err(Failure::new(Exit::Exists, error)),
                _ => return Err(error.into()),
            }
        }
        match self.registry.resolve(self.version)? {
            Some(after) if after.digest == top.digest => Ok(("published", after.digest)),
            Some(other) => Err(self.taken(&other, top)?),
            None => Err(Failure::failed(content::Error::NotFound {
                what: format!("the version {} that was just written", self.version),
                place: self.reference.clone(),
            })),
        }
    }

    fn taken(&self, standing: &Descriptor, refused: &Descriptor) -> Result<Failure, Failure> {
        let taken = versions(self.registry)?;
        Ok(PublishError::Taken {
            version: self.version.clone(),
            standing: standing.digest.clone(),
            refused: refused.digest.clone(),
            next_free: next_free(|tag| taken.contains(tag), self.version),
        }
        .into())
    }
}

/// Whether a registry that enforces immutable tags refused: what it says names the reason.
fn is_conflict(error: &content::Error) -> bool {
    matches!(
        registry(error),
        Some(modelkeep_client::Error::Status { status: 409, .. })
    )
}

fn versions(registry: &Registry) -> Result<Vec<Tag>, content::Error> {
    let mut tags = registry.tags()?;
    tags.retain(|tag| !tag.is_reserved());
    Ok(tags)
}

/// A version to propose instead of one that is taken.
pub(crate) fn next_free_of(endpoint: &Endpoint, version: &Tag) -> Result<Option<Tag>, Failure> {
    if endpoint.keeper()? != Keeper::Client {
        return Ok(endpoint.history()?.next_free(version));
    }
    let taken = endpoint.versions()?;
    Ok(next_free(|tag| taken.contains(tag), version))
}
