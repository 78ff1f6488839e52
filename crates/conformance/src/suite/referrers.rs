//! Who refers to a manifest: empty lists, filters, paging and deletion.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::digest::{Algorithm, Digest};
use crate::manifest::{EMPTY_BLOB, IMAGE, INDEX, Manifest, artifact, descriptor};
use crate::scene::{Scene, put_manifest};

pub(super) const TESTS: Table = table![
    of_an_unknown_repository_are_an_empty_index,
    of_an_unknown_digest_are_an_empty_index,
    of_the_digest_of_zeros_are_an_empty_index,
    of_an_unknown_sha512_digest_are_an_empty_index,
    of_a_malformed_digest_are_400,
    pushed_before_their_subject_are_listed_after_it,
    of_a_sha512_subject_are_listed,
    without_a_match_for_the_filter_are_an_empty_index,
    filter_with_an_escaped_plus_is_applied,
    unfiltered_list_names_no_filter,
    deleted_referrer_is_not_listed,
    referrer_pushed_twice_is_listed_once,
    referrer_is_not_listed_in_another_repository,
    empty_artifact_type_falls_back_to_the_config,
    manifest_without_subject_names_none,
    list_of_250_is_complete_by_its_links,
    no_page_exceeds_four_mebibytes,
    pages_keep_the_filter,
];

const KIND: &str = "application/vnd.example.sig";

fn listed(page: &Exchange) -> Result<Vec<Value>, Failure> {
    page.status(200)?.header_is("Content-Type", INDEX)?;
    let mut document = page.json()?;
    page.require(
        document["schemaVersion"] == 2 && document["mediaType"] == INDEX,
        "an index of schemaVersion 2 that names its mediaType",
    )?;
    match document["manifests"].take() {
        Value::Array(entries) => Ok(entries),
        _ => Err(page.failure("a list of manifests")),
    }
}

fn is_empty_index(page: &Exchange) -> Outcome {
    let entries = listed(page)?;
    page.require(entries.is_empty(), "no referrers")?;
    Ok(())
}

/// Follows the links to the last page.
fn all_pages(scene: &Scene<'_>, first: String) -> Result<Vec<Value>, Failure> {
    let mut entries = Vec::new();
    let mut next = Some(first);
    while let Some(target) = next {
        let page = scene.get(target)?;
        let more = listed(&page)?;
        page.require(
            page.answer.body.len() <= 4 * 1024 * 1024,
            "a page of at most 4 MiB",
        )?;
        next = page.next_page()?;
        page.require(
            next.is_none() || !more.is_empty(),
            "no link to a next page from an empty one",
        )?;
        entries.extend(more);
    }
    Ok(entries)
}

/// The descriptor of an image that nobody pushed.
fn subject(scene: &Scene<'_>, algorithm: Algorithm) -> Value {
    descriptor(IMAGE, algorithm, &scene.bytes(500))
}

fn referrer(scene: &Scene<'_>, subject: &Value, kind: &str) -> Value {
    let mut document = artifact(kind, Algorithm::Sha256);
    document["subject"] = subject.clone();
    document["annotations"] = json!({ "unique": scene.unique() });
    document
}

/// Pushes a document by digest; the empty blob must be there.
fn push(scene: &Scene<'_>, document: &Value) -> Result<Digest, Failure> {
    let manifest = Manifest::of(document);
    let digest = manifest.digest(Algorithm::Sha256);
    scene.given_manifest(digest.as_str(), &manifest)?;
    Ok(digest)
}

fn of_an_unknown_repository_are_an_empty_index(scene: &Scene<'_>) -> Outcome {
    is_empty_index(&scene.get(scene.referrers(&scene.unknown_digest()))?)
}

fn of_an_unknown_digest_are_an_empty_index(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    is_empty_index(&scene.get(scene.referrers(&scene.unknown_digest()))?)
}

/// The ping by which ORAS learns whether a registry has this API.
fn of_the_digest_of_zeros_are_an_empty_index(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    let target = format!("/v2/{}/referrers/sha256:{}", scene.repo, "0".repeat(64));
    is_empty_index(&scene.get(target)?)
}

fn of_an_unknown_sha512_digest_are_an_empty_index(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    let digest = Algorithm::Sha512.digest(&scene.bytes(64));
    is_empty_index(&scene.get(scene.referrers(&digest))?)
}

fn of_a_malformed_digest_are_400(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    scene
        .get(format!("/v2/{}/referrers/sha256:short", scene.repo))?
        .refused(400, &["DIGEST_INVALID"])
}

fn pushed_before_their_subject_are_listed_after_it(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let about = image.descriptor(Algorithm::Sha256);
    let digest = push(scene, &referrer(scene, &about, KIND))?;
    scene.given_manifest("late", &image)?;
    let entries = listed(&scene.get(scene.referrers(&Digest::named_by(&about)))?)?;
    names_only(&entries, &[digest])
}

fn names_only(entries: &[Value], wanted: &[Digest]) -> Outcome {
    let named: BTreeSet<_> = entries.iter().map(Digest::named_by).collect();
    let wanted: BTreeSet<_> = wanted.iter().cloned().collect();
    if named != wanted || named.len() != entries.len() {
        return Err(Failure(format!(
            "expected the {} wanted referrers, each once; came {} entries, {} of them wanted",
            wanted.len(),
            entries.len(),
            named.intersection(&wanted).count()
        )));
    }
    Ok(())
}

fn of_a_sha512_subject_are_listed(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha512);
    let digest = push(scene, &referrer(scene, &about, KIND))?;
    let entries = listed(&scene.get(scene.referrers(&Digest::named_by(&about)))?)?;
    names_only(&entries, &[digest])
}

fn without_a_match_for_the_filter_are_an_empty_index(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha256);
    push(scene, &referrer(scene, &about, KIND))?;
    let target = scene.referrers(&Digest::named_by(&about));
    let page = scene.get(format!("{target}?artifactType=application/vnd.example.none"))?;
    page.header_is("OCI-Filters-Applied", "artifactType")?;
    is_empty_index(&page)
}

fn filter_with_an_escaped_plus_is_applied(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha256);
    let wanted = push(
        scene,
        &referrer(scene, &about, "application/vnd.example.sbom+json"),
    )?;
    push(scene, &referrer(scene, &about, KIND))?;
    let target = scene.referrers(&Digest::named_by(&about));
    let page = scene.get(format!(
        "{target}?artifactType=application%2Fvnd.example.sbom%2Bjson"
    ))?;
    page.header_is("OCI-Filters-Applied", "artifactType")?;
    names_only(&listed(&page)?, &[wanted])
}

fn unfiltered_list_names_no_filter(scene: &Scene<'_>) -> Outcome {
    let page = scene.get(scene.referrers(&scene.unknown_digest()))?;
    is_empty_index(&page)?;
    page.require(
        page.answer.header("OCI-Filters-Applied").is_none(),
        "no OCI-Filters-Applied",
    )?;
    Ok(())
}

fn deleted_referrer_is_not_listed(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha256);
    let first = push(scene, &referrer(scene, &about, KIND))?;
    let second = push(scene, &referrer(scene, &about, KIND))?;
    scene.delete(scene.manifest(first.as_str()))?.status(202)?;
    let entries = listed(&scene.get(scene.referrers(&Digest::named_by(&about)))?)?;
    names_only(&entries, &[second])
}

fn referrer_pushed_twice_is_listed_once(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha256);
    let document = referrer(scene, &about, KIND);
    let digest = push(scene, &document)?;
    scene.given_manifest("tagged", &Manifest::of(&document))?;
    let entries = listed(&scene.get(scene.referrers(&Digest::named_by(&about)))?)?;
    names_only(&entries, &[digest])
}

fn referrer_is_not_listed_in_another_repository(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    scene.given_blob_in(&scene.other, EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha256);
    push(scene, &referrer(scene, &about, KIND))?;
    let subject = Digest::named_by(&about);
    is_empty_index(&scene.get(format!("/v2/{}/referrers/{subject}", scene.other))?)
}

fn empty_artifact_type_falls_back_to_the_config(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha256);
    let mut document = referrer(scene, &about, "");
    document["config"]["mediaType"] = json!("application/vnd.example.config");
    push(scene, &document)?;
    let page = scene.get(scene.referrers(&Digest::named_by(&about)))?;
    let entries = listed(&page)?;
    page.require(
        entries.len() == 1 && entries[0]["artifactType"] == "application/vnd.example.config",
        "the type of the config as artifactType",
    )?;
    Ok(())
}

fn manifest_without_subject_names_none(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let pushed = scene.send(put_manifest(&scene.manifest("v1"), &image))?;
    pushed
        .status(201)?
        .require(pushed.answer.header("OCI-Subject").is_none(), "no OCI-Subject")?;
    Ok(())
}

fn many(scene: &Scene<'_>, about: &Value, count: usize) -> Result<Vec<Digest>, Failure> {
    scene.given_blob(EMPTY_BLOB)?;
    (0..count)
        .map(|_| push(scene, &referrer(scene, about, KIND)))
        .collect()
}

/// A registry may cut the list where it likes, as long as its links lead on.
fn list_of_250_is_complete_by_its_links(scene: &Scene<'_>) -> Outcome {
    let about = subject(scene, Algorithm::Sha256);
    let wanted = many(scene, &about, 250)?;
    let entries = all_pages(scene, scene.referrers(&Digest::named_by(&about)))?;
    names_only(&entries, &wanted)
}

/// Clients read no more of an index than they would of a manifest.
fn no_page_exceeds_four_mebibytes(scene: &Scene<'_>) -> Outcome {
    scene.given_blob(EMPTY_BLOB)?;
    let about = subject(scene, Algorithm::Sha256);
    let mut wanted = Vec::new();
    for _ in 0..12 {
        let mut document = referrer(scene, &about, KIND);
        document["annotations"]["large"] = json!("l".repeat(500_000));
        wanted.push(push(scene, &document)?);
    }
    let entries = all_pages(scene, scene.referrers(&Digest::named_by(&about)))?;
    names_only(&entries, &wanted)
}

fn pages_keep_the_filter(scene: &Scene<'_>) -> Outcome {
    let about = subject(scene, Algorithm::Sha256);
    let wanted = many(scene, &about, 120)?;
    for _ in 0..20 {
        push(scene, &referrer(scene, &about, "application/vnd.example.other"))?;
    }
    let target = scene.referrers(&Digest::named_by(&about));
    let entries = all_pages(scene, format!("{target}?artifactType={KIND}"))?;
    names_only(&entries, &wanted)
}
