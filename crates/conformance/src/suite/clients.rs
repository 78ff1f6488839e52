//! Habits of real clients that the specification does not spell out.

use super::{Table, table};
use crate::check::{Failure, Outcome};
use crate::http::Request;
use crate::manifest::{IMAGE, INDEX};
use crate::scene::{Scene, accepting, is_manifest, is_manifest_head, put_manifest};

pub(super) const TESTS: Table = table![
    skopeo_patches_without_a_content_range,
    docker_streams_in_chunked_encoding,
    docker_pushes_and_pulls_an_image,
    containerd_finds_the_digest_in_answers_to_puts,
    containerd_puts_the_digest_before_other_parameters,
    containerd_accepts_its_type_or_anything,
    anything_may_be_accepted,
    containerd_names_the_mirrored_registry_with_ns,
    skopeo_sends_six_accept_headers,
    skopeo_names_the_api_version,
    oras_resolves_a_tag_by_head,
    curl_names_no_type_that_it_accepts,
    ollama_follows_the_location_of_a_blob,
    digest_with_an_escaped_colon_names_a_blob,
    digest_with_an_escaped_colon_names_a_manifest,
    digest_with_a_plain_colon_ends_an_upload,
    blob_without_a_content_type_is_taken,
    header_names_in_any_case_are_read,
    body_held_back_for_100_continue_is_taken,
    chunk_extensions_and_trailers_are_read,
    head_and_get_share_a_connection,
    connection_goes_on_after_a_refusal,
    push_and_pull_share_a_connection,
];

fn skopeo_patches_without_a_content_range(scene: &Scene<'_>) -> Outcome {
    let mut upload = scene.open_upload()?;
    let bytes = scene.bytes(700);
    let digest = scene.digest(&bytes);
    let patch = Request::patch(&upload.target).octets().sized(bytes.as_slice());
    let sent = scene.send(patch)?;
    upload.target = sent.status(202)?.header_is("Range", "0-699")?.location()?;
    let pushed = scene.send(Request::put(upload.closing(&digest)).sized([]))?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

/// Longer than one chunk of the encoding, and without a Content-Type.
fn docker_streams_in_chunked_encoding(scene: &Scene<'_>) -> Outcome {
    let mut upload = scene.open_upload()?;
    let bytes = scene.bytes(100_000);
    let digest = scene.digest(&bytes);
    let sent = scene.send(Request::patch(&upload.target).chunked(bytes.as_slice()))?;
    upload.target = sent.status(202)?.header_is("Range", "0-99999")?.location()?;
    let pushed = scene.send(Request::put(upload.closing(&digest)).sized([]))?;
    scene.blob_was_pushed(&pushed, &digest, &bytes)
}

fn docker_pushes_and_pulls_an_image(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let digest = image.digest(scene.algorithm);
    scene.head_manifest(scene.manifest("v1"))?.status(404)?;
    scene
        .send(put_manifest(&scene.manifest("v1"), &image))?
        .status(201)?
        .digest_is(&digest)?;
    let head = scene.head_manifest(scene.manifest("v1"))?;
    is_manifest_head(&head, &digest, &image)?;
    let get = scene.get_manifest(scene.manifest(digest.as_str()))?;
    is_manifest(&get, &digest, &image)
}

/// Without the digest containerd gives up a push that has in truth succeeded.
fn containerd_finds_the_digest_in_answers_to_puts(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let put = Request::put(upload.closing(&digest)).octets().sized(bytes);
    scene.send(put)?.status(201)?.digest_is(&digest)?;
    let image = scene.small_image()?;
    scene
        .send(put_manifest(&scene.manifest("v1"), &image))?
        .status(201)?
        .digest_is(&image.digest(scene.algorithm))?;
    Ok(())
}

/// Go writes the parameters of a query in alphabetical order.
fn containerd_puts_the_digest_before_other_parameters(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let (path, query) = upload.target.split_once('?').unwrap_or((&upload.target, ""));
    let target = format!("{path}?digest={}&{query}", digest.in_query());
    let put = Request::put(target).octets().sized(bytes.as_slice());
    scene.blob_was_pushed(&scene.send(put)?, &digest, &bytes)
}

fn containerd_accepts_its_type_or_anything(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let head = Request::head(scene.manifest("v1")).header("Accept", format!("{IMAGE}, */*"));
    is_manifest_head(&scene.send(head)?, &image.digest(scene.algorithm), &image)
}

fn anything_may_be_accepted(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let get = Request::get(scene.manifest("v1")).header("Accept", "*/*");
    is_manifest(&scene.send(get)?, &image.digest(scene.algorithm), &image)
}

fn containerd_names_the_mirrored_registry_with_ns(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let digest = image.digest(scene.algorithm);
    for reference in ["v1", digest.as_str()] {
        let target = format!("{}?ns=docker.io", scene.manifest(reference));
        is_manifest_head(&scene.head_manifest(&target)?, &digest, &image)?;
        is_manifest(&scene.get_manifest(&target)?, &digest, &image)?;
    }
    let bytes = scene.bytes(512);
    let blob = scene.given_blob(&bytes)?;
    scene
        .get(format!("{}?ns=registry.example.com%3A5000", scene.blob(&blob)))?
        .status(200)?
        .body_is(&bytes)?;
    Ok(())
}

fn skopeo_sends_six_accept_headers(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let mut get = Request::get(scene.manifest("v1"));
    for kind in [
        IMAGE,
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        INDEX,
    ] {
        get = get.header("Accept", kind);
    }
    is_manifest(&scene.send(get)?, &image.digest(scene.algorithm), &image)
}

fn skopeo_names_the_api_version(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let get = accepting(Request::get(scene.manifest("v1")))
        .header("Docker-Distribution-Api-Version", "registry/2.0");
    is_manifest(&scene.send(get)?, &image.digest(scene.algorithm), &image)
}

fn oras_resolves_a_tag_by_head(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    scene
        .head_manifest(scene.manifest("v1"))?
        .status(200)?
        .header_is("Content-Type", IMAGE)?
        .length_is(image.bytes.len())?
        .digest_is(&image.digest(scene.algorithm))?;
    Ok(())
}

fn curl_names_no_type_that_it_accepts(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let got = scene.get(scene.manifest("v1"))?;
    is_manifest(&got, &image.digest(scene.algorithm), &image)
}

/// It takes the header for a redirect and reads the blob from where it leads.
fn ollama_follows_the_location_of_a_blob(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    let location = scene.get(scene.blob(&digest))?.status(200)?.location()?;
    let part = Request::get(location).header("Range", "bytes=0-99");
    scene.send(part)?.status(206)?.body_is(&bytes[..100])?;
    Ok(())
}

fn digest_with_an_escaped_colon_names_a_blob(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    for colon in ["%3A", "%3a"] {
        let target = scene.blob(&digest).replace(':', colon);
        scene.head(&target)?.status(200)?.digest_is(&digest)?;
        scene.get(&target)?.status(200)?.body_is(&bytes)?;
    }
    Ok(())
}

fn digest_with_an_escaped_colon_names_a_manifest(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let digest = image.digest(scene.algorithm);
    let target = scene.manifest(digest.as_str()).replace(':', "%3A");
    let pushed = scene.send(put_manifest(&target, &image))?;
    scene.manifest_was_pushed(&pushed, &digest, &image)?;
    is_manifest(&scene.get_manifest(&target)?, &digest, &image)
}

fn digest_with_a_plain_colon_ends_an_upload(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let target = upload.closing(&digest).replace("%3A", ":");
    let put = Request::put(target).octets().sized(bytes.as_slice());
    scene.blob_was_pushed(&scene.send(put)?, &digest, &bytes)
}

fn blob_without_a_content_type_is_taken(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let put = Request::put(upload.closing(&digest)).sized(bytes.as_slice());
    scene.blob_was_pushed(&scene.send(put)?, &digest, &bytes)
}

fn header_names_in_any_case_are_read(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let put = Request::put(scene.manifest("v1"))
        .header("cOnTeNt-TyPe", IMAGE)
        .header("CONTENT-LENGTH", image.bytes.len().to_string())
        .framed(image.bytes.as_slice());
    let pushed = scene.send(put)?;
    scene.manifest_was_pushed(&pushed, &image.digest(scene.algorithm), &image)
}

fn body_held_back_for_100_continue_is_taken(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(512);
    let digest = scene.digest(&bytes);
    let put = Request::put(upload.closing(&digest))
        .octets()
        .sized(bytes.as_slice())
        .expecting_continue();
    scene.blob_was_pushed(&scene.send(put)?, &digest, &bytes)
}

/// RFC 9112, section 7.1: a recipient ignores extensions and may drop trailers.
fn chunk_extensions_and_trailers_are_read(scene: &Scene<'_>) -> Outcome {
    let mut upload = scene.open_upload()?;
    let patch = Request::patch(&upload.target)
        .octets()
        .header("Transfer-Encoding", "chunked")
        .framed(*b"5;name=value\r\nhello\r\n00A\r\n, registry\r\n0\r\nX-Trailer: 1\r\n\r\n");
    upload.target = scene.send(patch)?.status(202)?.location()?;
    let bytes = b"hello, registry";
    let digest = scene.digest(bytes);
    let pushed = scene.send(Request::put(upload.closing(&digest)).sized([]))?;
    scene.blob_was_pushed(&pushed, &digest, bytes)
}

/// Runs requests on one connection; each must get the answer meant for it.
fn in_turn(scene: &Scene<'_>, requests: Vec<Request>, wanted: &[(u16, Option<&[u8]>)]) -> Outcome {
    let exchanges = scene.client.send_in_turn(requests)?;
    if exchanges.len() != wanted.len() {
        return Err(Failure("fewer answers than requests".to_owned()));
    }
    for (exchange, (status, body)) in exchanges.iter().zip(wanted) {
        exchange.status(*status)?;
        if let Some(body) = body {
            exchange.body_is(body)?;
        }
    }
    Ok(())
}

/// A HEAD answered with bytes would shift every answer after it.
fn head_and_get_share_a_connection(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    let target = scene.blob(&digest);
    let requests = vec![
        Request::head(&target),
        Request::get(&target),
        Request::head(scene.blob(&scene.unknown_digest())),
        Request::get(&target).header("Range", "bytes=0-9"),
        Request::get(&target),
    ];
    let wanted: [(u16, Option<&[u8]>); 5] = [
        (200, Some(b"")),
        (200, Some(&bytes)),
        (404, Some(b"")),
        (206, Some(&bytes[..10])),
        (200, Some(&bytes)),
    ];
    in_turn(scene, requests, &wanted)
}

fn connection_goes_on_after_a_refusal(scene: &Scene<'_>) -> Outcome {
    let bytes = scene.bytes(512);
    let digest = scene.given_blob(&bytes)?;
    let requests = vec![
        Request::get(scene.blob(&scene.unknown_digest())),
        put_manifest(
            &scene.manifest("v1"),
            &crate::manifest::Manifest {
                media_type: IMAGE.to_owned(),
                bytes: b"no manifest".to_vec(),
            },
        ),
        Request::get(scene.blob(&digest)),
    ];
    in_turn(scene, requests, &[(404, None), (400, None), (200, Some(&bytes))])
}

fn push_and_pull_share_a_connection(scene: &Scene<'_>) -> Outcome {
    let upload = scene.open_upload()?;
    let bytes = scene.bytes(100_000);
    let digest = scene.digest(&bytes);
    let requests = vec![
        Request::put(upload.closing(&digest))
            .octets()
            .chunked(bytes.as_slice()),
        Request::head(scene.blob(&digest)),
        Request::get(scene.blob(&digest)),
    ];
    in_turn(
        scene,
        requests,
        &[(201, None), (200, Some(b"")), (200, Some(&bytes))],
    )
}
