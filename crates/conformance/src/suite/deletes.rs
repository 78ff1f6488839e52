//! Deleting tags and manifests, and what must stay.

use super::{Table, table};
use crate::check::Outcome;
use crate::digest::Algorithm;
use crate::manifest::EMPTY_BLOB;
use crate::scene::{Scene, is_manifest};

pub(super) const TESTS: Table = table![
    tag_is_202_and_gone_at_once,
    tag_leaves_its_manifest,
    tag_leaves_other_tags_of_its_manifest,
    tag_can_be_made_again_with_other_content,
    unknown_tag_is_404_manifest_unknown,
    manifest_is_202_and_gone_at_once,
    manifest_takes_its_tags_along,
    manifest_takes_its_tags_off_the_list,
    manifest_pushed_again_has_no_tags,
    manifest_leaves_tags_of_other_manifests,
    manifest_leaves_its_blobs,
    manifest_can_be_pushed_again,
    unknown_manifest_is_404_manifest_unknown,
    manifest_in_an_unknown_repository_is_404,
    blob_can_go_after_its_manifest,
    repository_without_its_last_tag_still_lists_none,
];

fn tag_is_202_and_gone_at_once(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene.delete(scene.manifest("v1"))?.status(202)?;
    scene.head_manifest(scene.manifest("v1"))?.status(404)?;
    scene
        .get_manifest(scene.manifest("v1"))?
        .refused(404, &["MANIFEST_UNKNOWN"])
}

fn tag_leaves_its_manifest(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    scene.delete(scene.manifest("v1"))?.status(202)?;
    let digest = image.digest(Algorithm::Sha256);
    let got = scene.get_manifest(scene.manifest(digest.as_str()))?;
    is_manifest(&got, &digest, &image)
}

fn tag_leaves_other_tags_of_its_manifest(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    scene.given_manifest("stable", &image)?;
    scene.delete(scene.manifest("v1"))?.status(202)?;
    let got = scene.get_manifest(scene.manifest("stable"))?;
    is_manifest(&got, &image.digest(Algorithm::Sha256), &image)
}

fn tag_can_be_made_again_with_other_content(scene: &Scene<'_>) -> Outcome {
    scene.given_image("image")?;
    scene.delete(scene.manifest("image"))?.status(202)?;
    let new = scene.given_image("image")?;
    let got = scene.get_manifest(scene.manifest("image"))?;
    is_manifest(&got, &new.digest(Algorithm::Sha256), &new)
}

fn unknown_tag_is_404_manifest_unknown(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene
        .delete(scene.manifest("v2"))?
        .refused(404, &["MANIFEST_UNKNOWN"])
}

fn manifest_is_202_and_gone_at_once(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let target = scene.manifest(image.digest(Algorithm::Sha256).as_str());
    scene.given_manifest(image.digest(Algorithm::Sha256).as_str(), &image)?;
    scene.delete(&target)?.status(202)?;
    scene.head(&target)?.status(404)?;
    scene.get(&target)?.refused(404, &["MANIFEST_UNKNOWN"])
}

fn manifest_takes_its_tags_along(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    scene.given_manifest("stable", &image)?;
    let digest = image.digest(Algorithm::Sha256);
    scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
    for tag in ["v1", "stable"] {
        scene
            .get_manifest(scene.manifest(tag))?
            .refused(404, &["MANIFEST_UNKNOWN"])?;
    }
    Ok(())
}

fn manifest_takes_its_tags_off_the_list(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    scene.given_image("v2")?;
    let digest = image.digest(Algorithm::Sha256);
    scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
    let list = scene.get(scene.tags())?;
    let tags = list.status(200)?.json()?["tags"].take();
    list.require(tags == serde_json::json!(["v2"]), "only tag v2")?;
    Ok(())
}

fn manifest_pushed_again_has_no_tags(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let digest = image.digest(Algorithm::Sha256);
    scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
    scene.given_manifest(digest.as_str(), &image)?;
    scene.head_manifest(scene.manifest("v1"))?.status(404)?;
    Ok(())
}

fn manifest_leaves_tags_of_other_manifests(scene: &Scene<'_>) -> Outcome {
    let gone = scene.given_image("v1")?;
    let kept = scene.given_image("v2")?;
    let digest = gone.digest(Algorithm::Sha256);
    scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
    let got = scene.get_manifest(scene.manifest("v2"))?;
    is_manifest(&got, &kept.digest(Algorithm::Sha256), &kept)
}

fn manifest_leaves_its_blobs(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let digest = image.digest(Algorithm::Sha256);
    scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
    scene.blob_is_stored(&scene.digest(EMPTY_BLOB), EMPTY_BLOB)
}

fn manifest_can_be_pushed_again(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let digest = image.digest(Algorithm::Sha256);
    scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
    scene.given_manifest("v1", &image)?;
    is_manifest(&scene.get_manifest(scene.manifest("v1"))?, &digest, &image)
}

fn unknown_manifest_is_404_manifest_unknown(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene
        .delete(scene.manifest(scene.unknown_digest().as_str()))?
        .refused(404, &["MANIFEST_UNKNOWN"])
}

fn manifest_in_an_unknown_repository_is_404(scene: &Scene<'_>) -> Outcome {
    scene
        .delete(scene.manifest(scene.unknown_digest().as_str()))?
        .refused(404, &["NAME_UNKNOWN", "MANIFEST_UNKNOWN"])
}

fn blob_can_go_after_its_manifest(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let digest = image.digest(Algorithm::Sha256);
    scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
    let blob = scene.blob(&scene.digest(EMPTY_BLOB));
    scene.delete(&blob)?.status(202)?;
    scene.head(&blob)?.status(404)?;
    Ok(())
}

/// The names of what is gone are not in the list; whether the repository is, is its own.
fn repository_without_its_last_tag_still_lists_none(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene.delete(scene.manifest("v1"))?.status(202)?;
    let list = scene.get(scene.tags())?;
    list.status(200)?;
    let tags = list.json()?["tags"].take();
    list.require(tags == serde_json::json!([]), "an empty list of tags")?;
    Ok(())
}
