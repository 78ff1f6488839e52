//! Repository policies. They are kept and given back; who may do what is for the rules of the server.

use modelkeep_core::{RepoName, repositories::Change};
use serde::Deserialize;
use serde_json::json;

use super::{ApiError, Call, check, json};
use crate::access::Permission;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    registry_id: Option<String>,
    repository_name: Option<String>,
    policy_text: Option<String>,
}

/// `SetRepositoryPolicy`
pub(super) fn set(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Input = call.input()?.input;
    let registry = input.registry_id.as_deref();
    check::registry_id(registry)?;
    let name = check::repository_name(input.repository_name)?;
    let policy = check::required("policyText", input.policy_text)?;
    call.allow(Permission::push(name.as_str()))?;
    call.observe(registry, &name)?;
    call.apply(&name, &Change::SetPolicy(policy.clone()))?;
    Ok(answer(call, &name, &policy))
}

/// `GetRepositoryPolicy`
pub(super) fn get(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Input = call.input()?.input;
    check::registry_id(input.registry_id.as_deref())?;
    let name = check::repository_name(input.repository_name)?;
    call.allow(Permission::pull(name.as_str()))?;
    let policy = standing(call, input.registry_id.as_deref(), &name)?;
    Ok(answer(call, &name, &policy))
}

/// `DeleteRepositoryPolicy`
pub(super) fn delete(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Input = call.input()?.input;
    check::registry_id(input.registry_id.as_deref())?;
    let name = check::repository_name(input.repository_name)?;
    call.allow(Permission::push(name.as_str()))?;
    let policy = standing(call, input.registry_id.as_deref(), &name)?;
    call.apply(&name, &Change::DeletePolicy)?;
    Ok(answer(call, &name, &policy))
}

fn standing(call: &Call<'_, '_, '_>, registry: Option<&str>, name: &RepoName) -> Result<String, ApiError> {
    let policy = call.observe(registry, name)?.description.policy;
    policy.ok_or_else(|| {
        let id = call.registry_id();
        let message = format!(
            "Repository policy does not exist for the repository with name '{name}' in the registry with id '{id}'"
        );
        ApiError::new("RepositoryPolicyNotFoundException", message)
    })
}

fn answer(call: &Call<'_, '_, '_>, name: &RepoName, policy: &str) -> Vec<u8> {
    json(&json!({ "registryId": call.registry_id(), "repositoryName": name, "policyText": policy }))
}
