//! Specification end-7b: tags given as parameters of a push by digest.

use serde_json::Value;

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::manifest::Manifest;
use crate::scene::{Scene, is_manifest_head, put_manifest};

pub(super) const TESTS: Table = table![
    push_with_one_tag_names_it,
    push_with_two_tags_names_both,
    push_with_twelve_tags_names_all,
    tags_of_the_push_resolve_to_its_digest,
    tags_of_the_push_are_listed,
    push_without_tags_names_none,
    invalid_tag_is_refused,
    tag_moves_to_the_digest_of_the_push,
];

fn push(scene: &Scene<'_>, image: &Manifest, tags: &[&str]) -> Result<Exchange, Failure> {
    let digest = image.digest(scene.algorithm);
    let query: Vec<_> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let target = format!("{}?{}", scene.manifest(digest.as_str()), query.join("&"));
    scene.send(put_manifest(&target, image))
}

/// One comma list or one header each; in any order.
fn named_tags(exchange: &Exchange) -> Vec<&str> {
    let mut tags: Vec<_> = exchange
        .answer
        .headers("OCI-Tag")
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    tags.sort_unstable();
    tags
}

fn names(exchange: &Exchange, tags: &[&str]) -> Outcome {
    let mut wanted = tags.to_vec();
    wanted.sort_unstable();
    exchange.status(201)?.require(
        named_tags(exchange) == wanted,
        format_args!("OCI-Tag headers that name {wanted:?}"),
    )?;
    Ok(())
}

fn push_with_one_tag_names_it(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    names(&push(scene, &image, &["one"])?, &["one"])
}

fn push_with_two_tags_names_both(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let pushed = push(scene, &image, &["one", "two"])?;
    names(&pushed, &["one", "two"])?;
    scene.manifest_was_pushed(&pushed, &image.digest(scene.algorithm), &image)
}

/// A registry should take ten at least.
fn push_with_twelve_tags_names_all(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let tags: Vec<_> = (0..12).map(|place| format!("v1.{place}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    names(&push(scene, &image, &tags)?, &tags)
}

fn tags_of_the_push_resolve_to_its_digest(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    push(scene, &image, &["one", "two"])?.status(201)?;
    for tag in ["one", "two"] {
        let head = scene.head_manifest(scene.manifest(tag))?;
        is_manifest_head(&head, &image.digest(scene.algorithm), &image)?;
    }
    Ok(())
}

fn tags_of_the_push_are_listed(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    push(scene, &image, &["two", "one"])?.status(201)?;
    let listed = scene.get(scene.tags())?;
    let tags = listed.status(200)?.json()?["tags"].take();
    listed.require(tags == Value::from(vec!["one", "two"]), "tags one and two")?;
    Ok(())
}

fn push_without_tags_names_none(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let digest = image.digest(scene.algorithm);
    let target = scene.manifest(digest.as_str());
    names(&scene.send(put_manifest(&target, &image))?, &[])
}

fn invalid_tag_is_refused(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    push(scene, &image, &[".bad"])?.status(400)?;
    Ok(())
}

fn tag_moves_to_the_digest_of_the_push(scene: &Scene<'_>) -> Outcome {
    let (old, new) = (scene.small_image()?, scene.small_image()?);
    push(scene, &old, &["moving"])?.status(201)?;
    names(&push(scene, &new, &["moving"])?, &["moving"])?;
    let head = scene.head_manifest(scene.manifest("moving"))?;
    is_manifest_head(&head, &new.digest(scene.algorithm), &new)
}
