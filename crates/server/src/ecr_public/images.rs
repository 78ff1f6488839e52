//! What images and tags a repository has.

use std::collections::BTreeMap;

use modelkeep_core::{
    Descriptor, Digest, Document, Manifest, Tag,
    content::{Names, Source},
};
use modelkeep_ledger as ledger;
use modelkeep_store::Repository;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiError, Call, check, epoch_seconds, json, page, page::Page};
use crate::{
    access::Permission,
    pushed::{MOST_BYTES, turn_to_parse},
    reply::{Fault, chain},
};

/// How a call names an image: by digest, by tag, or by both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageId {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) image_tag: Option<String>,
}

/// `ImageDetail`, and as far as it has the same members `ReferencedImageDetail`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    image_digest: Digest,
    image_size_in_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pushed_at: Option<i64>,
    image_manifest_media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_media_type: Option<String>,
}

impl Call<'_, '_, '_> {
    fn detail(&self, repository: &Repository, manifest: &Descriptor) -> Result<Detail, ApiError> {
        let read = |document| match document {
            Document::Image(image) => (size(&image), Some(image.config.media_type), Vec::new()),
            Document::Index(index) => {
                let listed = index.manifests.into_iter().map(|listed| listed.digest);
                (0, index.artifact_type, listed.collect::<Vec<_>>())
            }
        };
        let (mut image_size_in_bytes, artifact_media_type, listed) = self.read(repository, manifest, read)?;
        // As ECR has it: that of the largest image that an index lists.
        for listed in &listed {
            if let Some(listed) = repository.manifest(listed)? {
                let of_image = self.read(repository, &listed, |document| match document {
                    Document::Image(image) => size(&image),
                    Document::Index(_) => 0,
                })?;
                image_size_in_bytes = image_size_in_bytes.max(of_image);
            }
        }
        let admitted = repository.admitted(&manifest.digest)?;
        let pushed = admitted.and_then(|time| jiff::Timestamp::try_from(time).ok());
        Ok(Detail {
            image_digest: manifest.digest.clone(),
            image_size_in_bytes,
            image_pushed_at: pushed.map(|time| time.as_second()),
            image_manifest_media_type: manifest.media_type.clone(),
            artifact_media_type,
        })
    }

    /// What `read` takes from a manifest, whose other members are in memory no longer than its turn.
    fn read<T>(
        &self,
        repository: &Repository,
        manifest: &Descriptor,
        read: impl FnOnce(Document) -> T,
    ) -> Result<T, ApiError> {
        let _turn = turn_to_parse(self.registry(), manifest.size)?;
        let bytes = repository.fetch(manifest, MOST_BYTES)?;
        let document = Document::parse(&manifest.media_type, &bytes);
        document
            .map(read)
            .map_err(|error| Fault::internal(chain(&error)).into())
    }
}

/// Bytes of config and layers.
fn size(image: &Manifest) -> u64 {
    // Layers that are elsewhere have the size that their manifest says.
    let sizes = image.layers.iter().map(|layer| layer.size);
    sizes.fold(image.config.size, u64::saturating_add)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Describe {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_ids: Option<Vec<ImageId>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image<'a> {
    registry_id: &'a str,
    repository_name: &'a str,
    #[serde(flatten)]
    detail: Detail,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_tags: Vec<Tag>,
}

/// `DescribeImages`, in the order of their digests.
pub(super) fn describe(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Describe = call.input()?.input;
    let registry = input.registry_id.as_deref();
    check::registry_id(registry)?;
    let name = check::repository_name(input.repository_name)?;
    call.allow(Permission::pull(name.as_str()))?;
    let page = Page::of(input.max_results, input.next_token.as_deref())?;
    let last: Option<Digest> = match page.last {
        Some(text) => Some(text.parse().map_err(|_| page::invalid_token())?),
        None => None,
    };
    let repository = call.repository(registry, &name)?;
    let mut wanted = match &input.image_ids {
        Some(ids) => {
            check::count("imageIds", ids, 1..=100)?;
            page::refuse_with_list("imageIds", input.max_results, input.next_token.as_deref())?;
            let found = ids.iter().map(|id| find(call, &repository, id));
            found.collect::<Result<Vec<_>, _>>()?
        }
        None => repository.manifests()?,
    };
    wanted.sort_by(|a, b| a.digest.cmp(&b.digest));
    wanted.dedup_by(|a, b| a.digest == b.digest);
    if let Some(last) = &last {
        wanted.retain(|manifest| manifest.digest > *last);
    }
    let more = wanted.len() > page.most;
    wanted.truncate(page.most);
    let tags = tags_by_digest(&repository)?;
    let mut images = Vec::new();
    for manifest in &wanted {
        images.push(Image {
            registry_id: call.registry_id(),
            repository_name: name.as_str(),
            detail: call.detail(&repository, manifest)?,
            image_tags: tags.get(&manifest.digest).cloned().unwrap_or_default(),
        });
    }
    let mut answer = json!({ "imageDetails": images });
    if let Some(last) = wanted.last().filter(|_| more) {
        answer["nextToken"] = page::token(&last.digest.to_string()).into();
    }
    Ok(json(&answer))
}

/// The image that an id names, by all that it says.
fn find(call: &Call<'_, '_, '_>, repository: &Repository, id: &ImageId) -> Result<Descriptor, ApiError> {
    let digest = id.image_digest.as_deref().map(check::image_digest).transpose()?;
    let tag = id.image_tag.as_deref().map(check::image_tag).transpose()?;
    let found = match (&digest, &tag) {
        (None, None) => {
            return Err(ApiError::parameter(
                "imageIds",
                "must name an image by digest or tag",
            ));
        }
        (Some(digest), None) => repository.manifest(digest)?,
        (digest, Some(tag)) => repository
            .resolve(tag)?
            .filter(|found| digest.as_ref().is_none_or(|digest| *digest == found.digest)),
    };
    found.ok_or_else(|| {
        let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
        let message = format!(
            "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name \
             '{}' in the registry with id '{}'",
            said(&id.image_digest),
            said(&id.image_tag),
            repository.name(),
            call.registry_id(),
        );
        ApiError::new("ImageNotFoundException", message)
    })
}

fn tags_by_digest(repository: &Repository) -> Result<BTreeMap<Digest, Vec<Tag>>, ApiError> {
    let mut by_digest: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
    for tag in repository.tag_list()?.iter() {
        if let Some(manifest) = repository.resolve(tag)? {
            by_digest.entry(manifest.digest).or_default().push(tag.clone());
        }
    }
    Ok(by_digest)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribeTags {
    registry_id: Option<String>,
    repository_name: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tagged {
    image_tag: Tag,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    image_detail: Detail,
}

/// `DescribeImageTags`, in byte order.
pub(super) fn describe_tags(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: DescribeTags = call.input()?.input;
    let registry = input.registry_id.as_deref();
    check::registry_id(registry)?;
    let name = check::repository_name(input.repository_name)?;
    call.allow(Permission::pull(name.as_str()))?;
    let page = Page::of(input.max_results, input.next_token.as_deref())?;
    let repository = call.repository(registry, &name)?;
    let all = repository.tag_list()?;
    let last = page.last.as_deref();
    let left = &all[last.map_or(0, |last| all.partition_point(|tag| tag.as_str() <= last))..];
    let tags = &left[..left.len().min(page.most)];
    let more = tags.len() < left.len();
    let history = ledger::read(&repository).map_err(|error| Fault::internal(chain(&error)))?;
    let next = tags.last().filter(|_| more).cloned();
    let mut details: BTreeMap<Digest, Detail> = BTreeMap::new();
    let mut tagged = Vec::new();
    for tag in tags {
        // It may have gone meanwhile.
        let Some(manifest) = repository.resolve(tag)? else {
            continue;
        };
        let detail = match details.get(&manifest.digest) {
            Some(detail) => detail.clone(),
            None => call.detail(&repository, &manifest)?,
        };
        details.insert(manifest.digest, detail.clone());
        // Names of the protocol have no entry: they are as old as what they name.
        let published = history.version(tag).map(|publication| &publication.time);
        let created_at = match published.or(history.alias(tag).map(|moved| &moved.time)) {
            Some(time) => Some(epoch_seconds(time)?),
            None => detail.image_pushed_at,
        };
        tagged.push(Tagged {
            image_tag: tag.clone(),
            created_at,
            image_detail: detail,
        });
    }
    let mut answer = json!({ "imageTagDetails": tagged });
    if let Some(last) = next {
        answer["nextToken"] = page::token(last.as_str()).into();
    }
    Ok(json(&answer))
}
