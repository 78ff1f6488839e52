//! Upload sessions: status, ranges, cancelling and sessions that do not exist.

use super::{Table, table};
use crate::check::{Failure, Outcome};
use crate::http::Request;
use crate::scene::{Scene, chunk, with_query};

pub(super) const TESTS: Table = table![
    post_with_a_trailing_slash_is_202,
    post_without_a_trailing_slash_is_202,
    post_without_a_length_is_202,
    sessions_have_different_locations,
    status_of_a_fresh_session_is_204,
    patch_answers_the_range_it_holds,
    second_patch_answers_the_range_it_holds,
    status_after_a_patch_is_204_with_its_range,
    status_after_a_stream_is_204_with_its_range,
    retry_of_a_stored_chunk_is_416,
    session_goes_on_after_a_retried_chunk,
    content_range_of_another_length_is_refused,
    malformed_content_range_is_refused,
    put_without_a_digest_is_400,
    cancel_is_204,
    cancelled_session_has_no_status,
    cancelled_session_takes_no_bytes,
    cancel_of_an_unknown_session_is_404,
    status_of_an_unknown_session_is_404,
    patch_of_an_unknown_session_is_404,
    put_of_an_unknown_session_is_404,
    finished_session_has_no_status,
    session_belongs_to_its_repository,
];

const NO_SESSION: &[&str] = &["BLOB_UPLOAD_UNKNOWN"];

/// A session that never was, in the shape of the registry's own.
fn unknown_session(scene: &Scene<'_>) -> Result<String, Failure> {
    scene.open_upload()?;
    Ok(format!("{}00000000-0000-4000-8000-000000000000", scene.uploads()))
}

fn post_with_a_trailing_slash_is_202(scene: &Scene<'_>) -> Outcome {
    let post = Request::post(scene.uploads());
    scene.send(post)?.status(202)?.location()?;
    Ok(())
}

fn post_without_a_trailing_slash_is_202(scene: &Scene<'_>) -> Outcome {
    let uploads = scene.uploads();
    let post = Request::post(uploads.trim_end_matches('/'));
    scene.send(post)?.status(202)?.location()?;
    Ok(())
}

fn post_without_a_length_is_202(scene: &Scene<'_>) -> Outcome {
    let post = Request::new("POST", scene.uploads());
    scene.send(post)?.status(202)?.location()?;
    Ok(())
}

fn sessions_have_different_locations(scene: &Scene<'_>) -> Outcome {
    let first = scene.open_upload()?;
    let second = scene.send(Request::post(scene.uploads()))?;
    let location = second.status(202)?.location()?;
    second.require(location != first.target, "a session of its own")?;
    Ok(())
}

/// No byte is there yet, which `Range` cannot say: `0-0` and `0--1` are both in use.
fn status_of_a_fresh_session_is_204(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let status = scene.get(&upload.target)?;
    let range = status.status(204)?.header("Range")?;
    status
        .require(["0-0", "0--1"].contains(&range), "Range: 0-0")?
        .location()?;
    Ok(())
}

fn patch_answers_the_range_it_holds(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let sent = scene.send(chunk(&upload.target, 0, &bytes))?;
    sent.status(202)?
        .header_is("Range", &format!("0-{}", bytes.len() - 1))?
        .location()?;
    Ok(())
}

fn second_patch_answers_the_range_it_holds(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let first = scene.send(chunk(&upload.target, 0, &bytes))?;
    let target = first.status(202)?.location()?;
    scene
        .send(chunk(&target, bytes.len(), &bytes))?
        .status(202)?
        .header_is("Range", &format!("0-{}", 2 * bytes.len() - 1))?;
    Ok(())
}

fn status_after_a_patch_is_204_with_its_range(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let sent = scene.send(chunk(&upload.target, 0, &bytes))?;
    let status = scene.get(sent.status(202)?.location()?)?;
    status
        .status(204)?
        .header_is("Range", &format!("0-{}", bytes.len() - 1))?
        .location()?;
    Ok(())
}

fn status_after_a_stream_is_204_with_its_range(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let patch = Request::patch(&upload.target).octets().chunked(scene.bytes(700));
    let sent = scene.send(patch)?;
    let status = scene.get(sent.status(202)?.location()?)?;
    status.status(204)?.header_is("Range", "0-699")?;
    Ok(())
}

fn retry_of_a_stored_chunk_is_416(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let sent = scene.send(chunk(&upload.target, 0, &bytes))?;
    let target = sent.status(202)?.location()?;
    scene.send(chunk(&target, 0, &bytes))?.status(416)?;
    Ok(())
}

fn session_goes_on_after_a_retried_chunk(scene: &Scene<'_>) -> Outcome {
    let mut upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let sent = scene.send(chunk(&upload.target, 0, &bytes))?;
    upload.target = sent.status(202)?.location()?;
    scene.send(chunk(&upload.target, 0, &bytes))?.status(416)?;
    let status = scene.get(&upload.target)?;
    upload.target = status.status(204)?.location()?;
    let digest = scene.digest(&bytes);
    let pushed = scene.send(Request::put(upload.closing(&digest)).sized([]))?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn content_range_of_another_length_is_refused(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let patch = Request::patch(&upload.target)
        .octets()
        .header("Content-Range", format!("0-{}", bytes.len() + 5))
        .sized(bytes);
    scene.send(patch)?.status_in(&[400, 416])?;
    Ok(())
}

fn malformed_content_range_is_refused(scene: &Scene<'_>) -> Outcome {
    for range in ["a-b", "5", "9-0", "0-18446744073709551616", ""] {
        let upload = scene.open_upload()?;
        let patch = Request::patch(&upload.target)
            .octets()
            .header("Content-Range", range)
            .sized(scene.bytes(upload.chunk_bytes));
        scene.send(patch)?.status_in(&[400, 416])?;
    }
    Ok(())
}

fn put_without_a_digest_is_400(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let put = Request::put(&upload.target).octets().sized(scene.bytes(512));
    scene.send(put)?.refused(400, &["DIGEST_INVALID"])
}

fn cancel_is_204(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let cancel = Request::delete(&upload.target).sized([]);
    scene.send(cancel)?.status(204)?;
    Ok(())
}

fn cancelled_session_has_no_status(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    scene.delete(&upload.target)?.status(204)?;
    scene.get(&upload.target)?.refused(404, NO_SESSION)
}

fn cancelled_session_takes_no_bytes(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    scene.delete(&upload.target)?.status(204)?;
    scene
        .send(chunk(&upload.target, 0, &bytes))?
        .refused(404, NO_SESSION)?;
    let put = Request::put(upload.closing(&scene.digest(&bytes))).octets();
    scene.send(put.sized(bytes))?.refused(404, NO_SESSION)
}

fn cancel_of_an_unknown_session_is_404(scene: &Scene<'_>) -> Outcome {
    let target = unknown_session(scene)?;
    scene.delete(target)?.refused(404, NO_SESSION)
}

fn status_of_an_unknown_session_is_404(scene: &Scene<'_>) -> Outcome {
    let target = unknown_session(scene)?;
    scene.get(target)?.refused(404, NO_SESSION)
}

fn patch_of_an_unknown_session_is_404(scene: &Scene<'_>) -> Outcome {
    let target = unknown_session(scene)?;
    scene
        .send(chunk(&target, 0, &scene.bytes(512)))?
        .refused(404, NO_SESSION)
}

fn put_of_an_unknown_session_is_404(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let parameter = format!("digest={}", scene.digest(&bytes).in_query());
    let target = with_query(&unknown_session(scene)?, &parameter);
    let put = Request::put(target).octets().sized(bytes);
    scene.send(put)?.refused(404, NO_SESSION)
}

fn finished_session_has_no_status(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(512);
    let put = Request::put(upload.closing(&scene.digest(&bytes))).octets();
    scene.send(put.sized(bytes))?.status(201)?;
    scene.get(&upload.target)?.refused(404, NO_SESSION)
}

fn session_belongs_to_its_repository(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let target = upload.target.replacen(&scene.repo, &scene.other, 1);
    scene.get(target)?.status_in(&[400, 404])?;
    Ok(())
}
