//! Documents of other makers, which are kept byte for byte under their own types.

use serde_json::{Value, json};

use super::{Table, table};
use crate::check::{Failure, Outcome};
use crate::digest::Algorithm;
use crate::http::Request;
use crate::manifest::{
    CONFIG, DOCKER_IMAGE, DOCKER_LIST, EMPTY_BLOB, IMAGE, LAYER, Manifest, descriptor, image,
};
use crate::scene::{Scene, is_manifest, put_manifest};

pub(super) const TESTS: Table = table![
    docker_image_is_kept_exactly,
    docker_manifest_list_is_kept_exactly,
    docker_foreign_layer_need_not_be_pushed,
    helm_chart_is_kept_exactly,
    cosign_signature_tag_can_be_rewritten,
    unusual_spacing_is_kept_exactly,
    parameters_of_the_content_type_are_dropped,
    layer_types_of_models_are_kept,
];

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

fn docker_image(scene: &Scene<'_>, architecture: &str) -> Result<Value, Failure> {
    let config = json!({ "os": "linux", "architecture": architecture, "rootfs": {} });
    let config = config.to_string().into_bytes();
    let layer = scene.bytes(512);
    scene.given_blob(&config)?;
    scene.given_blob(&layer)?;
    let mut document = image(
        descriptor(DOCKER_CONFIG, Algorithm::Sha256, &config),
        vec![descriptor(DOCKER_LAYER, Algorithm::Sha256, &layer)],
    );
    document["mediaType"] = json!(DOCKER_IMAGE);
    Ok(document)
}

/// Pushed by tag, it comes back by tag and by digest as it was.
fn is_kept(scene: &Scene<'_>, tag: &str, manifest: &Manifest) -> Outcome {
    let digest = manifest.digest(Algorithm::Sha256);
    let pushed = scene.send(put_manifest(&scene.manifest(tag), manifest))?;
    scene.manifest_was_pushed(&pushed, &digest, manifest)?;
    let get = Request::get(scene.manifest(tag)).header("Accept", manifest.media_type.as_str());
    is_manifest(&scene.send(get)?, &digest, manifest)
}

fn docker_image_is_kept_exactly(scene: &Scene<'_>) -> Outcome {
    let document = docker_image(scene, "amd64")?;
    is_kept(scene, "v1", &Manifest::of(&document))
}

fn docker_manifest_list_is_kept_exactly(scene: &Scene<'_>) -> Outcome {
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let manifest = Manifest::of(&docker_image(scene, architecture)?);
        scene.given_manifest(manifest.digest(Algorithm::Sha256).as_str(), &manifest)?;
        let mut entry = manifest.descriptor(Algorithm::Sha256);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entries.push(entry);
    }
    let list = json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries });
    is_kept(scene, "v1", &Manifest::of(&list))
}

fn docker_foreign_layer_need_not_be_pushed(scene: &Scene<'_>) -> Outcome {
    let mut document = docker_image(scene, "amd64")?;
    let mut foreign = descriptor(DOCKER_FOREIGN, Algorithm::Sha256, &scene.bytes(512));
    foreign["urls"] = json!(["https://layers.example.com/base.tar.gz"]);
    if let Some(layers) = document["layers"].as_array_mut() {
        layers.insert(0, foreign);
    }
    is_kept(scene, "v1", &Manifest::of(&document))
}

fn helm_chart_is_kept_exactly(scene: &Scene<'_>) -> Outcome {
    let (config, chart) = (scene.bytes(100), scene.bytes(512));
    scene.given_blob(&config)?;
    scene.given_blob(&chart)?;
    let document = image(
        descriptor(
            "application/vnd.cncf.helm.config.v1+json",
            Algorithm::Sha256,
            &config,
        ),
        vec![descriptor(
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            Algorithm::Sha256,
            &chart,
        )],
    );
    is_kept(scene, "1.2.3_build.5", &Manifest::of(&document))
}

/// Signatures are added by rewriting the manifest under a tag made of the digest.
fn cosign_signature_tag_can_be_rewritten(scene: &Scene<'_>) -> Outcome {
    let signed = scene.given_image("v1")?.digest(Algorithm::Sha256);
    let tag = format!("sha256-{}.sig", signed.hex());
    scene.get_manifest(scene.manifest(&tag))?.status(404)?;
    for _ in 0..2 {
        let signatures = scene.small_image()?;
        is_kept(scene, &tag, &signatures)?;
    }
    Ok(())
}

fn unusual_spacing_is_kept_exactly(scene: &Scene<'_>) -> Outcome {
    let document: Value = serde_json::from_slice(&scene.small_image()?.bytes).unwrap_or_default();
    let text = format!("\n\t{document:#}\r\n\n");
    let manifest = Manifest {
        media_type: IMAGE.to_owned(),
        bytes: text.into_bytes(),
    };
    is_kept(scene, "v1", &manifest)
}

fn parameters_of_the_content_type_are_dropped(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let put = Request::put(scene.manifest("v1"))
        .header("Content-Type", format!("{IMAGE}; charset=utf-8"))
        .sized(image.bytes.as_slice());
    scene.send(put)?.status(201)?;
    let got = scene.get_manifest(scene.manifest("v1"))?;
    is_manifest(&got, &image.digest(Algorithm::Sha256), &image)
}

fn layer_types_of_models_are_kept(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let weights = scene.bytes(512);
    scene.given_blob(&weights)?;
    let document = image(
        descriptor(CONFIG, Algorithm::Sha256, EMPTY_BLOB),
        vec![
            descriptor(LAYER, Algorithm::Sha256, &weights),
            descriptor("application/vnd.ollama.image.model", Algorithm::Sha256, &weights),
            descriptor(
                "application/vnd.cncf.model.weight.v1.raw",
                Algorithm::Sha256,
                &weights,
            ),
        ],
    );
    is_kept(scene, "v1", &Manifest::of(&document))
}
