//! Ranges of a blob of 2,048 bytes.

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::digest::Digest;
use crate::http::Request;
use crate::scene::Scene;

pub(super) const TESTS: Table = table![
    middle_is_206,
    first_byte_is_206,
    last_byte_is_206,
    open_end_is_206,
    suffix_is_206,
    suffix_longer_than_the_blob_is_all_of_it,
    end_past_the_blob_is_clamped,
    partial_answer_names_the_digest,
    start_after_end_is_416,
    start_past_the_blob_is_416,
    start_at_the_length_is_416,
    empty_suffix_is_416,
    unsatisfiable_range_names_the_length,
    unknown_unit_is_200_with_all_of_it,
    several_ranges_are_answered_whole_or_in_parts,
    get_says_that_ranges_are_taken,
    head_says_that_ranges_are_taken,
    range_of_a_missing_blob_is_404,
    pieces_fetched_side_by_side_make_the_blob,
];

const SIZE: usize = 2048;

fn stored(scene: &Scene<'_>) -> Result<(Vec<u8>, Digest), Failure> {
    let bytes = scene.bytes(SIZE);
    let digest = scene.given_blob(&bytes)?;
    Ok((bytes, digest))
}

fn ranged(scene: &Scene<'_>, digest: &Digest, range: &str) -> Result<Exchange, Failure> {
    scene.send(Request::get(scene.blob(digest)).header("Range", range))
}

/// The answer is exactly the bytes from `first` to `last`.
fn is_part(exchange: &Exchange, bytes: &[u8], first: usize, last: usize) -> Outcome {
    let range = exchange.status(206)?.header("Content-Range")?;
    let wanted = format!("bytes {first}-{last}/");
    let total = range.strip_prefix(wanted.as_str());
    exchange
        .require(
            total.is_some_and(|total| total == "*" || total == SIZE.to_string()),
            format_args!("Content-Range: {wanted}{SIZE}"),
        )?
        .length_is(last + 1 - first)?
        .body_is(&bytes[first..=last])?;
    Ok(())
}

fn range_is(scene: &Scene<'_>, range: &str, first: usize, last: usize) -> Outcome {
    let (bytes, digest) = stored(scene)?;
    is_part(&ranged(scene, &digest, range)?, &bytes, first, last)
}

fn range_is_416(scene: &Scene<'_>, range: &str) -> Outcome {
    let (_, digest) = stored(scene)?;
    ranged(scene, &digest, range)?.status(416)?;
    Ok(())
}

fn middle_is_206(scene: &Scene<'_>) -> Outcome {
    range_is(scene, "bytes=500-1499", 500, 1499)
}

fn first_byte_is_206(scene: &Scene<'_>) -> Outcome {
    range_is(scene, "bytes=0-0", 0, 0)
}

fn last_byte_is_206(scene: &Scene<'_>) -> Outcome {
    range_is(scene, "bytes=2047-2047", 2047, 2047)
}

fn open_end_is_206(scene: &Scene<'_>) -> Outcome {
    range_is(scene, "bytes=500-", 500, 2047)
}

fn suffix_is_206(scene: &Scene<'_>) -> Outcome {
    range_is(scene, "bytes=-500", 1548, 2047)
}

/// RFC 9110, section 14.1.2: the whole representation is used.
fn suffix_longer_than_the_blob_is_all_of_it(scene: &Scene<'_>) -> Outcome {
    let (bytes, digest) = stored(scene)?;
    let whole = ranged(scene, &digest, "bytes=-5000")?;
    whole.status_in(&[200, 206])?.body_is(&bytes)?;
    Ok(())
}

fn end_past_the_blob_is_clamped(scene: &Scene<'_>) -> Outcome {
    range_is(scene, "bytes=2000-5000", 2000, 2047)
}

fn partial_answer_names_the_digest(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = stored(scene)?;
    ranged(scene, &digest, "bytes=500-1499")?
        .status(206)?
        .digest_is(&digest)?;
    Ok(())
}

/// RFC 9110 would let a server ignore such a range; the official suite does not.
fn start_after_end_is_416(scene: &Scene<'_>) -> Outcome {
    range_is_416(scene, "bytes=500-0")
}

fn start_past_the_blob_is_416(scene: &Scene<'_>) -> Outcome {
    range_is_416(scene, "bytes=5000-10000")
}

fn start_at_the_length_is_416(scene: &Scene<'_>) -> Outcome {
    range_is_416(scene, "bytes=2048-")
}

fn empty_suffix_is_416(scene: &Scene<'_>) -> Outcome {
    range_is_416(scene, "bytes=-0")
}

fn unsatisfiable_range_names_the_length(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = stored(scene)?;
    ranged(scene, &digest, "bytes=5000-10000")?
        .status(416)?
        .header_is("Content-Range", "bytes */2048")?;
    Ok(())
}

fn unknown_unit_is_200_with_all_of_it(scene: &Scene<'_>) -> Outcome {
    let (bytes, digest) = stored(scene)?;
    ranged(scene, &digest, "pages=1-2")?
        .status(200)?
        .length_is(SIZE)?
        .body_is(&bytes)?;
    Ok(())
}

fn several_ranges_are_answered_whole_or_in_parts(scene: &Scene<'_>) -> Outcome {
    let (bytes, digest) = stored(scene)?;
    let answer = ranged(scene, &digest, "bytes=0-9,100-109")?;
    if answer.answer.status == 200 {
        answer.body_is(&bytes)?;
        return Ok(());
    }
    let kind = answer.status(206)?.header("Content-Type")?;
    answer.require(
        kind.starts_with("multipart/byteranges; boundary="),
        "multipart/byteranges",
    )?;
    let holds = |part: &[u8]| answer.answer.body.windows(part.len()).any(|at| at == part);
    answer.require(
        holds(&bytes[..10]) && holds(&bytes[100..110]),
        "both ranges in the body",
    )?;
    Ok(())
}

fn get_says_that_ranges_are_taken(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = stored(scene)?;
    scene
        .get(scene.blob(&digest))?
        .status(200)?
        .header_is("Accept-Ranges", "bytes")?;
    Ok(())
}

fn head_says_that_ranges_are_taken(scene: &Scene<'_>) -> Outcome {
    let (_, digest) = stored(scene)?;
    scene
        .head(scene.blob(&digest))?
        .status(200)?
        .header_is("Accept-Ranges", "bytes")?;
    Ok(())
}

fn range_of_a_missing_blob_is_404(scene: &Scene<'_>) -> Outcome {
    stored(scene)?;
    ranged(scene, &scene.unknown_digest(), "bytes=0-9")?.refused(404, &["BLOB_UNKNOWN"])
}

/// As containerd fetches a large layer.
fn pieces_fetched_side_by_side_make_the_blob(scene: &Scene<'_>) -> Outcome {
    let (bytes, digest) = stored(scene)?;
    let (client, target) = (scene.client, scene.blob(&digest));
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..4)
            .map(|place| (place * SIZE / 4, (place + 1) * SIZE / 4 - 1))
            .map(|(first, last)| {
                let request = Request::get(&target).header("Range", format!("bytes={first}-{last}"));
                (first, last, scope.spawn(move || client.send(request)))
            })
            .collect();
        for (first, last, fetch) in fetches {
            let fetched = fetch
                .join()
                .map_err(|_| Failure("a fetching thread panicked".to_owned()))??;
            is_part(&fetched, &bytes, first, last)?;
        }
        Ok(())
    })
}
