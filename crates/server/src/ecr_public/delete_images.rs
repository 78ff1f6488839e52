//! `BatchDeleteImage`: the owner's explicit act. What was immutable leaves its name behind, kept for what it was.

use modelkeep_core::{Digest, Tag, content, content::Names, name::Target};
use modelkeep_ledger::{self as ledger, DeleteError, Force};
use modelkeep_store::Repository;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Call, check, images::ImageId, json};
use crate::{access::Permission, reply::Fault};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_ids: Option<Vec<ImageId>>,
}

/// `BatchDeleteImage`: each image for itself; what cannot be deleted is a failure among others.
pub(super) fn delete(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Input = call.input()?.input;
    let registry = input.registry_id.as_deref();
    if let Some(id) = registry {
        check::length("registryId", id, 2..=50)?;
    }
    let name = check::repository_name(input.repository_name)?;
    let ids = check::required("imageIds", input.image_ids)?;
    check::count("imageIds", &ids, 1..=100)?;
    call.allow(Permission::delete(name.as_str()))?;
    let repository = call.repository(registry, &name)?;
    let (mut gone, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        match delete_one(call, &repository, &id) {
            Ok(deleted) => gone.extend(deleted),
            Err(Kept::Failure(code, reason)) => failures.push(failure(&id, code, &reason)),
            Err(Kept::Error(error)) => return Err(error),
        }
    }
    let mut answer = json!({ "failures": failures });
    // By the model this list has an item, where it is there.
    if !gone.is_empty() {
        answer["imageIds"] = json!(gone);
    }
    Ok(json(&answer))
}

/// Why an image stays.
enum Kept {
    Failure(&'static str, String),
    Error(ApiError),
}

impl<E: Into<ApiError>> From<E> for Kept {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

fn failure(id: &ImageId, code: &str, reason: &str) -> Value {
    json!({ "imageId": id, "failureCode": code, "failureReason": reason })
}

/// Deletes what `id` names, and gives it by digest and tag.
fn delete_one(call: &Call<'_, '_, '_>, repository: &Repository, id: &ImageId) -> Result<Vec<ImageId>, Kept> {
    let failure = |code, reason: &str| Kept::Failure(code, reason.to_owned());
    let digest = id.image_digest.as_deref().map(str::parse::<Digest>).transpose();
    let digest = digest.map_err(|error| failure("InvalidImageDigest", &error.to_string()))?;
    let tag = id.image_tag.as_deref().map(str::parse::<Tag>).transpose();
    let tag = tag.map_err(|error| failure("InvalidImageTag", &error.to_string()))?;
    let author = call.exchange.author();
    let not_found = || failure("ImageNotFound", "Requested image not found");
    match (digest, tag) {
        (None, None) => Err(failure("MissingDigestAndTag", "both digest and tag are missing")),
        (Some(digest), None) => {
            let target = Target::Digest(digest.clone());
            let recent = call.registry().histories.of(repository.name());
            let tags =
                ledger::delete(repository, Some(recent), &author, &target, Force::OwnersAct).map_err(kept)?;
            let id = |tag: Option<&Tag>| ImageId {
                image_digest: Some(digest.to_string()),
                image_tag: tag.map(Tag::to_string),
            };
            Ok(match tags.as_slice() {
                [] => vec![id(None)],
                tags => tags.iter().map(|tag| id(Some(tag))).collect(),
            })
        }
        (digest, Some(tag)) => {
            if let Some(digest) = &digest {
                let standing = repository.resolve(&tag)?.ok_or_else(not_found)?;
                if standing.digest != *digest {
                    let reason = format!("the tag names {}", standing.digest);
                    return Err(Kept::Failure("ImageTagDoesNotMatchDigest", reason));
                }
            }
            let manifest =
                ledger::untag(repository, &author, &tag, digest.as_ref(), Force::OwnersAct).map_err(kept)?;
            Ok(vec![ImageId {
                image_digest: Some(manifest.digest.to_string()),
                image_tag: Some(tag.to_string()),
            }])
        }
    }
}

fn kept(error: DeleteError) -> Kept {
    match error {
        DeleteError::NotFound(_) | DeleteError::Content(content::Error::NotFound { .. }) => {
            Kept::Failure("ImageNotFound", "Requested image not found".to_owned())
        }
        DeleteError::Index(index) => Kept::Failure(
            "ImageReferencedByManifestList",
            format!("Requested image referenced by manifest list: [{index}]"),
        ),
        other => Kept::Error(Fault::from(other).into()),
    }
}
