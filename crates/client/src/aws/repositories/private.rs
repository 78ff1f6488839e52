use std::collections::BTreeMap;

use aws_sdk_ecr::{
    Client,
    primitives::{DateTime, DateTimeFormat},
    types::{
        ImageTagMutability, ImageTagMutabilityExclusionFilter, ImageTagMutabilityExclusionFilterType,
        Repository, Tag,
    },
};
use modelkeep_core::{
    Mutability, TagFilter,
    repositories::{Catalog, Deletion, Images},
};

use super::{
    super::Error,
    api::{Api, Described, Result, counted, missing},
};

/// Most images of a page.
const PAGE: i32 = 1000;

impl Api for Client {
    async fn describe(&self, name: &str) -> Result<Described> {
        let action = "ecr:DescribeRepositories";
        let answer = self.describe_repositories().repository_names(name).send().await;
        let answer = answer.map_err(|error| Error::of(action, error))?;
        let found = answer.repositories().first();
        let found = found.ok_or_else(|| missing(action, "repository"))?;
        Ok(Described {
            arn: found
                .repository_arn
                .clone()
                .ok_or_else(|| missing(action, "ARN"))?,
            registry_id: found.registry_id.clone(),
            uri: found
                .repository_uri
                .clone()
                .ok_or_else(|| missing(action, "URI"))?,
            created_at: found.created_at.as_ref().and_then(rfc3339),
            mutability: Some(mutability(found)?),
        })
    }

    async fn catalog(&self, _name: &str) -> Result<Catalog> {
        Ok(Catalog::default())
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>> {
        let answer = self.list_tags_for_resource().resource_arn(arn).send().await;
        let answer = answer.map_err(|error| Error::of("ecr:ListTagsForResource", error))?;
        let tags = answer.tags.unwrap_or_default().into_iter();
        Ok(tags.map(|tag| (tag.key, tag.value)).collect())
    }

    async fn policy(&self, name: &str) -> Result<String> {
        let action = "ecr:GetRepositoryPolicy";
        let answer = self.get_repository_policy().repository_name(name).send().await;
        let answer = answer.map_err(|error| Error::of(action, error))?;
        answer.policy_text.ok_or_else(|| missing(action, "policy"))
    }

    async fn images(&self, name: &str) -> Result<Images> {
        let request = self.describe_images().repository_name(name).max_results(PAGE);
        let answer = request.send().await;
        let answer = answer.map_err(|error| Error::of("ecr:DescribeImages", error))?;
        Ok(counted(answer.image_details().len(), answer.next_token.is_some()))
    }

    async fn create(
        &self,
        name: &str,
        mutability: &Mutability,
        _catalog: &Catalog,
        tags: &BTreeMap<String, String>,
    ) -> Result<()> {
        let action = "ecr:CreateRepository";
        let request = self
            .create_repository()
            .repository_name(name)
            .image_tag_mutability(ImageTagMutability::from(mutability.as_str()))
            .set_image_tag_mutability_exclusion_filters(filters(action, mutability)?)
            .set_tags(resource_tags(action, tags)?);
        let answer = request.send().await;
        answer.map(|_| ()).map_err(|error| Error::of(action, error))
    }

    async fn put_mutability(&self, name: &str, mutability: &Mutability) -> Result<()> {
        let action = "ecr:PutImageTagMutability";
        let request = self
            .put_image_tag_mutability()
            .repository_name(name)
            .image_tag_mutability(ImageTagMutability::from(mutability.as_str()))
            .set_image_tag_mutability_exclusion_filters(filters(action, mutability)?);
        let answer = request.send().await;
        answer.map(|_| ()).map_err(|error| Error::of(action, error))
    }

    async fn put_catalog(&self, _name: &str, _catalog: &Catalog) -> Result<()> {
        Ok(())
    }

    async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<()> {
        let action = "ecr:TagResource";
        let request = self.tag_resource().resource_arn(arn);
        let answer = request.set_tags(resource_tags(action, tags)?).send().await;
        answer.map(|_| ()).map_err(|error| Error::of(action, error))
    }

    async fn untag(&self, arn: &str, keys: Vec<String>) -> Result<()> {
        let request = self.untag_resource().resource_arn(arn).set_tag_keys(Some(keys));
        let answer = request.send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr:UntagResource", error))
    }

    async fn set_policy(&self, name: &str, text: &str) -> Result<()> {
        let request = self
            .set_repository_policy()
            .repository_name(name)
            .policy_text(text);
        let answer = request.send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr:SetRepositoryPolicy", error))
    }

    async fn delete_policy(&self, name: &str) -> Result<()> {
        let answer = self.delete_repository_policy().repository_name(name).send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr:DeleteRepositoryPolicy", error))
    }

    async fn delete(&self, name: &str, deletion: Deletion) -> Result<()> {
        let request = self
            .delete_repository()
            .repository_name(name)
            .force(deletion == Deletion::WithImages);
        let answer = request.send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr:DeleteRepository", error))
    }
}

fn mutability(found: &Repository) -> Result<Mutability> {
    let unknown = |what: &str| Error::Protocol {
        action: "ecr:DescribeRepositories".to_owned(),
        reason: format!("{what:?} is not known as a mutability of tags: a newer modelkeep may know it"),
    };
    let filters = || {
        let filters = found.image_tag_mutability_exclusion_filters().iter();
        let parsed = filters.map(|filter| match filter.filter_type() {
            ImageTagMutabilityExclusionFilterType::Wildcard => filter
                .filter()
                .parse::<TagFilter>()
                .map_err(|_| unknown(filter.filter())),
            other => Err(unknown(other.as_str())),
        });
        parsed.collect::<Result<Vec<_>>>()
    };
    Ok(match &found.image_tag_mutability {
        // The API's own default.
        None | Some(ImageTagMutability::Mutable) => Mutability::Mutable,
        Some(ImageTagMutability::Immutable) => Mutability::Immutable,
        Some(ImageTagMutability::ImmutableWithExclusion) => Mutability::ImmutableWithExclusion(filters()?),
        Some(ImageTagMutability::MutableWithExclusion) => Mutability::MutableWithExclusion(filters()?),
        Some(other) => return Err(unknown(other.as_str())),
    })
}

fn filters(action: &str, mutability: &Mutability) -> Result<Option<Vec<ImageTagMutabilityExclusionFilter>>> {
    if mutability.filters().is_empty() {
        return Ok(None);
    }
    let filters = mutability.filters().iter().map(|filter| {
        let built = ImageTagMutabilityExclusionFilter::builder()
            .filter_type(ImageTagMutabilityExclusionFilterType::Wildcard)
            .filter(filter.to_string())
            .build();
        built.map_err(|_| missing(action, "filter"))
    });
    filters.collect::<Result<Vec<_>>>().map(Some)
}

fn resource_tags(action: &str, tags: &BTreeMap<String, String>) -> Result<Option<Vec<Tag>>> {
    if tags.is_empty() {
        return Ok(None);
    }
    let tags = tags.iter().map(|(key, value)| {
        let built = Tag::builder().key(key).value(value).build();
        built.map_err(|_| missing(action, "tag"))
    });
    tags.collect::<Result<Vec<_>>>().map(Some)
}

/// The API has milliseconds, and some who play it have more than a clock has.
pub(super) fn rfc3339(time: &DateTime) -> Option<String> {
    time.fmt(DateTimeFormat::DateTime).ok()
}
