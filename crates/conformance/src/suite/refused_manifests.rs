//! Manifests that a registry must not take, and that leave nothing behind.

use serde_json::{Value, json};

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::digest::Algorithm;
use crate::http::Request;
use crate::manifest::{CONFIG, IMAGE, INDEX, LAYER, Manifest, descriptor, image, index};
use crate::scene::{Scene, put_manifest};

pub(super) const TESTS: Table = table![
    other_bytes_than_the_sha256_digest_are_400,
    other_bytes_than_the_sha512_digest_are_400,
    unknown_layer_is_404_manifest_blob_unknown,
    unknown_config_is_404_manifest_blob_unknown,
    unknown_child_manifest_is_404,
    blob_of_another_repository_is_unknown,
    text_that_is_not_json_is_400,
    empty_body_is_400,
    json_that_is_no_object_is_400,
    cut_off_json_is_400,
    schema_version_1_is_400,
    missing_schema_version_is_400,
    media_type_other_than_the_content_type_is_400,
    manifests_beside_a_config_are_400,
    malformed_digest_in_a_descriptor_is_400,
    negative_size_in_a_descriptor_is_400,
    descriptor_without_digest_is_400,
    malformed_subject_is_400,
    layers_that_are_no_list_are_400,
    deeply_nested_json_is_answered,
];

fn push(scene: &Scene<'_>, manifest: &Manifest) -> Result<Exchange, Failure> {
    scene.send(put_manifest(&scene.manifest("refused"), manifest))
}

/// The push is refused in this way, and its tag stays unknown.
fn is_refused(scene: &Scene<'_>, manifest: &Manifest, status: u16, codes: &[&str]) -> Outcome {
    push(scene, manifest)?.refused(status, codes)?;
    scene.head_manifest(scene.manifest("refused"))?.status(404)?;
    Ok(())
}

fn is_invalid(scene: &Scene<'_>, manifest: &Manifest) -> Outcome {
    is_refused(scene, manifest, 400, &["MANIFEST_INVALID"])
}

/// A valid small image, changed by `edit`.
fn edited(scene: &Scene<'_>, edit: impl FnOnce(&mut Value)) -> Result<Manifest, Failure> {
    let mut document = serde_json::from_slice(&scene.small_image()?.bytes).unwrap_or_default();
    edit(&mut document);
    Ok(Manifest {
        media_type: IMAGE.to_owned(),
        bytes: document.to_string().into_bytes(),
    })
}

fn of_bytes(bytes: &[u8]) -> Manifest {
    Manifest {
        media_type: IMAGE.to_owned(),
        bytes: bytes.to_vec(),
    }
}

fn other_bytes_than_the_digest(scene: &Scene<'_>, algorithm: Algorithm) -> Outcome {
    let image = scene.small_image()?;
    let target = scene.manifest(image.digest(algorithm).as_str());
    let put = Request::put(&target)
        .header("Content-Type", IMAGE)
        .chunked([image.bytes.as_slice(), b"  "].concat());
    scene.send(put)?.refused(400, &["DIGEST_INVALID"])?;
    scene.head(target)?.status(404)?;
    Ok(())
}

fn other_bytes_than_the_sha256_digest_are_400(scene: &Scene<'_>) -> Outcome {
    other_bytes_than_the_digest(scene, Algorithm::Sha256)
}

fn other_bytes_than_the_sha512_digest_are_400(scene: &Scene<'_>) -> Outcome {
    other_bytes_than_the_digest(scene, Algorithm::Sha512)
}

fn unknown_layer_is_404_manifest_blob_unknown(scene: &Scene<'_>) -> Outcome {
    let layer = descriptor(LAYER, Algorithm::Sha256, &scene.bytes(512));
    let manifest = edited(scene, |document| document["layers"] = json!([layer]))?;
    is_refused(scene, &manifest, 404, &["MANIFEST_BLOB_UNKNOWN"])
}

fn unknown_config_is_404_manifest_blob_unknown(scene: &Scene<'_>) -> Outcome {
    let config = descriptor(CONFIG, Algorithm::Sha256, &scene.bytes(512));
    let manifest = edited(scene, |document| document["config"] = config)?;
    is_refused(scene, &manifest, 404, &["MANIFEST_BLOB_UNKNOWN"])
}

fn unknown_child_manifest_is_404(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    let child = descriptor(IMAGE, Algorithm::Sha256, &scene.bytes(512));
    let manifest = Manifest::of(&index(vec![child]));
    let codes = ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"];
    is_refused(scene, &manifest, 404, &codes)
}

fn blob_of_another_repository_is_unknown(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    scene.given_blob_in(&scene.other, &bytes)?;
    let layer = descriptor(LAYER, Algorithm::Sha256, &bytes);
    let manifest = edited(scene, |document| document["layers"] = json!([layer]))?;
    is_refused(scene, &manifest, 404, &["MANIFEST_BLOB_UNKNOWN"])
}

fn text_that_is_not_json_is_400(scene: &Scene<'_>) -> Outcome {
    scene.small_image()?;
    is_invalid(scene, &of_bytes(b"this is no manifest"))
}

fn empty_body_is_400(scene: &Scene<'_>) -> Outcome {
    scene.small_image()?;
    is_invalid(scene, &of_bytes(b""))
}

fn json_that_is_no_object_is_400(scene: &Scene<'_>) -> Outcome {
    scene.small_image()?;
    for text in ["[]", "null", "\"text\"", "2"] {
        is_invalid(scene, &of_bytes(text.as_bytes()))?;
    }
    Ok(())
}

fn cut_off_json_is_400(scene: &Scene<'_>) -> Outcome {
    let mut manifest = scene.small_image()?;
    manifest.bytes.pop();
    is_invalid(scene, &manifest)
}

fn schema_version_1_is_400(scene: &Scene<'_>) -> Outcome {
    is_invalid(
        scene,
        &edited(scene, |document| document["schemaVersion"] = json!(1))?,
    )
}

fn missing_schema_version_is_400(scene: &Scene<'_>) -> Outcome {
    let manifest = edited(scene, |document| {
        if let Some(fields) = document.as_object_mut() {
            fields.remove("schemaVersion");
        }
    })?;
    is_invalid(scene, &manifest)
}

/// Else one digest would name two documents, depending on who reads it.
fn media_type_other_than_the_content_type_is_400(scene: &Scene<'_>) -> Outcome {
    is_invalid(
        scene,
        &edited(scene, |document| document["mediaType"] = json!(INDEX))?,
    )
}

fn manifests_beside_a_config_are_400(scene: &Scene<'_>) -> Outcome {
    is_invalid(
        scene,
        &edited(scene, |document| document["manifests"] = json!([]))?,
    )
}

fn malformed_digest_in_a_descriptor_is_400(scene: &Scene<'_>) -> Outcome {
    let manifest = edited(scene, |document| {
        document["layers"][0]["digest"] = json!("sha256:short");
    })?;
    is_refused(scene, &manifest, 400, &["MANIFEST_INVALID", "DIGEST_INVALID"])
}

fn negative_size_in_a_descriptor_is_400(scene: &Scene<'_>) -> Outcome {
    is_invalid(
        scene,
        &edited(scene, |document| document["layers"][0]["size"] = json!(-1))?,
    )
}

fn descriptor_without_digest_is_400(scene: &Scene<'_>) -> Outcome {
    let config = json!({ "mediaType": CONFIG, "size": 2 });
    scene.small_image()?;
    let manifest = Manifest::of(&image(config, Vec::new()));
    is_refused(scene, &manifest, 400, &["MANIFEST_INVALID", "DIGEST_INVALID"])
}

fn malformed_subject_is_400(scene: &Scene<'_>) -> Outcome {
    let manifest = edited(scene, |document| {
        document["subject"] = json!({ "mediaType": IMAGE, "size": 2, "digest": "../escape" });
    })?;
    is_refused(scene, &manifest, 400, &["MANIFEST_INVALID", "DIGEST_INVALID"])
}

fn layers_that_are_no_list_are_400(scene: &Scene<'_>) -> Outcome {
    is_invalid(scene, &edited(scene, |document| document["layers"] = json!({}))?)
}

/// A parser that recurses without a limit dies of this. What it says is its own matter.
fn deeply_nested_json_is_answered(scene: &Scene<'_>) -> Outcome {
    let text = String::from_utf8_lossy(&scene.small_image()?.bytes).into_owned();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bytes = text.replacen('{', &format!("{{\"deep\":{deep},"), 1);
    push(scene, &of_bytes(bytes.as_bytes()))?.status_in(&[201, 400])?;
    scene.get("/v2/")?.status(200)?;
    Ok(())
}
