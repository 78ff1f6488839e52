//! Repositories: making, describing and deleting them.

use modelkeep_core::{
    Mutability, RepoName, TagFilter,
    repositories::{Change, Deletion, Description, Error, Flaw, Observed, Repositories, Rule},
};
use modelkeep_ledger::Recorded;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    ApiError, Call,
    catalog_data::CatalogInput,
    check, epoch_seconds, json, page,
    page::Page,
    resource_tags::{self, ResourceTag},
};
use crate::{
    access::Permission,
    reply::{Fault, chain},
};

/// A filter of a policy of tags, in the shape that private ECR gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    filter_type: String,
    filter: String,
}

/// A repository as it is described. The last two members are those of private ECR: ECR Public has no such thing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    repository_arn: String,
    registry_id: String,
    repository_name: RepoName,
    repository_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    image_tag_mutability: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_tag_mutability_exclusion_filters: Vec<Filter>,
}

impl Call<'_, '_, '_> {
    /// What the repository is now.
    pub(super) fn observe(&self, registry: Option<&str>, name: &RepoName) -> Result<Observed, ApiError> {
        let observed = match registry {
            Some(id) if id != self.registry_id() => None,
            _ => self
                .registry()
                .store
                .observe(name)
                .map_err(|error| self.refused(name, error))?,
        };
        observed.ok_or_else(|| self.no_repository(registry, name))
    }

    /// Makes a change by whoever signed the call.
    pub(super) fn apply(&self, name: &RepoName, change: &Change) -> Result<(), ApiError> {
        let repositories = Recorded::new(&self.registry().store, self.exchange.author());
        repositories
            .apply(name, change)
            .map_err(|error| self.refused(name, error))
    }

    fn refused(&self, name: &RepoName, error: Error) -> ApiError {
        let id = self.registry_id();
        match error {
            Error::NotFound { .. } => self.no_repository(None, name),
            Error::AlreadyExists { .. } => ApiError::new(
                "RepositoryAlreadyExistsException",
                format!("The repository with name '{name}' already exists in the registry with id '{id}'"),
            ),
            Error::NotEmpty { .. } => ApiError::new(
                "RepositoryNotEmptyException",
                format!(
                    "The repository with name '{name}' in registry with id '{id}' cannot be deleted because it still \
                     contains images"
                ),
            ),
            Error::Unauthorized { .. } => Fault::signed().into(),
            Error::Invalid(flaw) => flawed(flaw),
            Error::Content(error) => error.into(),
            other => Fault::internal(chain(&other)).into(),
        }
    }

    fn described(&self, observed: &Observed) -> Result<Described, ApiError> {
        let mutability = &observed.description.mutability;
        let filters = mutability.filters().iter().map(|filter| Filter {
            filter_type: "WILDCARD".to_owned(),
            filter: filter.to_string(),
        });
        Ok(Described {
            repository_arn: self.repository_arn(&observed.name),
            registry_id: self.registry_id().to_owned(),
            repository_uri: format!("{}/{}", self.host(), observed.name),
            repository_name: observed.name.clone(),
            created_at: observed.created_at.as_deref().map(epoch_seconds).transpose()?,
            image_tag_mutability: mutability.as_str(),
            image_tag_mutability_exclusion_filters: filters.collect(),
        })
    }
}

/// A limit of the service, by the name of the member that breaks it.
fn flawed(flaw: Flaw) -> ApiError {
    match (flaw.field, &flaw.rule) {
        ("resource_tags", Rule::Number { .. }) => {
            ApiError::new("TooManyTagsException", flaw.rule.to_string())
        }
        ("resource_tags", rule) => ApiError::new("InvalidTagParameterException", format!("a tag {rule}")),
        (field, rule) => {
            let member = match field {
                "catalog.description" => "catalogData.description",
                "catalog.about" => "catalogData.aboutText",
                "catalog.usage" => "catalogData.usageText",
                "catalog.architectures" => "catalogData.architectures",
                "catalog.operating_systems" => "catalogData.operatingSystems",
                "catalog.logo" => "catalogData.logoImageBlob",
                "policy" => "policyText",
                "image_tag_mutability_exclusion_filters" => "imageTagMutabilityExclusionFilters",
                other => other,
            };
            ApiError::parameter(member, rule)
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    repository_name: Option<String>,
    catalog_data: Option<CatalogInput>,
    tags: Option<Vec<ResourceTag>>,
    image_tag_mutability: Option<String>,
    image_tag_mutability_exclusion_filters: Option<Vec<Filter>>,
}

/// `CreateRepository`
pub(super) fn create(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input = call.input::<Create>()?.input;
    let name = check::repository_name(input.repository_name)?;
    let mutability = match input.image_tag_mutability {
        Some(word) => mutability(&word, input.image_tag_mutability_exclusion_filters)?,
        None if input.image_tag_mutability_exclusion_filters.is_some() => {
            return Err(ApiError::parameter(
                "imageTagMutability",
                "must be there beside its filters",
            ));
        }
        // What a push would make, and where that makes none, the safest.
        None => {
            let policy = call.registry().config.create_repositories.mutability();
            policy.unwrap_or(Mutability::Immutable)
        }
    };
    call.allow(Permission::push(name.as_str()))?;
    let description = Description {
        catalog: input.catalog_data.unwrap_or_default().read()?,
        resource_tags: resource_tags::read(input.tags.unwrap_or_default())?,
        ..Description::new(mutability)
    };
    call.apply(&name, &Change::Create(description))?;
    let observed = call.observe(None, &name)?;
    Ok(json(&json!({
        "repository": call.described(&observed)?,
        "catalogData": call.shown(&observed),
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutMutability {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_tag_mutability: Option<String>,
    image_tag_mutability_exclusion_filters: Option<Vec<Filter>>,
}

/// `PutImageTagMutability`, which private ECR has. Whoever may do it may take the ground from under every version, so
/// that it needs what deleting them needs.
pub(super) fn put_mutability(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: PutMutability = call.input()?.input;
    let registry = input.registry_id.as_deref();
    check::registry_id(registry)?;
    let name = check::repository_name(input.repository_name)?;
    let word = check::required("imageTagMutability", input.image_tag_mutability)?;
    let policy = mutability(&word, input.image_tag_mutability_exclusion_filters)?;
    call.allow(Permission::delete(name.as_str()))?;
    call.observe(registry, &name)?;
    call.apply(&name, &Change::SetMutability(policy))?;
    let described = call.described(&call.observe(registry, &name)?)?;
    Ok(json(&described))
}

/// The policy of tags in private ECR's words.
fn mutability(word: &str, filters: Option<Vec<Filter>>) -> Result<Mutability, ApiError> {
    const FILTERS: &str = "imageTagMutabilityExclusionFilters";
    let mut parsed: Vec<TagFilter> = Vec::new();
    for filter in filters.iter().flatten() {
        if filter.filter_type != "WILDCARD" {
            return Err(ApiError::parameter(FILTERS, "filterType must be WILDCARD"));
        }
        let filter = filter.filter.parse();
        parsed.push(
            filter.map_err(|error: modelkeep_core::InvalidFilter| ApiError::parameter(FILTERS, error))?,
        );
    }
    let with_filters = |mutability: Mutability| {
        if parsed.is_empty() {
            return Err(ApiError::parameter(FILTERS, "must have 1 to 5 items"));
        }
        Ok(mutability)
    };
    match word {
        "IMMUTABLE_WITH_EXCLUSION" => with_filters(Mutability::ImmutableWithExclusion(parsed.clone())),
        "MUTABLE_WITH_EXCLUSION" => with_filters(Mutability::MutableWithExclusion(parsed.clone())),
        "IMMUTABLE" | "MUTABLE" if !parsed.is_empty() => Err(ApiError::parameter(
            FILTERS,
            "must not be there without _WITH_EXCLUSION",
        )),
        "IMMUTABLE" => Ok(Mutability::Immutable),
        "MUTABLE" => Ok(Mutability::Mutable),
        _ => Err(ApiError::parameter(
            "imageTagMutability",
            "must be one of MUTABLE, IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE_WITH_EXCLUSION",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Describe {
    registry_id: Option<String>,
    repository_names: Option<Vec<String>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    repositories: Vec<Described>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// `DescribeRepositories`
pub(super) fn describe(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Describe = call.input()?.input;
    let registry = input.registry_id.as_deref();
    check::registry_id(registry)?;
    if let Some(names) = input.repository_names {
        check::count("repositoryNames", &names, 1..=100)?;
        page::refuse_with_list("repositoryNames", input.max_results, input.next_token.as_deref())?;
        let mut repositories = Vec::new();
        for name in names {
            let name = check::repository_name(Some(name))?;
            call.allow(Permission::pull(name.as_str()))?;
            repositories.push(call.described(&call.observe(registry, &name)?)?);
        }
        return Ok(json(&Listed {
            repositories,
            next_token: None,
        }));
    }
    call.allow(Permission::CATALOG)?;
    let page = Page::of(input.max_results, input.next_token.as_deref())?;
    if registry.is_some_and(|id| id != call.registry_id()) {
        return Err(ApiError::parameter(
            "registryId",
            "must be the id of this registry",
        ));
    }
    let mut last: Option<RepoName> = match page.last {
        Some(text) => Some(text.parse().map_err(|_| page::invalid_token())?),
        None => None,
    };
    let (mut repositories, mut next_token) = (Vec::new(), None);
    // One more than the page has tells whether there is a next one.
    'full: loop {
        let found = call
            .registry()
            .store
            .repositories_after(last.as_ref(), page.most + 1)?;
        let Some(newest) = found.last() else { break };
        last = Some(newest.clone());
        for name in found {
            let pull = Permission::pull(name.as_str());
            if !call.registry().access.may(&call.signer.who, pull) {
                continue;
            }
            if repositories.len() == page.most {
                next_token = repositories
                    .last()
                    .map(|last: &Described| page::token(last.repository_name.as_str()));
                break 'full;
            }
            match call.observe(None, &name) {
                Ok(observed) => repositories.push(call.described(&observed)?),
                // It went meanwhile.
                Err(error) if error.is("RepositoryNotFoundException") => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(json(&Listed {
        repositories,
        next_token,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delete {
    registry_id: Option<String>,
    repository_name: Option<String>,
    force: Option<bool>,
}

/// `DeleteRepository`
pub(super) fn delete(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Delete = call.input()?.input;
    check::registry_id(input.registry_id.as_deref())?;
    let name = check::repository_name(input.repository_name)?;
    call.allow(Permission::delete(name.as_str()))?;
    let observed = call.observe(input.registry_id.as_deref(), &name)?;
    let deletion = match input.force {
        Some(true) => Deletion::WithImages,
        _ => Deletion::OnlyEmpty,
    };
    call.apply(&name, &Change::Delete(deletion))?;
    Ok(json(&json!({ "repository": call.described(&observed)? })))
}
