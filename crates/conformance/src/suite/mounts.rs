//! Blobs that are taken over from another repository instead of sent.

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::digest::Digest;
use crate::http::Request;
use crate::scene::{Scene, upload};

pub(super) const TESTS: Table = table![
    from_a_repository_that_has_it_is_201,
    without_a_source_is_201,
    missing_there_is_202_with_a_session,
    missing_there_but_stored_elsewhere_is_202_with_a_session,
    from_an_unknown_repository_is_202_with_a_session,
    without_a_source_of_an_unknown_blob_is_202_with_a_session,
    mounted_blob_outlives_its_source,
    query_with_plain_slashes_and_colons_is_taken,
    query_with_escapes_and_the_source_first_is_taken,
];

fn mount(scene: &Scene<'_>, query: &str) -> Result<Exchange, Failure> {
    scene.send(Request::post(format!("{}?{query}", scene.uploads())))
}

fn usual_query(scene: &Scene<'_>, digest: &Digest) -> String {
    let from = scene.other.replace('/', "%2F");
    format!("mount={}&from={from}", digest.in_query())
}

fn was_mounted(scene: &Scene<'_>, mounted: &Exchange, digest: &Digest, bytes: &[u8]) -> Outcome {
    scene.blob_was_pushed(mounted, digest, bytes)
}

/// Not mounted: an ordinary session is open, and takes the blob.
fn falls_back(scene: &Scene<'_>, answer: &Exchange, digest: &Digest, bytes: &[u8]) -> Outcome {
    let session = upload(answer)?;
    let put = Request::put(session.closing(digest)).octets().sized(bytes);
    scene.blob_was_pushed(&scene.send(put)?, digest, bytes)
}

fn from_a_repository_that_has_it_is_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob_in(&scene.other, &bytes)?;
    let mounted = mount(scene, &usual_query(scene, &digest))?;
    was_mounted(scene, &mounted, &digest, &bytes)
}

fn without_a_source_is_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob_in(&scene.other, &bytes)?;
    let mounted = mount(scene, &format!("mount={}", digest.in_query()))?;
    was_mounted(scene, &mounted, &digest, &bytes)
}

fn missing_there_is_202_with_a_session(scene: &Scene<'_>) -> Outcome {
    scene.given_blob_in(&scene.other, &scene.bytes(512))?;
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let answer = mount(scene, &usual_query(scene, &digest))?;
    falls_back(scene, &answer, &digest, &bytes)
}

/// A named source is the only source: else a name would read what it may not.
fn missing_there_but_stored_elsewhere_is_202_with_a_session(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob_in(&format!("{}-third", scene.other), &bytes)?;
    scene.given_blob_in(&scene.other, &scene.bytes(512))?;
    let answer = mount(scene, &usual_query(scene, &digest))?;
    falls_back(scene, &answer, &digest, &bytes)
}

fn from_an_unknown_repository_is_202_with_a_session(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let answer = mount(scene, &usual_query(scene, &digest))?;
    falls_back(scene, &answer, &digest, &bytes)
}

fn without_a_source_of_an_unknown_blob_is_202_with_a_session(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let answer = mount(scene, &format!("mount={}", digest.in_query()))?;
    falls_back(scene, &answer, &digest, &bytes)
}

fn mounted_blob_outlives_its_source(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob_in(&scene.other, &bytes)?;
    mount(scene, &usual_query(scene, &digest))?.status(201)?;
    scene
        .delete(format!("/v2/{}/blobs/{digest}", scene.other))?
        .status(202)?;
    scene.blob_is_stored(&digest, &bytes)
}

/// As containerd, buildkit and nerdctl write it.
fn query_with_plain_slashes_and_colons_is_taken(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob_in(&scene.other, &bytes)?;
    let mounted = mount(scene, &format!("mount={digest}&from={}", scene.other))?;
    was_mounted(scene, &mounted, &digest, &bytes)
}

/// As skopeo and podman write it.
fn query_with_escapes_and_the_source_first_is_taken(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob_in(&scene.other, &bytes)?;
    let from = scene.other.replace('/', "%2F");
    let query = format!("from={from}&mount={}", digest.in_query());
    was_mounted(scene, &mount(scene, &query)?, &digest, &bytes)
}
