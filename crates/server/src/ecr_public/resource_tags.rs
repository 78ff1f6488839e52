//! Resource tags: keys and values on a repository. (A *tag* without more words names an image.)

use std::collections::{BTreeMap, BTreeSet};

use modelkeep_core::{RepoName, repositories::Change};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiError, Call, check, json};
use crate::access::Permission;

/// More than the service's model lets a client send.
const MOST_IN_A_CALL: usize = 200;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceTag {
    key: Option<String>,
    value: Option<String>,
}

/// The tags of a call, each key once.
pub(super) fn read(tags: Vec<ResourceTag>) -> Result<BTreeMap<String, String>, ApiError> {
    check::count("tags", &tags, 0..=MOST_IN_A_CALL)?;
    let mut read = BTreeMap::new();
    for tag in tags {
        let invalid = |message: &str| ApiError::new("InvalidTagParameterException", message);
        let key = tag.key.ok_or_else(|| invalid("a tag has no key"))?;
        if read.insert(key, tag.value.unwrap_or_default()).is_some() {
            return Err(invalid("a key is there twice"));
        }
    }
    Ok(read)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    resource_arn: Option<String>,
    tags: Option<Vec<ResourceTag>>,
    tag_keys: Option<Vec<String>>,
}

/// `TagResource`
pub(super) fn tag(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Input = call.input()?.input;
    let name = named(call, input.resource_arn)?;
    let tags = read(check::required("tags", input.tags)?)?;
    call.allow(Permission::push(name.as_str()))?;
    call.apply(&name, &Change::Tag(tags))?;
    Ok(json(&json!({})))
}

/// `UntagResource`
pub(super) fn untag(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Input = call.input()?.input;
    let name = named(call, input.resource_arn)?;
    let keys = check::required("tagKeys", input.tag_keys)?;
    check::count("tagKeys", &keys, 0..=MOST_IN_A_CALL)?;
    if keys.iter().any(|key| !(1..=128).contains(&key.chars().count())) {
        let message = "a key has 1 to 128 characters";
        return Err(ApiError::new("InvalidTagParameterException", message));
    }
    call.allow(Permission::push(name.as_str()))?;
    call.apply(&name, &Change::Untag(keys.into_iter().collect::<BTreeSet<_>>()))?;
    Ok(json(&json!({})))
}

/// `ListTagsForResource`
pub(super) fn list(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Input = call.input()?.input;
    let name = named(call, input.resource_arn)?;
    call.allow(Permission::pull(name.as_str()))?;
    let tags = call.observe(None, &name)?.description.resource_tags;
    let tags = tags.into_iter().map(|(key, value)| ResourceTag {
        key: Some(key),
        value: Some(value),
    });
    Ok(json(&json!({ "tags": tags.collect::<Vec<_>>() })))
}

/// The repository that an ARN of this registry names.
fn named(call: &Call<'_, '_, '_>, arn: Option<String>) -> Result<RepoName, ApiError> {
    let arn = check::required("resourceArn", arn)?;
    check::length("resourceArn", &arn, 1..=2048)?;
    let wrong = || {
        ApiError::parameter(
            "resourceArn",
            "must be arn:aws:ecr-public::ACCOUNT:repository/NAME",
        )
    };
    let rest = arn.strip_prefix("arn:aws:ecr-public::").ok_or_else(wrong)?;
    let (id, name) = rest.split_once(":repository/").ok_or_else(wrong)?;
    if !check::is_registry_id(id) {
        return Err(wrong());
    }
    let name = check::repository_name(Some(name.to_owned())).map_err(|_| wrong())?;
    if id == call.registry_id() {
        return Ok(name);
    }
    Err(call.no_repository(Some(id), &name))
}
