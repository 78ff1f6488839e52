//! What lets a client keep what it has: entity tags and conditions.

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::digest::Digest;
use crate::http::Request;
use crate::scene::{Scene, accepting};

pub(super) const TESTS: Table = table![
    entity_tag_of_a_blob_is_its_quoted_digest,
    entity_tag_of_a_manifest_is_its_quoted_digest,
    blob_by_its_digest_may_be_kept,
    same_blob_is_304,
    same_blob_is_304_to_head,
    same_manifest_by_digest_is_304,
    same_manifest_by_tag_is_304,
    same_manifest_is_304_to_head,
    one_tag_of_several_is_enough,
    weak_tag_is_enough,
    star_is_enough,
    other_blob_is_200,
    moved_tag_is_200,
    missing_blob_is_404_whatever_the_condition,
    range_of_the_same_blob_is_206,
    range_of_another_blob_is_200_with_all_of_it,
];

fn blob(scene: &Scene<'_>) -> Result<(Vec<u8>, Digest), Failure> {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    Ok((bytes, digest))
}

fn unless(request: Request, tags: &str) -> Request {
    request.header("If-None-Match", tags)
}

fn quoted(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Unchanged: no bytes, and the entity tag for the next time.
fn is_unchanged(answer: &Exchange, digest: &Digest) -> Outcome {
    answer
        .status(304)?
        .body_is(b"")?
        .header_is("ETag", &quoted(digest))?;
    Ok(())
}

fn entity_tag_of_a_blob_is_its_quoted_digest(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = blob(scene)?;
    scene
        .get(scene.blob(&digest))?
        .status(200)?
        .header_is("ETag", &quoted(&digest))?;
    Ok(())
}

fn entity_tag_of_a_manifest_is_its_quoted_digest(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_image("v1")?.digest(scene.algorithm);
    for reference in ["v1", digest.as_str()] {
        scene
            .get_manifest(scene.manifest(reference))?
            .status(200)?
            .header_is("ETag", &quoted(&digest))?;
    }
    Ok(())
}

fn blob_by_its_digest_may_be_kept(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = blob(scene)?;
    let got = scene.get(scene.blob(&digest))?;
    let rules = got.status(200)?.header("Cache-Control")?;
    let age = rules
        .split(',')
        .filter_map(|rule| rule.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.parse::<u64>().ok());
    got.require(
        age.is_some_and(|seconds| seconds >= 3600),
        "Cache-Control with a max-age of an hour or more",
    )?;
    Ok(())
}

fn same_blob_is_304(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = blob(scene)?;
    let get = unless(Request::get(scene.blob(&digest)), &quoted(&digest));
    is_unchanged(&scene.send(get)?, &digest)
}

fn same_blob_is_304_to_head(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = blob(scene)?;
    let head = unless(Request::head(scene.blob(&digest)), &quoted(&digest));
    is_unchanged(&scene.send(head)?, &digest)
}

fn same_manifest_by_digest_is_304(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_image("v1")?.digest(scene.algorithm);
    let get = accepting(Request::get(scene.manifest(digest.as_str())));
    is_unchanged(&scene.send(unless(get, &quoted(&digest)))?, &digest)
}

fn same_manifest_by_tag_is_304(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_image("v1")?.digest(scene.algorithm);
    let get = accepting(Request::get(scene.manifest("v1")));
    is_unchanged(&scene.send(unless(get, &quoted(&digest)))?, &digest)
}

fn same_manifest_is_304_to_head(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_image("v1")?.digest(scene.algorithm);
    let head = accepting(Request::head(scene.manifest("v1")));
    is_unchanged(&scene.send(unless(head, &quoted(&digest)))?, &digest)
}

fn one_tag_of_several_is_enough(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = blob(scene)?;
    let tags = format!("\"other\", {}, \"more\"", quoted(&digest));
    let get = unless(Request::get(scene.blob(&digest)), &tags);
    is_unchanged(&scene.send(get)?, &digest)
}

/// RFC 9110, section 13.1.2: the comparison is weak.
fn weak_tag_is_enough(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = blob(scene)?;
    let tags = format!("W/{}", quoted(&digest));
    let get = unless(Request::get(scene.blob(&digest)), &tags);
    is_unchanged(&scene.send(get)?, &digest)
}

fn star_is_enough(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = blob(scene)?;
    let get = unless(Request::get(scene.blob(&digest)), "*");
    is_unchanged(&scene.send(get)?, &digest)
}

fn other_blob_is_200(scene: &Scene<'_>) -> Outcome {
    let (bytes, digest) = blob(scene)?;
    let tags = quoted(&scene.unknown_digest());
    let get = unless(Request::get(scene.blob(&digest)), &tags);
    scene.send(get)?.status(200)?.body_is(&bytes)?;
    Ok(())
}

fn moved_tag_is_200(scene: &Scene<'_>) -> Outcome {
    let old = scene.given_image("latest")?.digest(scene.algorithm);
    let new = scene.given_image("latest")?;
    let get = unless(accepting(Request::get(scene.manifest("latest"))), &quoted(&old));
    scene.send(get)?.status(200)?.body_is(&new.bytes)?;
    Ok(())
}

fn missing_blob_is_404_whatever_the_condition(scene: &Scene<'_>) -> Outcome {
    blob(scene)?;
    let digest = scene.unknown_digest();
    let get = unless(Request::get(scene.blob(&digest)), &quoted(&digest));
    scene.send(get)?.refused(404, &["BLOB_UNKNOWN"])
}

fn range_if(scene: &Scene<'_>, digest: &Digest, tag: &str) -> Result<Exchange, Failure> {
    let get = Request::get(scene.blob(digest))
        .header("Range", "bytes=100-199")
        .header("If-Range", tag);
    scene.send(get)
}

fn range_of_the_same_blob_is_206(scene: &Scene<'_>) -> Outcome {
    let (bytes, digest) = blob(scene)?;
    range_if(scene, &digest, &quoted(&digest))?
        .status(206)?
        .body_is(&bytes[100..200])?;
    Ok(())
}

fn range_of_another_blob_is_200_with_all_of_it(scene: &Scene<'_>) -> Outcome {
    let (bytes, digest) = blob(scene)?;
    let other = quoted(&scene.unknown_digest());
    range_if(scene, &digest, &other)?.status(200)?.body_is(&bytes)?;
    Ok(())
}
