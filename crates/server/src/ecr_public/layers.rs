//! Layers in parts, over the uploads that `/v2/` has too: one can be begun here and seen there.

use modelkeep_core::{Digest, RepoName};
use modelkeep_store::{Repository, Upload, UploadId, Writing};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, Call, check, json,
    part::{Decoder, split},
    payload::malformed,
};
use crate::{access::Permission, registry::now};

/// The size that clients are told to send parts of.
const PART_BYTES: u64 = 10 << 20;
const LEAST_PART_BYTES: u64 = 5 << 20;
const MOST_PART_BYTES: u64 = 20_971_520;
/// The most that a layer has ("Amazon ECR Public service quotas": 10,000 MiB).
const MOST_LAYER_BYTES: u64 = 10_000 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    registry_id: Option<String>,
    repository_name: Option<String>,
    layer_digests: Option<Vec<String>>,
}

/// `BatchCheckLayerAvailability`
pub(super) fn check(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Check = call.input()?.input;
    let name = check::repository_name(input.repository_name)?;
    let digests = check::required("layerDigests", input.layer_digests)?;
    check::count("layerDigests", &digests, 1..=100)?;
    for digest in &digests {
        check::length("layerDigests", digest, 0..=1000)?;
    }
    call.allow(Permission::pull(name.as_str()))?;
    let repository = call.repository_for_data(input.registry_id.as_deref(), &name)?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for digest in digests {
        let failure = |code: &str, reason: &str| {
            let digest = &digest;
            json!({ "layerDigest": digest, "failureCode": code, "failureReason": reason })
        };
        if digest.is_empty() {
            failures.push(failure("MissingLayerDigest", "the digest is empty"));
            continue;
        }
        let Ok(parsed) = digest.parse::<Digest>() else {
            failures.push(failure("InvalidLayerDigest", "not sha256:HEX or sha512:HEX"));
            continue;
        };
        layers.push(match repository.has_blob(&parsed)? {
            Some(size) => {
                json!({ "layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": size })
            }
            None => json!({ "layerDigest": digest, "layerAvailability": "UNAVAILABLE" }),
        });
    }
    Ok(json(&json!({ "layers": layers, "failures": failures })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initiate {
    registry_id: Option<String>,
    repository_name: Option<String>,
}

/// `InitiateLayerUpload`
pub(super) fn initiate(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Initiate = call.input()?.input;
    let name = check::repository_name(input.repository_name)?;
    call.allow(Permission::push(name.as_str()))?;
    let repository = call.repository_for_data(input.registry_id.as_deref(), &name)?;
    call.registry().check_room(0)?;
    let upload = repository.begin_upload(&now())?;
    Ok(json(
        &json!({ "uploadId": dashed(upload.id()), "partSize": PART_BYTES }),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    registry_id: Option<String>,
    repository_name: Option<String>,
    upload_id: Option<String>,
    part_first_byte: Option<u64>,
    part_last_byte: Option<u64>,
    /// Empty: it was taken out.
    layer_part_blob: Option<String>,
}

/// `UploadLayerPart`
pub(super) fn upload_part(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let mut characters = 0;
    let envelope = split(&mut *call.payload.reader()?, &mut |piece| {
        characters += piece.len() as u64;
        Ok(())
    })?;
    let input: Part = serde_json::from_slice(&envelope).map_err(|error| malformed(&error))?;
    check::required("layerPartBlob", input.layer_part_blob)?;
    let name = check::repository_name(input.repository_name)?;
    let first = check::required("partFirstByte", input.part_first_byte)?;
    let last = check::required("partLastByte", input.part_last_byte)?;
    call.allow(Permission::push(name.as_str()))?;
    let repository = call.repository_for_data(input.registry_id.as_deref(), &name)?;
    let upload = find(&repository, check::required("uploadId", input.upload_id)?)?;
    if last >= MOST_LAYER_BYTES {
        let message = format!("a layer has {MOST_LAYER_BYTES} bytes at most");
        return Err(ApiError::new("LimitExceededException", message));
    }
    let expected = (last + 1).checked_sub(first).filter(|length| *length > 0);
    let expected = expected.ok_or_else(|| {
        let message = "partLastByte lies before partFirstByte";
        invalid_part(call, &name, &upload, upload.offset(), message)
    })?;
    // Of characters that come in groups of four the last two may be padding.
    if characters / 4 * 3 > MOST_PART_BYTES + 2 {
        return Err(too_long());
    }
    call.registry().check_room(expected.min(MOST_PART_BYTES))?;
    let _place = call.exchange.place()?;
    let mut writing = upload.lock()?;
    let offset = writing.offset();
    if first != offset {
        let message = format!("the part begins at {first}, and the upload goes on at {offset}");
        return Err(invalid_part(call, &name, &upload, offset, message));
    }
    if let Err(error) = receive(call, &mut writing) {
        // What cannot be given back now is when somebody goes on, or sweeps.
        let _ = writing.give_up();
        return Err(error);
    }
    let found = writing.offset() - offset;
    if found != expected || found > MOST_PART_BYTES {
        let _ = writing.give_up();
        if found > MOST_PART_BYTES {
            return Err(too_long());
        }
        let message = format!("the part has {found} bytes, and was to have {expected}");
        return Err(invalid_part(call, &name, &upload, offset, message));
    }
    writing.save()?;
    Ok(json(&json!({
        "registryId": call.registry_id(),
        "repositoryName": name,
        "uploadId": dashed(upload.id()),
        "lastByteReceived": last,
    })))
}

/// Decodes the part into the upload.
fn receive(call: &Call<'_, '_, '_>, writing: &mut Writing) -> Result<(), ApiError> {
    let mut decoder = Decoder::default();
    let mut write = |bytes: &[u8]| Ok(writing.write(bytes)?);
    split(&mut *call.payload.reader()?, &mut |piece| {
        decoder.take(piece, &mut write)
    })?;
    decoder.finish(&mut write)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complete {
    registry_id: Option<String>,
    repository_name: Option<String>,
    upload_id: Option<String>,
    layer_digests: Option<Vec<String>>,
}

/// `CompleteLayerUpload`
pub(super) fn complete(call: &mut Call<'_, '_, '_>) -> Result<Vec<u8>, ApiError> {
    let input: Complete = call.input()?.input;
    let name = check::repository_name(input.repository_name)?;
    let digests = check::required("layerDigests", input.layer_digests)?;
    check::count("layerDigests", &digests, 1..=100)?;
    call.allow(Permission::push(name.as_str()))?;
    let repository = call.repository_for_data(input.registry_id.as_deref(), &name)?;
    let id = check::required("uploadId", input.upload_id)?;
    // A client may send one digest for each algorithm that it knows.
    let digest = digests.iter().find_map(|text| text.parse::<Digest>().ok());
    let digest =
        digest.ok_or_else(|| ApiError::parameter("layerDigests", "must have a sha256:HEX or sha512:HEX"))?;
    let upload = find(&repository, id)?;
    if upload.offset() == 0 {
        let message = "the upload has no parts";
        return Err(ApiError::new("EmptyUploadException", message));
    }
    if upload.smallest_part().is_some_and(|size| size < LEAST_PART_BYTES) {
        let message = format!("a part other than the last has less than {LEAST_PART_BYTES} bytes");
        return Err(ApiError::new("LayerPartTooSmallException", message));
    }
    if repository.has_blob(&digest)?.is_some() {
        upload.cancel()?;
        let message = format!("the repository has the layer {digest}");
        return Err(ApiError::new("LayerAlreadyExistsException", message));
    }
    upload.lock()?.finish(&digest)?;
    Ok(json(&json!({
        "registryId": call.registry_id(),
        "repositoryName": name,
        "uploadId": dashed(upload.id()),
        "layerDigest": digest,
    })))
}

impl Call<'_, '_, '_> {
    /// A repository for the calls that move layers and images: those tell an unknown registry apart.
    pub(super) fn repository_for_data(
        &self,
        registry: Option<&str>,
        name: &RepoName,
    ) -> Result<Repository, ApiError> {
        if let Some(id) = registry {
            check::length("registryId", id, 2..=50)?;
            if id != self.registry_id() {
                let message = format!("The registry with id '{id}' does not exist");
                return Err(ApiError::new("RegistryNotFoundException", message));
            }
        }
        self.repository(None, name)
    }
}

fn find(repository: &Repository, id: String) -> Result<Upload, ApiError> {
    let parsed = undashed(&id).ok_or_else(|| {
        let rule = "must satisfy regular expression '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'";
        ApiError::parameter("uploadId", rule)
    })?;
    let found = repository.upload(&parsed)?;
    found.ok_or_else(|| {
        let message = format!("the repository has no upload {id}");
        ApiError::new("UploadNotFoundException", message)
    })
}

fn too_long() -> ApiError {
    let rule = format_args!("Member must have length less than or equal to {MOST_PART_BYTES}");
    ApiError::parameter("layerPartBlob", rule)
}

fn invalid_part(
    call: &Call<'_, '_, '_>,
    name: &RepoName,
    upload: &Upload,
    offset: u64,
    message: impl Into<String>,
) -> ApiError {
    ApiError::new("InvalidLayerPartException", message)
        .member("registryId", call.registry_id())
        .member("repositoryName", name.as_str())
        .member("uploadId", dashed(upload.id()))
        .member(
            "lastValidByteReceived",
            offset.checked_sub(1).map_or(Value::from(0), Value::from),
        )
}

/// The name of an upload as a UUID is written.
fn dashed(id: &UploadId) -> String {
    let id = id.to_string();
    [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-")
}

fn undashed(text: &str) -> Option<UploadId> {
    let lengths = text.split('-').map(str::len);
    if !lengths.eq([8, 4, 4, 4, 12]) {
        return None;
    }
    text.replace('-', "").to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_named_as_a_uuid_is_written() {
        let id: UploadId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        assert_eq!(dashed(&id), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(undashed(&dashed(&id)), Some(id.clone()));
        assert_eq!(undashed(&dashed(&id).to_uppercase()), Some(id));
        for wrong in [
            "",
            "0123456789abcdef0123456789abcdef",
            "01234567-89ab-cdef-0123-456789abcdeg",
            "-----",
            "é-----",
        ] {
            assert_eq!(undashed(wrong), None, "{wrong}");
        }
    }
}
