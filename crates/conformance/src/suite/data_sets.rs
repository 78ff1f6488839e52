//! Each data set pushed, listed, read, referred to and deleted again.

use serde_json::Value;

use super::Test;
use super::shapes::{DataSet, Piece, SHAPES, Shape};
use crate::check::{Failure, Outcome};
use crate::http::Request;
use crate::manifest::{INDEX, Manifest};
use crate::scene::{Scene, is_manifest, is_manifest_head};

/// What is done with a set, and for which sets.
struct Step {
    name: &'static str,
    wanted: fn(&Shape) -> bool,
    run: fn(&Scene<'_>, &DataSet) -> Outcome,
}

const STEPS: &[Step] = &[
    Step {
        name: "push_by_digest_is_201",
        wanted: |_| true,
        run: push_by_digest,
    },
    Step {
        name: "push_by_tag_is_201",
        wanted: |shape| shape.has_tags,
        run: push_by_tag,
    },
    Step {
        name: "push_by_digest_names_the_subject",
        wanted: |shape| shape.has_referrers,
        run: push_by_digest_names_the_subject,
    },
    Step {
        name: "push_by_tag_names_the_subject",
        wanted: |shape| shape.has_referrers && shape.has_tags,
        run: push_by_tag_names_the_subject,
    },
    Step {
        name: "tags_are_listed",
        wanted: |shape| shape.has_tags,
        run: tags_are_listed,
    },
    Step {
        name: "tags_after_last_are_listed",
        wanted: |shape| shape.has_tags,
        run: tags_after_last_are_listed,
    },
    Step {
        name: "head_by_digest_describes_it",
        wanted: |_| true,
        run: head_by_digest,
    },
    Step {
        name: "head_by_tag_describes_it",
        wanted: |shape| shape.has_tags,
        run: head_by_tag,
    },
    Step {
        name: "get_by_digest_is_exact",
        wanted: |_| true,
        run: get_by_digest,
    },
    Step {
        name: "get_by_tag_is_exact",
        wanted: |shape| shape.has_tags,
        run: get_by_tag,
    },
    Step {
        name: "blobs_are_exact",
        wanted: |shape| shape.has_blobs,
        run: blobs_are_exact,
    },
    Step {
        name: "referrers_are_listed",
        wanted: |shape| shape.has_referrers,
        run: referrers_are_listed,
    },
    Step {
        name: "referrers_of_one_type_are_listed",
        wanted: |shape| shape.has_referrers,
        run: referrers_of_one_type_are_listed,
    },
    Step {
        name: "deleted_tags_are_gone",
        wanted: |shape| shape.has_tags,
        run: deleted_tags_are_gone,
    },
    Step {
        name: "deleted_manifests_are_gone",
        wanted: |_| true,
        run: deleted_manifests_are_gone,
    },
    Step {
        name: "deleted_blobs_are_gone",
        wanted: |shape| shape.has_blobs,
        run: deleted_blobs_are_gone,
    },
];

/// One test for every step of every set that it suits.
pub(super) fn tests() -> impl Iterator<Item = Test> {
    SHAPES.iter().flat_map(|shape| {
        STEPS
            .iter()
            .filter(move |step| (step.wanted)(shape))
            .map(move |step| Test {
                name: format!("data_sets/{}/{}", shape.name, step.name),
                algorithm: shape.algorithm,
                run: Box::new(move |scene| {
                    let mut set = DataSet::default();
                    (shape.build)(&mut set, scene);
                    for bytes in &set.blobs {
                        scene.given_blob(bytes)?;
                    }
                    (step.run)(scene, &set)
                }),
            })
    })
}

/// As the official suite pushes: without a length.
fn put(scene: &Scene<'_>, reference: &str, manifest: &Manifest) -> Request {
    Request::put(scene.manifest(reference))
        .header("Content-Type", manifest.media_type.as_str())
        .chunked(manifest.bytes.as_slice())
}

fn given(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    for piece in &set.pieces {
        let digest = piece.manifest.digest(scene.algorithm);
        scene.given_manifest(digest.as_str(), &piece.manifest)?;
        for tag in &piece.tags {
            scene.given_manifest(tag, &piece.manifest)?;
        }
    }
    Ok(())
}

fn each_tag(set: &DataSet, mut act: impl FnMut(&'static str, &Piece) -> Outcome) -> Outcome {
    set.pieces
        .iter()
        .flat_map(|piece| piece.tags.iter().map(move |tag| (*tag, piece)))
        .try_for_each(|(tag, piece)| act(tag, piece))
}

fn push_by_digest(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    for piece in &set.pieces {
        let digest = piece.manifest.digest(scene.algorithm);
        let pushed = scene.send(put(scene, digest.as_str(), &piece.manifest))?;
        scene.manifest_was_pushed(&pushed, &digest, &piece.manifest)?;
    }
    Ok(())
}

fn push_by_tag(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    for piece in &set.pieces {
        let digest = piece.manifest.digest(scene.algorithm);
        scene.given_manifest(digest.as_str(), &piece.manifest)?;
        for tag in &piece.tags {
            let pushed = scene.send(put(scene, tag, &piece.manifest))?;
            scene.manifest_was_pushed(&pushed, &digest, &piece.manifest)?;
        }
    }
    Ok(())
}

/// `OCI-Subject` tells the client that it need not maintain a fallback tag.
fn names_the_subject(scene: &Scene<'_>, reference: &str, piece: &Piece) -> Outcome {
    let pushed = scene.send(put(scene, reference, &piece.manifest))?;
    pushed.status(201)?;
    match &piece.subject {
        Some(subject) => pushed.header_is("OCI-Subject", subject.as_str())?,
        None => pushed.require(
            pushed.answer.header("OCI-Subject").is_none(),
            "no OCI-Subject for a manifest without subject",
        )?,
    };
    Ok(())
}

fn push_by_digest_names_the_subject(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    set.pieces.iter().try_for_each(|piece| {
        let digest = piece.manifest.digest(scene.algorithm);
        names_the_subject(scene, digest.as_str(), piece)
    })
}

fn push_by_tag_names_the_subject(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    each_tag(set, |tag, piece| names_the_subject(scene, tag, piece))
}

fn sorted_tags(set: &DataSet) -> Vec<&'static str> {
    let mut tags: Vec<_> = set.pieces.iter().flat_map(|piece| piece.tags.clone()).collect();
    tags.sort_unstable();
    tags
}

/// These tags and no others; their order is a matter of the group `tags`.
fn list_is(scene: &Scene<'_>, target: &str, wanted: &[&str]) -> Outcome {
    let listed = scene.get(target)?;
    let document = listed.status(200)?.json()?;
    let mut tags: Option<Vec<_>> = document["tags"]
        .as_array()
        .and_then(|tags| tags.iter().map(Value::as_str).collect());
    if let Some(tags) = &mut tags {
        tags.sort_unstable();
    }
    listed.require(tags.as_deref() == Some(wanted), format_args!("tags {wanted:?}"))?;
    Ok(())
}

fn tags_are_listed(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    list_is(scene, &scene.tags(), &sorted_tags(set))
}

fn tags_after_last_are_listed(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    let tags = sorted_tags(set);
    let half = (tags.len() - 1) / 2;
    let target = format!("{}?last={}", scene.tags(), tags[half]);
    list_is(scene, &target, &tags[half + 1..])
}

fn head_by_digest(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    set.pieces.iter().try_for_each(|piece| {
        let digest = piece.manifest.digest(scene.algorithm);
        let head = scene.head_manifest(scene.manifest(digest.as_str()))?;
        is_manifest_head(&head, &digest, &piece.manifest)
    })
}

fn head_by_tag(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    each_tag(set, |tag, piece| {
        let digest = piece.manifest.digest(scene.algorithm);
        let head = scene.head_manifest(scene.manifest(tag))?;
        is_manifest_head(&head, &digest, &piece.manifest)
    })
}

fn get_by_digest(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    set.pieces.iter().try_for_each(|piece| {
        let digest = piece.manifest.digest(scene.algorithm);
        let get = scene.get_manifest(scene.manifest(digest.as_str()))?;
        is_manifest(&get, &digest, &piece.manifest)
    })
}

fn get_by_tag(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    each_tag(set, |tag, piece| {
        let digest = piece.manifest.digest(scene.algorithm);
        let get = scene.get_manifest(scene.manifest(tag))?;
        is_manifest(&get, &digest, &piece.manifest)
    })
}

fn blobs_are_exact(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    set.blobs
        .iter()
        .try_for_each(|bytes| scene.blob_is_stored(&scene.digest(bytes), bytes))
}

/// Every wanted field stands in the listed descriptor with the wanted value.
fn describes(listed: &Value, wanted: &Value) -> bool {
    wanted
        .as_object()
        .is_some_and(|fields| fields.iter().all(|(name, value)| listed[name] == *value))
}

fn referrers_are_listed(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    for (subject, wanted) in &set.referrers {
        let answer = scene.get(scene.referrers(subject))?;
        answer.status(200)?.header_is("Content-Type", INDEX)?;
        let document = answer.json()?;
        let listed = document["manifests"].as_array();
        answer.require(
            listed.is_some_and(|listed| listed.iter().any(|entry| describes(entry, wanted))),
            format_args!("a referrer {wanted}"),
        )?;
        let count = set.referrers.iter().filter(|(at, _)| at == subject).count();
        answer.require(
            listed.is_some_and(|listed| listed.len() == count),
            format_args!("{count} referrers"),
        )?;
    }
    Ok(())
}

fn referrers_of_one_type_are_listed(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    for (subject, wanted) in &set.referrers {
        let kind = wanted["artifactType"]
            .as_str()
            .ok_or_else(|| Failure("a data set without artifactType".to_owned()))?;
        let target = format!(
            "{}?artifactType={}",
            scene.referrers(subject),
            crate::auth::percent_encode(kind)
        );
        let answer = scene.get(target)?;
        answer
            .status(200)?
            .header_is("OCI-Filters-Applied", "artifactType")?;
        let document = answer.json()?;
        let listed = document["manifests"].as_array();
        answer.require(
            listed.is_some_and(|listed| listed.len() == 1 && describes(&listed[0], wanted)),
            format_args!("only the referrer {wanted}"),
        )?;
    }
    Ok(())
}

fn delete_tags(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    each_tag(set, |tag, _| {
        scene.delete(scene.manifest(tag))?.status(202)?;
        scene.head_manifest(scene.manifest(tag))?.status(404)?;
        Ok(())
    })
}

/// Parents go before the children that they name.
fn delete_manifests(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    set.pieces.iter().rev().try_for_each(|piece| {
        let digest = piece.manifest.digest(scene.algorithm);
        scene.delete(scene.manifest(digest.as_str()))?.status(202)?;
        scene
            .head_manifest(scene.manifest(digest.as_str()))?
            .status(404)?;
        Ok(())
    })
}

fn deleted_tags_are_gone(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    delete_tags(scene, set)?;
    list_is(scene, &scene.tags(), &[])
}

fn deleted_manifests_are_gone(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    delete_manifests(scene, set)?;
    each_tag(set, |tag, _| {
        scene.head_manifest(scene.manifest(tag))?.status(404)?;
        Ok(())
    })
}

fn deleted_blobs_are_gone(scene: &Scene<'_>, set: &DataSet) -> Outcome {
    given(scene, set)?;
    delete_manifests(scene, set)?;
    let mut digests: Vec<_> = set.blobs.iter().map(|bytes| scene.digest(bytes)).collect();
    digests.sort();
    digests.dedup();
    for digest in &digests {
        scene.delete(scene.blob(digest))?.status(202)?;
        scene.head(scene.blob(digest))?.status(404)?;
    }
    Ok(())
}
