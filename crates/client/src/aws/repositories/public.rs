use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_sdk_ecrpublic::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents, http::HttpRequest,
        interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
    primitives::Blob,
    types::{RepositoryCatalogDataInput, Tag},
};
use aws_smithy_types::body::SdkBody;
use modelkeep_core::{
    Mutability,
    repositories::{Catalog, Deletion, Images, Logo},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::Error,
    api::{Api, Described, Result, counted, missing},
    private::rfc3339,
};

/// Most images of a page.
const PAGE: i32 = 1000;

/// Private ECR's member of a repository. A registry of ours has it in ECR Public's API too, and says so by `true` where
/// it describes itself.
const MUTABILITY: &str = "imageTagMutability";

/// ECR Public, or a registry of ours that speaks its API.
#[derive(Debug)]
pub(super) struct Public {
    pub(super) client: Client,
    /// Whether the registry takes `imageTagMutability`, which AWS has not.
    pub(super) keeps_tags: bool,
}

impl Public {
    /// Whether the registry says that it keeps tags from moving.
    pub(super) async fn enforces_mutability(client: &Client) -> Result<bool> {
        let seen = Seen::default();
        let request = client.describe_registries().customize();
        let answer = request.interceptor(seen.clone()).send().await;
        answer.map_err(|error| Error::of("ecr-public:DescribeRegistries", error))?;
        Ok(seen.json()["registries"][0][MUTABILITY] == true)
    }
}

impl Api for Public {
    async fn describe(&self, name: &str) -> Result<Described> {
        let action = "ecr-public:DescribeRepositories";
        let seen = Seen::default();
        let request = self.client.describe_repositories().repository_names(name);
        let answer = request.customize().interceptor(seen.clone()).send().await;
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
            mutability: Kept::read(&seen.json()["repositories"][0]),
        })
    }

    async fn catalog(&self, name: &str) -> Result<Catalog> {
        let action = "ecr-public:GetRepositoryCatalogData";
        let request = self.client.get_repository_catalog_data();
        let answer = request.repository_name(name).send().await;
        let answer = answer.map_err(|error| Error::of(action, error))?;
        let Some(found) = answer.catalog_data else {
            return Ok(Catalog::default());
        };
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Catalog {
            description: text(found.description),
            about: text(found.about_text),
            usage: text(found.usage_text),
            architectures: found.architectures.unwrap_or_default().into_iter().collect(),
            operating_systems: found.operating_systems.unwrap_or_default().into_iter().collect(),
            logo: text(found.logo_url).map(Logo::Url),
        })
    }

    async fn tags(&self, arn: &str) -> Result<BTreeMap<String, String>> {
        let request = self.client.list_tags_for_resource().resource_arn(arn);
        let answer = request.send().await;
        let answer = answer.map_err(|error| Error::of("ecr-public:ListTagsForResource", error))?;
        let tags = answer.tags.unwrap_or_default().into_iter();
        let tags = tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())));
        Ok(tags.collect())
    }

    async fn policy(&self, name: &str) -> Result<String> {
        let action = "ecr-public:GetRepositoryPolicy";
        let request = self.client.get_repository_policy().repository_name(name);
        let answer = request.send().await;
        let answer = answer.map_err(|error| Error::of(action, error))?;
        answer.policy_text.ok_or_else(|| missing(action, "policy"))
    }

    async fn images(&self, name: &str) -> Result<Images> {
        let request = self.client.describe_images().repository_name(name);
        let answer = request.max_results(PAGE).send().await;
        let answer = answer.map_err(|error| Error::of("ecr-public:DescribeImages", error))?;
        Ok(counted(answer.image_details().len(), answer.next_token.is_some()))
    }

    async fn create(
        &self,
        name: &str,
        mutability: &Mutability,
        catalog: &Catalog,
        tags: &BTreeMap<String, String>,
    ) -> Result<()> {
        let said = (*catalog != Catalog::default()).then(|| catalog_input(catalog));
        let request = self
            .client
            .create_repository()
            .repository_name(name)
            .set_catalog_data(said)
            .set_tags((!tags.is_empty()).then(|| resource_tags(tags)))
            .customize();
        let answer = if self.keeps_tags {
            let more = Kept::write(mutability);
            let request = request.mutate_request(move |request| {
                let body = request.body().bytes().unwrap_or_default();
                if let Ok(mut input) = serde_json::from_slice::<Map<String, Value>>(body) {
                    input.extend(more.clone());
                    set_body(request, &input);
                }
            });
            request.send().await
        } else {
            request.send().await
        };
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:CreateRepository", error))
    }

    async fn put_mutability(&self, name: &str, mutability: &Mutability) -> Result<()> {
        // AWS's model of ECR Public has no such operation, so another one lends its envelope.
        let mut input = Kept::write(mutability);
        input.insert("repositoryName".to_owned(), name.into());
        let request = self.client.delete_repository_policy().repository_name(name);
        let request = request.customize().mutate_request(move |request| {
            let target = "SpencerFrontendService.PutImageTagMutability";
            request.headers_mut().insert("x-amz-target", target);
            set_body(request, &input);
        });
        let answer = request.send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:PutImageTagMutability", error))
    }

    async fn put_catalog(&self, name: &str, catalog: &Catalog) -> Result<()> {
        let request = self.client.put_repository_catalog_data();
        let request = request.repository_name(name).catalog_data(catalog_input(catalog));
        let answer = request.send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:PutRepositoryCatalogData", error))
    }

    async fn tag(&self, arn: &str, tags: &BTreeMap<String, String>) -> Result<()> {
        let request = self.client.tag_resource().resource_arn(arn);
        let answer = request.set_tags(Some(resource_tags(tags))).send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:TagResource", error))
    }

    async fn untag(&self, arn: &str, keys: Vec<String>) -> Result<()> {
        let request = self.client.untag_resource().resource_arn(arn);
        let answer = request.set_tag_keys(Some(keys)).send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:UntagResource", error))
    }

    async fn set_policy(&self, name: &str, text: &str) -> Result<()> {
        let request = self.client.set_repository_policy().repository_name(name);
        let answer = request.policy_text(text).send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:SetRepositoryPolicy", error))
    }

    async fn delete_policy(&self, name: &str) -> Result<()> {
        let request = self.client.delete_repository_policy().repository_name(name);
        let answer = request.send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:DeleteRepositoryPolicy", error))
    }

    async fn delete(&self, name: &str, deletion: Deletion) -> Result<()> {
        let request = self.client.delete_repository().repository_name(name);
        let answer = request.force(deletion == Deletion::WithImages).send().await;
        answer
            .map(|_| ())
            .map_err(|error| Error::of("ecr-public:DeleteRepository", error))
    }
}

/// Replaces the body of a request that is not signed yet.
fn set_body(request: &mut HttpRequest, input: &Map<String, Value>) {
    let body = serde_json::json!(input).to_string();
    request
        .headers_mut()
        .insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
}

/// All of it: what is left out might stay as it was, so what is empty is said to be.
fn catalog_input(catalog: &Catalog) -> RepositoryCatalogDataInput {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let items = |items: &std::collections::BTreeSet<String>| items.iter().cloned().collect();
    let logo = match &catalog.logo {
        Some(Logo::Bytes(bytes)) => Some(Blob::new(bytes.clone())),
        _ => None,
    };
    RepositoryCatalogDataInput::builder()
        .description(text(&catalog.description))
        .about_text(text(&catalog.about))
        .usage_text(text(&catalog.usage))
        .set_architectures(Some(items(&catalog.architectures)))
        .set_operating_systems(Some(items(&catalog.operating_systems)))
        .set_logo_image_blob(logo)
        .build()
}

fn resource_tags(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    let tags = tags.iter();
    tags.map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

/// Private ECR's members of a repository, which a registry of ours has in ECR Public's API too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    image_tag_mutability: String,
    #[serde(default)]
    image_tag_mutability_exclusion_filters: Vec<Filter>,
}

#[derive(Deserialize)]
struct Filter {
    filter: String,
}

impl Kept {
    /// `None` where they are not there.
    fn read(repository: &Value) -> Option<Mutability> {
        let kept = Self::deserialize(repository).ok()?;
        let filters = kept.image_tag_mutability_exclusion_filters.iter();
        let filters: Option<Vec<_>> = filters.map(|filter| filter.filter.parse().ok()).collect();
        match kept.image_tag_mutability.as_str() {
            "MUTABLE" => Some(Mutability::Mutable),
            "IMMUTABLE" => Some(Mutability::Immutable),
            "IMMUTABLE_WITH_EXCLUSION" => Some(Mutability::ImmutableWithExclusion(filters?)),
            "MUTABLE_WITH_EXCLUSION" => Some(Mutability::MutableWithExclusion(filters?)),
            _ => None,
        }
    }

    fn write(mutability: &Mutability) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert(MUTABILITY.to_owned(), mutability.as_str().into());
        let filters = mutability.filters().iter();
        let filters: Vec<Value> = filters
            .map(|filter| json!({ "filterType": "WILDCARD", "filter": filter.to_string() }))
            .collect();
        if !filters.is_empty() {
            members.insert("imageTagMutabilityExclusionFilters".to_owned(), filters.into());
        }
        members
    }
}

/// An answer as it came, with what AWS's own model of it does not know.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn body(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn json(&self) -> Value {
        // The SDK has read it before, and said what is wrong with it.
        serde_json::from_slice(&self.body()).unwrap_or_default()
    }
}

impl Intercept for Seen {
    fn name(&self) -> &'static str {
        "Seen"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let bytes = context.response().body().bytes().unwrap_or_default();
        *self.body() = bytes.to_owned();
        Ok(())
    }
}
