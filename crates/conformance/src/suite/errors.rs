//! Requests that are wrong: each gets the specification's error, never a 500.

use serde_json::Value;

use super::{Table, table};
use crate::check::{Failure, Outcome};
use crate::http::Request;
use crate::scene::{Scene, put_manifest, with_query};

pub(super) const TESTS: Table = table![
    body_lists_errors_with_codes_and_messages,
    malformed_digest_of_a_blob_is_400_digest_invalid,
    malformed_digest_of_a_blob_is_400_to_head,
    malformed_digest_at_the_end_of_an_upload_is_400,
    malformed_digest_of_a_single_post_is_400,
    malformed_digest_of_a_mount_is_400,
    malformed_digest_of_a_manifest_push_is_400,
    malformed_digest_of_a_manifest_is_not_found,
    invalid_repository_name_is_refused,
    push_to_an_invalid_repository_name_is_refused,
    name_that_climbs_out_is_refused,
    invalid_tag_is_refused,
    tag_of_129_characters_is_refused,
    unknown_route_is_404,
    wrong_method_is_refused,
    path_of_ten_thousand_bytes_is_refused,
];

/// None is a digest: too short, too long, in capitals, of no known algorithm, not hex.
fn malformed_digests() -> Vec<String> {
    vec![
        "sha256:baddigeststring".to_owned(),
        format!("sha256:{}", "a".repeat(63)),
        format!("sha256:{}", "a".repeat(65)),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}", "g".repeat(64)),
        format!("sha512:{}", "a".repeat(64)),
        format!("md5:{}", "a".repeat(32)),
    ]
}

fn each_malformed(act: impl Fn(&str) -> Outcome) -> Outcome {
    malformed_digests().iter().try_for_each(|digest| act(digest))
}

fn body_lists_errors_with_codes_and_messages(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    let refused = scene.get_manifest(scene.manifest("v2"))?;
    let document = refused.status(404)?.json()?;
    let errors = document["errors"].as_array().filter(|all| !all.is_empty());
    let all_are_errors = errors.is_some_and(|errors| {
        errors.iter().all(|error| {
            let code = error["code"].as_str().unwrap_or_default();
            let words = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            !code.is_empty() && code.bytes().all(words) && matches!(error["message"], Value::String(_))
        })
    });
    refused.require(all_are_errors, "errors, each with a code and a message")?;
    Ok(())
}

fn malformed_digest_of_a_blob_is_400_digest_invalid(scene: &Scene<'_>) -> Outcome {
    each_malformed(|digest| {
        scene
            .get(format!("/v2/{}/blobs/{digest}", scene.repo))?
            .refused(400, &["DIGEST_INVALID"])
    })
}

fn malformed_digest_of_a_blob_is_400_to_head(scene: &Scene<'_>) -> Outcome {
    each_malformed(|digest| {
        scene
            .head(format!("/v2/{}/blobs/{digest}", scene.repo))?
            .status(400)?
            .body_is(b"")?;
        Ok(())
    })
}

fn malformed_digest_at_the_end_of_an_upload_is_400(scene: &Scene<'_>) -> Outcome {
    each_malformed(|digest| {
        let upload = scene.open_upload()?;
        let target = with_query(&upload.target, &format!("digest={digest}"));
        let put = Request::put(target).octets().sized(scene.bytes(512));
        scene.send(put)?.refused(400, &["DIGEST_INVALID"])
    })
}

fn malformed_digest_of_a_single_post_is_400(scene: &Scene<'_>) -> Outcome {
    each_malformed(|digest| {
        let target = with_query(&scene.uploads(), &format!("digest={digest}"));
        let post = Request::post(target).octets().sized(scene.bytes(512));
        scene.send(post)?.refused(400, &["DIGEST_INVALID"])
    })
}

fn malformed_digest_of_a_mount_is_400(scene: &Scene<'_>) -> Outcome {
    each_malformed(|digest| {
        let query = format!("mount={digest}&from={}", scene.other);
        let post = Request::post(with_query(&scene.uploads(), &query));
        scene.send(post)?.refused(400, &["DIGEST_INVALID"])
    })
}

fn malformed_digest_of_a_manifest_push_is_400(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    each_malformed(|digest| {
        scene
            .send(put_manifest(&scene.manifest(digest), &image))?
            .refused(400, &["DIGEST_INVALID"])
    })
}

fn malformed_digest_of_a_manifest_is_not_found(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    each_malformed(|digest| {
        scene
            .get_manifest(scene.manifest(digest))?
            .status_in(&[400, 404])?;
        Ok(())
    })
}

const INVALID_NAMES: &[&str] = &[
    "Capital/name",
    "a//b",
    "/a",
    "a/",
    "-a",
    "a-",
    "a..b",
    "a___b",
    ".a",
    "_a",
    "a/_b",
    "a%20b",
    "a%00b",
    "a%0d%0ab",
    "%C3%A9",
    "a:b",
    "a@b",
];

fn invalid_repository_name_is_refused(scene: &Scene<'_>) -> Outcome {
    for name in INVALID_NAMES {
        let listed = scene.get(format!("/v2/{name}/tags/list"))?;
        if listed.answer.status == 404 {
            continue;
        }
        listed.refused(400, &["NAME_INVALID"])?;
    }
    Ok(())
}

fn push_to_an_invalid_repository_name_is_refused(scene: &Scene<'_>) -> Outcome {
    for name in INVALID_NAMES {
        let post = Request::post(format!("/v2/{name}/blobs/uploads/"));
        let answer = scene.send(post)?;
        if answer.answer.status == 404 {
            continue;
        }
        answer.refused(400, &["NAME_INVALID"])?;
    }
    Ok(())
}

fn name_that_climbs_out_is_refused(scene: &Scene<'_>) -> Outcome {
    for name in [
        "..",
        "a/../b",
        "%2e%2e",
        "a/%2e%2e/%2e%2e/b",
        "a%2f..%2fb",
        "..%5cb",
    ] {
        let post = Request::post(format!("/v2/{name}/blobs/uploads/"));
        scene.send(post)?.status_in(&[400, 404])?;
        let get = scene.get(format!("/v2/{name}/tags/list"))?;
        get.status_in(&[400, 404])?;
    }
    Ok(())
}

fn tag_is_refused(scene: &Scene<'_>, tag: &str) -> Outcome {
    let image = scene.small_image()?;
    scene
        .send(put_manifest(&scene.manifest(tag), &image))?
        .status_in(&[400, 404])?;
    scene.get_manifest(scene.manifest(tag))?.status_in(&[400, 404])?;
    Ok(())
}

fn invalid_tag_is_refused(scene: &Scene<'_>) -> Outcome {
    [".bad", "-bad", "a%20b", "a+b", "a%2Fb", "%C3%A9", "a%00"]
        .into_iter()
        .try_for_each(|tag| tag_is_refused(scene, tag))
}

fn tag_of_129_characters_is_refused(scene: &Scene<'_>) -> Outcome {
    tag_is_refused(scene, &"t".repeat(129))
}

fn unknown_route_is_404(scene: &Scene<'_>) -> Outcome {
    for path in ["layers", "tags", "blobs", "manifests", "tags/list/more"] {
        scene.get(format!("/v2/{}/{path}", scene.repo))?.status(404)?;
    }
    scene.get("/v3/")?.status(404)?;
    Ok(())
}

fn wrong_method_is_refused(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    let digest = image.digest(scene.algorithm);
    let requests = [
        Request::post(scene.manifest("v1")),
        Request::patch(scene.manifest(digest.as_str())).sized([]),
        Request::put(scene.blob(&digest)).sized([]),
        Request::delete(scene.tags()),
        Request::post(scene.referrers(&digest)),
        Request::delete("/v2/"),
    ];
    for request in requests {
        scene.send(request)?.status_in(&[404, 405])?;
    }
    Ok(())
}

fn path_of_ten_thousand_bytes_is_refused(scene: &Scene<'_>) -> Outcome {
    let answer = scene.get(format!("/v2/{}/tags/list", "a".repeat(10_000)))?;
    if [400, 404, 414, 431].contains(&answer.answer.status) {
        return Ok(());
    }
    Err(Failure(format!(
        "expected status 400, 404, 414 or 431 to a path of 10,000 bytes; came {}",
        answer.answer.status
    )))
}
