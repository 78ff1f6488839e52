//! `PutImage`: a manifest and its tag, by the rule that every push follows.

use modelkeep_core::{Digest, RepoName, Tag};
use modelkeep_ledger::Outcome;
use serde::{Deserialize, Serialize};

use super::{ApiError, Call, check, images::ImageId, json};
use crate::{
    access::Permission,
    pushed::{Kind, Push, Refusal, own_media_type},
    reply::chain,
};

const MOST_CHARACTERS: usize = 4_194_304;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_manifest: Option<String>,
    image_manifest_media_type: Option<String>,
    image_tag: Option<String>,
    image_digest: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    image: Image<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image<'a> {
    registry_id: &'a str,
    repository_name: &'a str,
    image_id: ImageId,
    image_manifest: &'a str,
    image_manifest_media_type: &'a str,
}

/// `PutImage`
pub(super) fn put(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let parsed = call.input::<Input>()?;
    let input = &parsed.input;
    let name = check::repository_name(input.repository_name.clone())?;
    let text = check::required("imageManifest", input.image_manifest.as_deref())?;
    check::length("imageManifest", text, 1..=MOST_CHARACTERS)?;
    let tag = input.image_tag.as_deref().map(check::image_tag).transpose()?;
    let digest = input
        .image_digest
        .as_deref()
        .map(check::image_digest)
        .transpose()?;
    call.allow(Permission::push(name.as_str()))?;
    let repository = call.repository_for_data(input.registry_id.as_deref(), &name)?;
    let media_type = input.image_manifest_media_type.clone();
    let media_type = media_type
        .or_else(|| own_media_type(text.as_bytes()))
        .ok_or_else(|| {
            let rule = "must say what it is, or imageManifestMediaType must";
            ApiError::parameter("imageManifest", rule)
        })?;
    let push = Push {
        media_type: &media_type,
        bytes: text.as_bytes(),
        digest: digest.as_ref(),
        tags: tag.as_slice(),
    };
    let author = call.exchange.author();
    let histories = &call.registry().histories;
    let pushed = push
        .read()
        .and_then(|read| read.into_repository(&repository, histories, &author))
        .map_err(|refusal| refused(refusal, call, &name))?;
    let image_digest = pushed.manifest.digest;
    let moved = pushed
        .tags
        .iter()
        .any(|(_, outcome)| *outcome == Outcome::Published);
    if pushed.was_here && !moved {
        return Err(already(call, &name, &image_digest, tag.as_ref()));
    }
    Ok(json(&Answer {
        image: Image {
            registry_id: call.registry_id(),
            repository_name: name.as_str(),
            image_id: ImageId {
                image_digest: Some(image_digest.to_string()),
                image_tag: tag.map(|tag| tag.to_string()),
            },
            image_manifest: text,
            image_manifest_media_type: &media_type,
        },
    }))
}

fn already(call: &Call<'_, '_, '_>, name: &RepoName, digest: &Digest, tag: Option<&Tag>) -> ApiError {
    let tagged = tag.map(|tag| format!(" and tag '{tag}'")).unwrap_or_default();
    let id = call.registry_id();
    ApiError::new(
        "ImageAlreadyExistsException",
        format!(
            "Image with digest '{digest}'{tagged} already exists in the repository with name '{name}' in registry with \
             id '{id}'"
        ),
    )
}

fn refused(refusal: Refusal, call: &Call<'_, '_, '_>, name: &RepoName) -> ApiError {
    let id = call.registry_id();
    match refusal {
        Refusal::Malformed(error) => ApiError::parameter("imageManifest", chain(&error)),
        Refusal::Type { is, said } => ApiError::parameter(
            "imageManifestMediaType",
            format_args!("must be {is}, and is {said}"),
        ),
        Refusal::Digest { is, said } => ApiError::new(
            "ImageDigestDoesNotMatchException",
            format!("the manifest is {is}, and was to be {said}"),
        ),
        Refusal::Needs { what, kind } => {
            let kind = match kind {
                Kind::Image => "LayersNotFoundException",
                Kind::Index => "ReferencedImagesNotFoundException",
            };
            let message = format!(
                "the manifest needs {what}, which the repository '{name}' in registry with id '{id}' does not have"
            );
            ApiError::new(kind, message)
        }
        Refusal::Tags(refused) => {
            let first = refused.first();
            let tag = first.map(|refused| refused.tag.to_string()).unwrap_or_default();
            let next = first
                .and_then(|refused| refused.next_free.as_ref())
                .map(|next| format!("; the next free version is {next}"))
                .unwrap_or_default();
            let message = format!(
                "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the \
                 repository is immutable{next}."
            );
            ApiError::new("ImageTagAlreadyExistsException", message)
        }
        Refusal::Fault(fault) => fault.into(),
    }
}
