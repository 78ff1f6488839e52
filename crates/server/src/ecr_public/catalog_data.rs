//! What the gallery shows of a repository.

use base64::{Engine, engine::general_purpose::STANDARD};
use modelkeep_core::repositories::{Catalog, Change, Logo};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiError, Call, check, json};
use crate::access::Permission;

/// `RepositoryCatalogDataInput`
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CatalogInput {
    description: Option<String>,
    architectures: Option<Vec<String>>,
    operating_systems: Option<Vec<String>>,
    logo_image_blob: Option<String>,
    about_text: Option<String>,
    usage_text: Option<String>,
}

impl CatalogInput {
    /// What is empty was not said.
    pub(super) fn read(self) -> Result<Catalog, ApiError> {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let logo = said(self.logo_image_blob)
            .map(|text| STANDARD.decode(text))
            .transpose();
        let logo = logo.map_err(|_| ApiError::parameter("catalogData.logoImageBlob", "must be base64"))?;
        Ok(Catalog {
            description: said(self.description),
            about: said(self.about_text),
            usage: said(self.usage_text),
            architectures: self.architectures.into_iter().flatten().collect(),
            operating_systems: self.operating_systems.into_iter().flatten().collect(),
            logo: logo.map(Logo::Bytes),
        })
    }
}

/// `RepositoryCatalogData`, without an address for the logo: nothing here shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    architectures: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    operating_systems: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_text: Option<&'a str>,
    marketplace_certified: bool,
}

impl<'a> Shown<'a> {
    pub(super) fn of(catalog: &'a Catalog) -> Self {
        Self {
            description: catalog.description.as_deref(),
            architectures: catalog.architectures.iter().map(String::as_str).collect(),
            operating_systems: catalog.operating_systems.iter().map(String::as_str).collect(),
            about_text: catalog.about.as_deref(),
            usage_text: catalog.usage.as_deref(),
            marketplace_certified: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Put {
    registry_id: Option<String>,
    repository_name: Option<String>,
    catalog_data: Option<CatalogInput>,
}

/// `PutRepositoryCatalogData`: all of it, but for a logo that is not given.
pub(super) fn put(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input = call.input::<Put>()?.input;
    let registry = input.registry_id.as_deref();
    check::registry_id(registry)?;
    let name = check::repository_name(input.repository_name)?;
    let catalog = check::required("catalogData", input.catalog_data)?.read()?;
    call.allow(Permission::push(name.as_str()))?;
    call.observe(registry, &name)?;
    call.apply(&name, &Change::PutCatalog(catalog.clone()))?;
    Ok(json(&json!({ "catalogData": Shown::of(&catalog) })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Get {
    registry_id: Option<String>,
    repository_name: Option<String>,
}

/// `GetRepositoryCatalogData`
pub(super) fn get(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Get = call.input()?.input;
    let registry = input.registry_id.as_deref();
    check::registry_id(registry)?;
    let name = check::repository_name(input.repository_name)?;
    call.allow(Permission::pull(name.as_str()))?;
    let catalog = call.observe(registry, &name)?.description.catalog;
    if catalog == Catalog::default() {
        let id = call.registry_id();
        let message = format!("The repository '{name}' in the registry with id '{id}' has no catalog data");
        return Err(ApiError::new("RepositoryCatalogDataNotFoundException", message));
    }
    Ok(json(&json!({ "catalogData": Shown::of(&catalog) })))
}
