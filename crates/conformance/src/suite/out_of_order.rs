//! Chunks that do not begin where the stored bytes end, and sessions that survive them.

use super::{Table, table};
use crate::check::{Failure, Outcome};
use crate::http::Request;
use crate::scene::{Scene, Upload, chunk, last_chunk};

pub(super) const TESTS: Table = table![
    first_chunk_that_skips_ahead_is_416,
    later_chunk_that_skips_ahead_is_416,
    put_of_a_chunk_that_skips_ahead_is_416,
    put_of_a_chunk_that_goes_back_is_416,
    status_after_a_refused_first_chunk_is_204,
    status_after_a_refused_chunk_is_what_is_stored,
    status_after_a_refused_put_is_what_is_stored,
    status_at_the_url_of_a_refused_put_is_204,
    every_bad_chunk_before_a_good_one_leaves_the_session_usable,
    every_bad_put_before_a_good_one_leaves_the_session_usable,
];

/// A session that holds its first chunk, and that chunk.
fn begun(scene: &Scene<'_>) -> Result<(Upload, Vec<u8>), Failure> {
    let mut upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let sent = scene.send(chunk(&upload.target, 0, &bytes))?;
    upload.target = sent.status(202)?.location()?;
    Ok((upload, bytes))
}

/// The session's status says that it holds the first `stored` bytes; its Location goes on.
fn holds(scene: &Scene<'_>, target: &str, stored: usize) -> Result<String, Failure> {
    let status = scene.get(target)?;
    status.status(204)?;
    if stored > 0 {
        status.header_is("Range", &format!("0-{}", stored - 1))?;
    } else {
        let range = status.header("Range")?;
        status.require(["0-0", "0--1"].contains(&range), "Range: 0-0")?;
    }
    status.location()
}

fn first_chunk_that_skips_ahead_is_416(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    scene
        .send(chunk(&upload.target, bytes.len(), &bytes))?
        .status(416)?;
    Ok(())
}

fn later_chunk_that_skips_ahead_is_416(scene: &Scene<'_>) -> Outcome {
    let (upload, bytes) = begun(scene)?;
    scene
        .send(chunk(&upload.target, 2 * bytes.len(), &bytes))?
        .status(416)?;
    Ok(())
}

fn put_of_a_chunk_that_skips_ahead_is_416(scene: &Scene<'_>) -> Outcome {
    let (upload, bytes) = begun(scene)?;
    let target = upload.closing(&scene.digest(&bytes));
    scene
        .send(last_chunk(target, 2 * bytes.len(), &bytes))?
        .status(416)?;
    Ok(())
}

fn put_of_a_chunk_that_goes_back_is_416(scene: &Scene<'_>) -> Outcome {
    let (upload, bytes) = begun(scene)?;
    let target = upload.closing(&scene.digest(&bytes));
    scene.send(last_chunk(target, 0, &bytes))?.status(416)?;
    Ok(())
}

fn status_after_a_refused_first_chunk_is_204(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(upload.chunk_bytes);
    let bad = chunk(&upload.target, bytes.len(), &bytes);
    scene.send(bad)?.status(416)?;
    holds(scene, &upload.target, 0)?;
    Ok(())
}

fn status_after_a_refused_chunk_is_what_is_stored(scene: &Scene<'_>) -> Outcome {
    let (upload, bytes) = begun(scene)?;
    let bad = chunk(&upload.target, 2 * bytes.len(), &bytes);
    scene.send(bad)?.status(416)?;
    holds(scene, &upload.target, bytes.len())?;
    Ok(())
}

fn status_after_a_refused_put_is_what_is_stored(scene: &Scene<'_>) -> Outcome {
    let (upload, bytes) = begun(scene)?;
    let target = upload.closing(&scene.digest(&bytes));
    scene.send(last_chunk(target, 0, &bytes))?.status(416)?;
    holds(scene, &upload.target, bytes.len())?;
    Ok(())
}

/// The official suite asks for the status with `?digest=` still in the URL.
fn status_at_the_url_of_a_refused_put_is_204(scene: &Scene<'_>) -> Outcome {
    let (upload, bytes) = begun(scene)?;
    let target = upload.closing(&scene.digest(&bytes));
    scene.send(last_chunk(target.clone(), 0, &bytes))?.status(416)?;
    holds(scene, &target, bytes.len())?;
    Ok(())
}

fn every_bad_chunk_before_a_good_one_leaves_the_session_usable(scene: &Scene<'_>) -> Outcome {
    let mut upload = scene.open_upload()?;
    let size = upload.chunk_bytes;
    let bytes = scene.bytes(3 * size);
    for (place, piece) in bytes.chunks(size).enumerate() {
        let start = place * size;
        // Ahead while more is to come, back to the beginning at the last.
        let wrong = if place == 2 { 0 } else { start + size };
        let bad = chunk(&upload.target, wrong, &bytes[wrong..wrong + size]);
        scene.send(bad)?.status(416)?;
        upload.target = holds(scene, &upload.target, start)?;
        let sent = scene.send(chunk(&upload.target, start, piece))?;
        upload.target = sent.status(202)?.location()?;
    }
    let digest = scene.digest(&bytes);
    let pushed = scene.send(Request::put(upload.closing(&digest)).sized([]))?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn every_bad_put_before_a_good_one_leaves_the_session_usable(scene: &Scene<'_>) -> Outcome {
    let (mut upload, first) = begun(scene)?;
    let second = scene.bytes(first.len());
    let bytes = [first.as_slice(), second.as_slice()].concat();
    let digest = scene.digest(&bytes);
    for wrong in [0, 2 * first.len()] {
        let bad = last_chunk(upload.closing(&digest), wrong, &second);
        scene.send(bad)?.status(416)?;
        upload.target = holds(scene, &upload.target, first.len())?;
    }
    let put = last_chunk(upload.closing(&digest), first.len(), &second);
    let pushed = scene.send(put)?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}
