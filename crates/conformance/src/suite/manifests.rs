//! Manifests by tag and by digest.

use serde_json::json;

use super::{Table, table};
use crate::check::Outcome;
use crate::digest::Algorithm;
use crate::http::Request;
use crate::manifest::{IMAGE, Manifest};
use crate::scene::{Scene, is_manifest, is_manifest_head, put_manifest};

pub(super) const TESTS: Table = table![
    put_by_tag_with_a_length_is_201,
    put_by_tag_without_a_length_is_201,
    put_by_digest_is_201,
    put_by_sha512_digest_is_201,
    location_of_a_push_by_tag_names_the_digest,
    the_same_manifest_can_be_pushed_twice,
    tag_can_move_in_a_mutable_repository,
    manifest_stays_under_its_digest_when_its_tag_moves,
    get_of_an_unknown_tag_is_404_manifest_unknown,
    get_of_an_unknown_digest_is_404_manifest_unknown,
    get_in_an_unknown_repository_is_404,
    head_of_an_unknown_tag_is_404_without_a_body,
    head_of_an_unknown_digest_is_404_without_a_body,
    is_not_visible_in_another_repository,
    tags_differ_by_case,
    tag_may_have_128_characters,
    tag_may_have_every_allowed_character,
    repository_name_may_have_every_allowed_separator,
    repository_name_may_be_long,
    type_may_be_named_by_the_request_alone,
    four_mebibytes_are_taken,
    four_mebibytes_without_a_length_are_taken,
    more_than_four_mebibytes_are_413,
    more_than_four_mebibytes_without_a_length_are_413,
];

const LIMIT_BYTES: usize = 4 * 1024 * 1024;

fn put_by_tag_with_a_length_is_201(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let pushed = scene.send(put_manifest(&scene.manifest("v1"), &image))?;
    scene.manifest_was_pushed(&pushed, &image.digest(Algorithm::Sha256), &image)
}

fn put_by_tag_without_a_length_is_201(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let put = put_manifest(&scene.manifest("v1"), &image).chunked(image.bytes.as_slice());
    let pushed = scene.send(put)?;
    scene.manifest_was_pushed(&pushed, &image.digest(Algorithm::Sha256), &image)
}

fn put_by_digest_is_201(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let digest = image.digest(Algorithm::Sha256);
    let pushed = scene.send(put_manifest(&scene.manifest(digest.as_str()), &image))?;
    scene.manifest_was_pushed(&pushed, &digest, &image)
}

/// The manifest alone is named by sha512; what it refers to may be named otherwise.
fn put_by_sha512_digest_is_201(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let digest = image.digest(Algorithm::Sha512);
    let pushed = scene.send(put_manifest(&scene.manifest(digest.as_str()), &image))?;
    scene.manifest_was_pushed(&pushed, &digest, &image)
}

fn location_of_a_push_by_tag_names_the_digest(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let pushed = scene.send(put_manifest(&scene.manifest("v1"), &image))?;
    let location = pushed.status(201)?.location()?;
    let digest = image.digest(Algorithm::Sha256);
    pushed.require(
        location == scene.manifest(digest.as_str()),
        format_args!("a Location that ends with {digest}"),
    )?;
    Ok(())
}

fn the_same_manifest_can_be_pushed_twice(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let pushed = scene.send(put_manifest(&scene.manifest("v1"), &image))?;
    scene.manifest_was_pushed(&pushed, &image.digest(Algorithm::Sha256), &image)
}

fn tag_can_move_in_a_mutable_repository(scene: &Scene<'_>) -> Outcome {
    scene.given_image("latest")?;
    let new = scene.given_image("latest")?;
    let got = scene.get_manifest(scene.manifest("latest"))?;
    is_manifest(&got, &new.digest(Algorithm::Sha256), &new)
}

fn manifest_stays_under_its_digest_when_its_tag_moves(scene: &Scene<'_>) -> Outcome {
    let old = scene.given_image("latest")?;
    scene.given_image("latest")?;
    let digest = old.digest(Algorithm::Sha256);
    let got = scene.get_manifest(scene.manifest(digest.as_str()))?;
    is_manifest(&got, &digest, &old)
}

fn get_of_an_unknown_tag_is_404_manifest_unknown(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene
        .get_manifest(scene.manifest("v2"))?
        .refused(404, &["MANIFEST_UNKNOWN"])
}

fn get_of_an_unknown_digest_is_404_manifest_unknown(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene
        .get_manifest(scene.manifest(scene.unknown_digest().as_str()))?
        .refused(404, &["MANIFEST_UNKNOWN"])
}

fn get_in_an_unknown_repository_is_404(scene: &Scene<'_>) -> Outcome {
    scene
        .get_manifest(scene.manifest("v1"))?
        .refused(404, &["NAME_UNKNOWN", "MANIFEST_UNKNOWN"])
}

fn head_of_an_unknown_tag_is_404_without_a_body(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene
        .head_manifest(scene.manifest("v2"))?
        .status(404)?
        .body_is(b"")?;
    Ok(())
}

fn head_of_an_unknown_digest_is_404_without_a_body(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene
        .head_manifest(scene.manifest(scene.unknown_digest().as_str()))?
        .status(404)?
        .body_is(b"")?;
    Ok(())
}

fn is_not_visible_in_another_repository(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    scene.given_blob_in(&scene.other, b"elsewhere")?;
    let digest = image.digest(Algorithm::Sha256);
    for reference in ["v1", digest.as_str()] {
        scene
            .get(format!("/v2/{}/manifests/{reference}", scene.other))?
            .refused(404, &["MANIFEST_UNKNOWN", "NAME_UNKNOWN"])?;
    }
    Ok(())
}

fn tags_differ_by_case(scene: &Scene<'_>) -> Outcome {
    let small = scene.given_image("v1")?;
    let capital = scene.given_image("V1")?;
    for (tag, image) in [("v1", small), ("V1", capital)] {
        let got = scene.get_manifest(scene.manifest(tag))?;
        is_manifest(&got, &image.digest(Algorithm::Sha256), &image)?;
    }
    Ok(())
}

fn tag_is_taken(scene: &Scene<'_>, tag: &str) -> Outcome {
    let image = scene.given_image(tag)?;
    let got = scene.get_manifest(scene.manifest(tag))?;
    is_manifest(&got, &image.digest(Algorithm::Sha256), &image)
}

fn tag_may_have_128_characters(scene: &Scene<'_>) -> Outcome {
    tag_is_taken(scene, &"t".repeat(128))
}

fn tag_may_have_every_allowed_character(scene: &Scene<'_>) -> Outcome {
    tag_is_taken(scene, "_A-z.0__9--..")
}

fn name_is_taken(scene: &Scene<'_>, name: &str) -> Outcome {
    let digest = scene.given_blob_in(name, b"named")?;
    scene
        .head(format!("/v2/{name}/blobs/{digest}"))?
        .status(200)?
        .digest_is(&digest)?;
    Ok(())
}

fn repository_name_may_have_every_allowed_separator(scene: &Scene<'_>) -> Outcome {
    name_is_taken(scene, &format!("{}/a.b_c__d-e---f/0", scene.repo))
}

fn repository_name_may_be_long(scene: &Scene<'_>) -> Outcome {
    let rest = 200 - scene.repo.len() - 1;
    name_is_taken(scene, &format!("{}/{}", scene.repo, "n".repeat(rest)))
}

fn type_may_be_named_by_the_request_alone(scene: &Scene<'_>) -> Outcome {
    let mut document: serde_json::Value =
        serde_json::from_slice(&scene.small_image()?.bytes).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("mediaType");
    }
    let image = Manifest {
        media_type: IMAGE.to_owned(),
        bytes: document.to_string().into_bytes(),
    };
    let pushed = scene.send(put_manifest(&scene.manifest("v1"), &image))?;
    scene.manifest_was_pushed(&pushed, &image.digest(Algorithm::Sha256), &image)
}

/// A valid manifest of exactly `size` bytes.
fn of_size(scene: &Scene<'_>, size: usize) -> Result<Manifest, crate::check::Failure> {
    let mut document: serde_json::Value =
        serde_json::from_slice(&scene.small_image()?.bytes).unwrap_or_default();
    document["annotations"]["padding"] = json!("");
    let missing = size - document.to_string().len();
    document["annotations"]["padding"] = json!("p".repeat(missing));
    Ok(Manifest::of(&document))
}

fn four_mebibytes_are_taken(scene: &Scene<'_>) -> Outcome {
    let image = of_size(scene, LIMIT_BYTES)?;
    let pushed = scene.send(put_manifest(&scene.manifest("large"), &image))?;
    scene.manifest_was_pushed(&pushed, &image.digest(Algorithm::Sha256), &image)
}

fn four_mebibytes_without_a_length_are_taken(scene: &Scene<'_>) -> Outcome {
    let image = of_size(scene, LIMIT_BYTES)?;
    let put = put_manifest(&scene.manifest("large"), &image).chunked(image.bytes.as_slice());
    scene.send(put)?.status(201)?;
    let head = scene.head_manifest(scene.manifest("large"))?;
    is_manifest_head(&head, &image.digest(Algorithm::Sha256), &image)
}

fn more_than_four_mebibytes_are_413(scene: &Scene<'_>) -> Outcome {
    let image = of_size(scene, LIMIT_BYTES + 1)?;
    scene
        .send(put_manifest(&scene.manifest("large"), &image))?
        .status(413)?;
    scene.head_manifest(scene.manifest("large"))?.status(404)?;
    Ok(())
}

fn more_than_four_mebibytes_without_a_length_are_413(scene: &Scene<'_>) -> Outcome {
    let image = of_size(scene, LIMIT_BYTES + 1)?;
    let put = Request::put(scene.manifest("large"))
        .header("Content-Type", IMAGE)
        .chunked(image.bytes);
    scene.send(put)?.status(413)?;
    scene.head_manifest(scene.manifest("large"))?.status(404)?;
    Ok(())
}
