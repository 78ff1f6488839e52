//! The registry itself. There is one.

use std::path::PathBuf;

use modelkeep_core::content;
use modelkeep_disk::publish;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiError, Call, check, json, page, page::Page};
use crate::{access::Permission, reply::Fault};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Describe {
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// `DescribeRegistries`
pub(super) fn describe(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Describe = call.input()?.input;
    Page::of(input.max_results, input.next_token.as_deref())?;
    if input.next_token.is_some() {
        return Err(page::invalid_token());
    }
    let id = call.registry_id();
    // An alias would stand before the repository in its address, and nothing stands there.
    Ok(json(&json!({ "registries": [{
        "registryId": id,
        "registryArn": format!("arn:aws:ecr-public::{id}:registry/{id}"),
        "registryUri": call.host(),
        "verified": false,
        "aliases": [],
        // Not of AWS: by this a client knows that tags are kept here.
        "imageTagMutability": true,
    }] })))
}

/// `RegistryCatalogData`
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CatalogData {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
}

/// A name with a dot in front is not the store's: no other part of Modelkeep needs it, and all servers share it.
fn place(call: &Call<'_, '_, '_>) -> PathBuf {
    call.registry().store.root().join(".registry-catalog-data")
}

/// `PutRegistryCatalogData`, for whoever may push to every repository.
pub(super) fn put_catalog_data(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let data: CatalogData = call.input()?.input;
    check::length(
        "displayName",
        data.display_name.as_deref().unwrap_or_default(),
        0..=100,
    )?;
    call.allow(Permission::push(""))?;
    let path = place(call);
    let replaced = publish::replace(&path, &json(&data));
    replaced.map_err(content::Error::io(format!("write {}", path.display())))?;
    Ok(json(&json!({ "registryCatalogData": data })))
}

/// `GetRegistryCatalogData`
pub(super) fn get_catalog_data(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let path = place(call);
    let data: CatalogData = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Fault::internal(format!("{}: {error}", path.display())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => CatalogData::default(),
        Err(error) => return Err(content::Error::io(format!("read {}", path.display()))(error).into()),
    };
    Ok(json(&json!({ "registryCatalogData": data })))
}
