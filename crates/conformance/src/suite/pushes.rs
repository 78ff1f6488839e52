//! Every way to push a blob, with ordinary, empty and wrong content.

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::digest::Digest;
use crate::http::Request;
use crate::manifest::EMPTY_BLOB;
use crate::scene::{Scene, chunk, last_chunk, upload, with_query};

pub(super) const TESTS: Table = table![
    single_post_is_201,
    post_and_put_is_201,
    one_chunk_and_empty_put_is_201,
    several_chunks_and_empty_put_is_201,
    chunks_with_the_last_in_the_put_is_201,
    stream_and_empty_put_is_201,
    put_by_chunked_encoding_is_201,
    empty_blob_by_single_post_is_201,
    empty_blob_by_post_and_put_is_201,
    empty_blob_by_stream_is_201,
    empty_blob_can_be_deleted,
    empty_json_blob_by_single_post_is_201,
    empty_json_blob_by_post_and_put_is_201,
    empty_json_blob_by_stream_is_201,
    empty_json_blob_can_be_deleted,
    single_post_of_other_content_is_400,
    post_and_put_of_other_content_is_400,
    chunks_of_other_content_are_400,
    other_content_in_the_last_chunk_is_400,
    stream_of_other_content_is_400,
    announced_algorithm_is_taken,
    eight_mebibytes_by_put_are_201,
    eight_mebibytes_by_stream_are_201,
];

/// Larger than the body limits that frameworks set unasked.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

fn single_post(scene: &Scene<'_>, digest: &Digest) -> Request {
    let parameter = format!("digest={}", digest.in_query());
    Request::post(with_query(&scene.uploads(), &parameter)).octets()
}

fn post_and_put(scene: &Scene<'_>, digest: &Digest, bytes: &[u8]) -> Result<Exchange, Failure> {
    let upload = scene.open_upload()?;
    scene.send(Request::put(upload.closing(digest)).octets().sized(bytes))
}

fn stream(scene: &Scene<'_>, digest: &Digest, bytes: &[u8]) -> Result<Exchange, Failure> {
    let mut upload = scene.open_upload()?;
    let sent = scene.send(Request::patch(&upload.target).octets().chunked(bytes))?;
    upload.target = sent.status(202)?.location()?;
    scene.send(Request::put(upload.closing(digest)).sized([]))
}

/// Whether the last chunk travels in the PUT or in a PATCH before it.
#[derive(PartialEq)]
enum Last {
    InPut,
    InPatch,
}

/// Sends chunks of the registry's least size, of which the last is shorter.
fn chunks(
    scene: &Scene<'_>,
    count: usize,
    last: Last,
    digest_of: impl Fn(&[u8]) -> Digest,
) -> Result<(Vec<u8>, Exchange), Failure> {
    let mut upload = scene.open_upload()?;
    let size = upload.chunk_bytes;
    let bytes = scene.bytes(size * count - size / 4);
    let digest = digest_of(&bytes);
    for (place, piece) in bytes.chunks(size).enumerate() {
        let start = place * size;
        if last == Last::InPut && place + 1 == count {
            let put = last_chunk(upload.closing(&digest), start, piece);
            return Ok((bytes.clone(), scene.send(put)?));
        }
        let sent = scene.send(chunk(&upload.target, start, piece))?;
        upload.target = sent.status(202)?.location()?;
    }
    let put = Request::put(upload.closing(&digest)).sized([]);
    Ok((bytes, scene.send(put)?))
}

fn chunks_are_stored(scene: &Scene<'_>, count: usize, last: Last) -> Outcome {
    let (bytes, pushed) = chunks(scene, count, last, |bytes| scene.digest(bytes))?;
    scene.blob_was_pushed(&pushed, &scene.digest(&bytes), &bytes)
}

fn single_post_is_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let pushed = scene.send(single_post(scene, &digest).sized(bytes.as_slice()))?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn post_and_put_is_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let pushed = post_and_put(scene, &digest, &bytes)?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn one_chunk_and_empty_put_is_201(scene: &Scene<'_>) -> Outcome {
    chunks_are_stored(scene, 1, Last::InPatch)
}

fn several_chunks_and_empty_put_is_201(scene: &Scene<'_>) -> Outcome {
    chunks_are_stored(scene, 3, Last::InPatch)
}

fn chunks_with_the_last_in_the_put_is_201(scene: &Scene<'_>) -> Outcome {
    chunks_are_stored(scene, 3, Last::InPut)
}

fn stream_and_empty_put_is_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let pushed = stream(scene, &digest, &bytes)?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn put_by_chunked_encoding_is_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let target = scene.open_upload()?.closing(&digest);
    let pushed = scene.send(Request::put(target).octets().chunked(bytes.as_slice()))?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

/// Go's client sends no bytes as a chunked body.
fn empty_blob_by_single_post_is_201(scene: &Scene<'_>) -> Outcome {
    let digest = scene.digest(b"");
    let pushed = scene.send(single_post(scene, &digest).chunked([]))?;
    scene.blob_was_pushed(&pushed, &digest, b"")
}

fn empty_blob_by_post_and_put_is_201(scene: &Scene<'_>) -> Outcome {
    let digest = scene.digest(b"");
    let pushed = post_and_put(scene, &digest, b"")?;
    scene.blob_was_pushed(&pushed, &digest, b"")
}

fn empty_blob_by_stream_is_201(scene: &Scene<'_>) -> Outcome {
    let digest = scene.digest(b"");
    let pushed = stream(scene, &digest, b"")?;
    scene.blob_was_pushed(&pushed, &digest, b"")
}

fn empty_blob_can_be_deleted(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_blob(b"")?;
    scene.delete(scene.blob(&digest))?.status(202)?;
    scene.head(scene.blob(&digest))?.status(404)?;
    Ok(())
}

fn empty_json_blob_by_single_post_is_201(scene: &Scene<'_>) -> Outcome {
    let digest = scene.digest(EMPTY_BLOB);
    let pushed = scene.send(single_post(scene, &digest).sized(EMPTY_BLOB))?;
    scene.blob_was_pushed(&pushed, &digest, EMPTY_BLOB)
}

fn empty_json_blob_by_post_and_put_is_201(scene: &Scene<'_>) -> Outcome {
    let digest = scene.digest(EMPTY_BLOB);
    let pushed = post_and_put(scene, &digest, EMPTY_BLOB)?;
    scene.blob_was_pushed(&pushed, &digest, EMPTY_BLOB)
}

fn empty_json_blob_by_stream_is_201(scene: &Scene<'_>) -> Outcome {
    let digest = scene.digest(EMPTY_BLOB);
    let pushed = stream(scene, &digest, EMPTY_BLOB)?;
    scene.blob_was_pushed(&pushed, &digest, EMPTY_BLOB)
}

fn empty_json_blob_can_be_deleted(scene: &Scene<'_>) -> Outcome {
    let digest = scene.given_blob(EMPTY_BLOB)?;
    scene.delete(scene.blob(&digest))?.status(202)?;
    scene.head(scene.blob(&digest))?.status(404)?;
    Ok(())
}

/// The push is refused, and the name it was given stays unknown.
fn was_refused(scene: &Scene<'_>, pushed: &Exchange, digest: &Digest) -> Outcome {
    pushed.refused(400, &["DIGEST_INVALID"])?;
    scene.head(scene.blob(digest))?.status(404)?;
    Ok(())
}

/// A registry may also open a session (202) and refuse at its PUT.
fn single_post_of_other_content_is_400(scene: &Scene<'_>) -> Outcome {
    let digest = scene.unknown_digest();
    let bytes = scene.bytes(512);
    let mut pushed = scene.send(single_post(scene, &digest).sized(bytes.as_slice()))?;
    if pushed.answer.status == 202 {
        let target = upload(&pushed)?.closing(&digest);
        pushed = scene.send(Request::put(target).octets().sized(bytes))?;
    }
    was_refused(scene, &pushed, &digest)
}

fn post_and_put_of_other_content_is_400(scene: &Scene<'_>) -> Outcome {
    let digest = scene.unknown_digest();
    let pushed = post_and_put(scene, &digest, &scene.bytes(512))?;
    was_refused(scene, &pushed, &digest)
}

fn chunks_of_other_content_are_400(scene: &Scene<'_>) -> Outcome {
    let digest = scene.unknown_digest();
    let (_, pushed) = chunks(scene, 3, Last::InPatch, |_| digest.clone())?;
    was_refused(scene, &pushed, &digest)
}

fn other_content_in_the_last_chunk_is_400(scene: &Scene<'_>) -> Outcome {
    let digest = scene.unknown_digest();
    let (_, pushed) = chunks(scene, 3, Last::InPut, |_| digest.clone())?;
    was_refused(scene, &pushed, &digest)
}

fn stream_of_other_content_is_400(scene: &Scene<'_>) -> Outcome {
    let digest = scene.unknown_digest();
    let pushed = stream(scene, &digest, &scene.bytes(512))?;
    was_refused(scene, &pushed, &digest)
}

/// Specification end-4c: the POST may say which algorithm the closing digest will have.
fn announced_algorithm_is_taken(scene: &Scene<'_>) -> Outcome {
    let parameter = format!("digest-algorithm={}", scene.algorithm.name());
    let post = Request::post(with_query(&scene.uploads(), &parameter));
    let mut session = upload(&scene.send(post)?)?;
    let bytes = scene.bytes(session.chunk_bytes);
    let digest = scene.digest(&bytes);
    let sent = scene.send(chunk(&session.target, 0, &bytes))?;
    session.target = sent.status(202)?.location()?;
    let pushed = scene.send(Request::put(session.closing(&digest)).sized([]))?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn eight_mebibytes_by_put_are_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(LARGE_BYTES);
    let digest = scene.digest(&bytes);
    let pushed = post_and_put(scene, &digest, &bytes)?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn eight_mebibytes_by_stream_are_201(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(LARGE_BYTES);
    let digest = scene.digest(&bytes);
    let pushed = stream(scene, &digest, &bytes)?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}
