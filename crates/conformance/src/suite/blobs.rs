//! Stored blobs: what HEAD, GET and DELETE answer.

use super::{Table, table};
use crate::check::Outcome;
use crate::scene::Scene;

pub(super) const TESTS: Table = table![
    get_of_a_missing_blob_is_404_blob_unknown,
    get_in_an_unknown_repository_is_404,
    head_of_a_missing_blob_is_404_without_a_body,
    head_tells_the_length_and_sends_no_body,
    head_names_the_digest,
    get_sends_the_bytes_and_their_length,
    get_names_the_digest,
    get_has_a_type,
    is_not_visible_in_another_repository,
    delete_is_202_and_the_blob_is_gone_at_once,
    delete_of_a_missing_blob_is_404_blob_unknown,
    deleted_blob_can_be_pushed_again,
    delete_leaves_the_same_blob_of_another_repository,
    the_same_blob_can_be_pushed_twice,
];

fn get_of_a_missing_blob_is_404_blob_unknown(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(&scene.bytes(512))?;
    scene
        .get(scene.blob(&scene.unknown_digest()))?
        .refused(404, &["BLOB_UNKNOWN"])
}

fn get_in_an_unknown_repository_is_404(scene: &Scene<'_>) -> Outcome {
    scene
        .get(scene.blob(&scene.unknown_digest()))?
        .refused(404, &["BLOB_UNKNOWN", "NAME_UNKNOWN"])
}

fn head_of_a_missing_blob_is_404_without_a_body(scene: &Scene<'_>) -> Outcome {
    scene
        .head(scene.blob(&scene.unknown_digest()))?
        .status(404)?
        .body_is(b"")?;
    Ok(())
}

fn head_tells_the_length_and_sends_no_body(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    scene
        .head(scene.blob(&digest))?
        .status(200)?
        .length_is(512)?
        .body_is(b"")?;
    Ok(())
}

fn head_names_the_digest(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_blob(&scene.bytes(512))?;
    scene.head(scene.blob(&digest))?.status(200)?.digest_is(&digest)?;
    Ok(())
}

fn get_sends_the_bytes_and_their_length(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    scene
        .get(scene.blob(&digest))?
        .status(200)?
        .length_is(512)?
        .body_is(&bytes)?;
    Ok(())
}

fn get_names_the_digest(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_blob(&scene.bytes(512))?;
    scene.get(scene.blob(&digest))?.status(200)?.digest_is(&digest)?;
    Ok(())
}

fn get_has_a_type(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_blob(&scene.bytes(512))?;
    scene
        .get(scene.blob(&digest))?
        .status(200)?
        .header_is("Content-Type", "application/octet-stream")?;
    Ok(())
}

fn is_not_visible_in_another_repository(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_blob_in(&scene.other, &scene.bytes(512))?;
    scene.given_blob(&scene.bytes(512))?;
    scene.get(scene.blob(&digest))?.refused(404, &["BLOB_UNKNOWN"])?;
    scene.head(scene.blob(&digest))?.status(404)?;
    Ok(())
}

fn delete_is_202_and_the_blob_is_gone_at_once(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_blob(&scene.bytes(512))?;
    scene.delete(scene.blob(&digest))?.status(202)?;
    scene.head(scene.blob(&digest))?.status(404)?;
    scene.get(scene.blob(&digest))?.refused(404, &["BLOB_UNKNOWN"])
}

fn delete_of_a_missing_blob_is_404_blob_unknown(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(&scene.bytes(512))?;
    scene
        .delete(scene.blob(&scene.unknown_digest()))?
        .refused(404, &["BLOB_UNKNOWN"])
}

fn deleted_blob_can_be_pushed_again(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    scene.delete(scene.blob(&digest))?.status(202)?;
    scene.given_blob(&bytes)?;
    scene.blob_is_stored(&digest, &bytes)
}

fn delete_leaves_the_same_blob_of_another_repository(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    scene.given_blob_in(&scene.other, &bytes)?;
    scene
        .delete(format!("/v2/{}/blobs/{digest}", scene.other))?
        .status(202)?;
    scene.get(scene.blob(&digest))?.status(200)?.body_is(&bytes)?;
    Ok(())
}

fn the_same_blob_can_be_pushed_twice(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    scene.given_blob(&bytes)?;
    let digest = scene.given_blob(&bytes)?;
    scene.blob_is_stored(&digest, &bytes)
}
