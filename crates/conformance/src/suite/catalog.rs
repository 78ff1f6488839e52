//! The list of repositories, which crane and the older tools read.

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::scene::{Scene, put_manifest};

pub(super) const TESTS: Table = table![
    lists_a_pushed_repository,
    last_continues_after_that_name,
    n_limits_the_page_and_links_the_next,
    n_of_zero_is_an_empty_page,
];

fn listed(page: &Exchange) -> Result<Vec<String>, Failure> {
    let document = page.status(200)?.json()?;
    document["repositories"]
        .as_array()
        .and_then(|names| {
            names
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        })
        .ok_or_else(|| page.failure("a list of repositories"))
}

/// Both repositories of the scene hold a tagged image.
fn given_both(scene: &Scene<'_>) -> Outcome {
    let image = scene.given_image("v1")?;
    scene.given_blob_in(&scene.other, crate::manifest::EMPTY_BLOB)?;
    let target = format!("/v2/{}/manifests/v1", scene.other);
    scene.send(put_manifest(&target, &image))?.status(201)?;
    Ok(())
}

/// A name that comes right before the repository under test.
fn before<'a>(scene: &'a Scene<'_>) -> &'a str {
    scene.repo.strip_suffix('e').unwrap_or(&scene.repo)
}

fn lists_a_pushed_repository(scene: &Scene<'_>) -> Outcome {
    given_both(scene)?;
    let mut next = Some("/v2/_catalog?n=500".to_owned());
    while let Some(target) = next {
        let page = scene.get(target)?;
        if listed(&page)?.contains(&scene.repo) {
            return Ok(());
        }
        next = page.next_page()?;
    }
    Err(Failure(format!(
        "expected {} on one of the pages; it came on none",
        scene.repo
    )))
}

fn last_continues_after_that_name(scene: &Scene<'_>) -> Outcome {
    given_both(scene)?;
    let page = scene.get(format!("/v2/_catalog?n=1&last={}", before(scene)))?;
    let names = listed(&page)?;
    page.require(names == [scene.repo.as_str()], "the next repository")?;
    Ok(())
}

fn n_limits_the_page_and_links_the_next(scene: &Scene<'_>) -> Outcome {
    given_both(scene)?;
    let first = scene.get(format!("/v2/_catalog?n=1&last={}", before(scene)))?;
    listed(&first)?;
    let next = first
        .next_page()?
        .ok_or_else(|| first.failure("a Link to the next page"))?;
    let second = scene.get(next)?;
    let names = listed(&second)?;
    second.require(names == [scene.other.as_str()], "the repository after it")?;
    Ok(())
}

fn n_of_zero_is_an_empty_page(scene: &Scene<'_>) -> Outcome {
    given_both(scene)?;
    let page = scene.get("/v2/_catalog?n=0")?;
    let names = listed(&page)?;
    page.require(names.is_empty(), "no names")?;
    Ok(())
}
