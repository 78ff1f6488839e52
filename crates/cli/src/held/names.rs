//! What a name means: by the history, and by a tag only where no history speaks of it.

use modelkeep_core::{Descriptor, Reference, Tag, name::Target};
use modelkeep_ledger::{History, Publication};

use crate::{
    error::{Exit, Failure, Unknown},
    wiring::Endpoint,
};

/// What `reference` names: by the history where it has the version, else by the tag.
pub(crate) fn resolve(
    repository: &Endpoint,
    history: &History,
    reference: &Reference,
) -> Result<(Descriptor, Option<Publication>), Failure> {
    let name = || reference.name.clone();
    match &reference.target {
        Target::Tag(tag) => {
            if let Some(publication) = history.version(tag) {
                return Ok((publication.manifest().clone(), Some(publication.clone())));
            }
            if let Some(moved) = history.alias(tag) {
                let manifest = moved.alias.manifest.clone();
                let version = history.version(&moved.alias.version);
                let version = version.filter(|version| *version.manifest() == manifest);
                return Ok((manifest, version.cloned()));
            }
            if let Some(found) = repository.names().resolve(tag)? {
                if tag.is_reserved() || (!history.has(tag) && are_tags_believed(repository, history)?) {
                    return Ok((found, None));
                }
                let error = format!(
                    "{reference} is a tag, and no version: the history of {} does not have it",
                    name()
                );
                let digest = format!("{}@{}", name(), found.digest);
                return Err(Failure::new(Exit::Damage, error).hint(format!(
                    "who wants that image all the same names its digest: {digest}"
                )));
            }
            let version = tag.to_string();
            let failure = Failure::new(
                Exit::Failed,
                Unknown::Version {
                    name: name(),
                    version,
                },
            );
            let newest: Vec<String> = history
                .newest_first()
                .iter()
                .take(5)
                .map(|p| p.version.to_string())
                .collect();
            Err(match newest.as_slice() {
                [] => failure,
                newest => failure.hint(format!("its newest versions are {}", newest.join(", "))),
            })
        }
        Target::Digest(digest) => match repository.manifest(digest)? {
            Some(manifest) => Ok((manifest, None)),
            None => Err(Failure::new(
                Exit::Failed,
                Unknown::Manifest {
                    name: name(),
                    digest: digest.clone(),
                },
            )),
        },
    }
}

/// Whether a tag that the history does not have is a version all the same. Whoever signs a history answers for its
/// versions, and any other tag is anybody's. Where entries are not what they say, nobody knows which version they were of.
pub(crate) fn are_tags_believed(repository: &Endpoint, history: &History) -> Result<bool, Failure> {
    Ok(history.keys().is_empty() && repository.tampered()?.is_empty())
}

/// What `tag` stands for, if it stands for a version or is an alias of one: by the history, else by the tag itself where
/// that is believed.
pub(crate) fn manifest_of(
    repository: &Endpoint,
    history: &History,
    tag: &Tag,
) -> Result<Option<Descriptor>, Failure> {
    if history.has(tag) {
        return Ok(history.manifest(tag).cloned());
    }
    match are_tags_believed(repository, history)? {
        true => Ok(repository.names().resolve(tag)?),
        false => Ok(None),
    }
}
