//! What the gallery shows of a repository.

use base64::{Engine, engine::general_purpose::STANDARD};
use modelkeep_core::{
    RepoName,
    repositories::{Catalog, Change, Logo, Observed},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiError, Call, check, json};
use crate::{
    access::Permission,
    http::{ReplyBody, Response, Status},
    registry::Exchange,
    reply::Fault,
};

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

/// `RepositoryCatalogData`
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
    logo_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_text: Option<&'a str>,
    marketplace_certified: bool,
}

impl Call<'_, '_, '_> {
    /// What is shown of a repository.
    pub(super) fn shown<'a>(&self, observed: &'a Observed) -> Shown<'a> {
        let catalog = &observed.description.catalog;
        let logo = catalog.logo.as_ref().and_then(|_| {
            let address = self.registry().access.address(self.exchange.request)?;
            Some(format!("{address}/logos/{}", observed.name))
        });
        Shown {
            logo_url: logo,
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
    call.apply(&name, &Change::PutCatalog(catalog))?;
    let observed = call.observe(None, &name)?;
    Ok(json(&json!({ "catalogData": call.shown(&observed) })))
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
    let observed = call.observe(registry, &name)?;
    if observed.description.catalog == Catalog::default() {
        let id = call.registry_id();
        let message = format!("The repository '{name}' in the registry with id '{id}' has no catalog data");
        return Err(ApiError::new("RepositoryCatalogDataNotFoundException", message));
    }
    Ok(json(&json!({ "catalogData": call.shown(&observed) })))
}

/// `GET /logos/NAME`: the picture, as whatever its bytes say that it is. Nothing that a browser would run.
pub(crate) fn logo(exchange: &mut Exchange<'_, '_>, name: &RepoName) -> Result<Response, Fault> {
    exchange.authorize(&[Permission::pull(name.as_str())])?;
    let found = exchange.registry.store.logo(name)?;
    let bytes = found.ok_or_else(|| Fault::missing("UNSUPPORTED", format!("there is no logo of {name}")))?;
    let kind = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        _ => "application/octet-stream",
    };
    Ok(Response::new(Status::OK)
        .field("Content-Type", kind)
        .field("X-Content-Type-Options", "nosniff")
        .field("Cache-Control", "no-cache")
        .body(ReplyBody::Owned(bytes)))
}
