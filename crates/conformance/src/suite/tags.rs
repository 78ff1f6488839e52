//! Listing tags, whole and in pages.

use super::{Table, table};
use crate::check::{Exchange, Failure, Outcome};
use crate::scene::Scene;

pub(super) const TESTS: Table = table![
    list_of_an_unknown_repository_is_404_name_unknown,
    list_names_its_repository,
    list_is_json,
    list_holds_all_tags_in_order,
    list_of_a_repository_without_tags_is_empty,
    list_has_a_tag_that_begins_another,
    list_holds_a_tag_once_however_often_it_is_pushed,
    deleted_tag_is_not_listed,
    n_limits_the_page_and_links_the_next,
    n_of_zero_is_an_empty_page_without_a_link,
    n_of_all_has_no_link,
    n_beyond_all_has_no_link,
    n_that_is_no_number_is_400,
    last_continues_after_that_tag,
    last_need_not_be_a_tag,
    last_beyond_all_is_an_empty_page,
    last_and_n_together_make_a_page,
    pages_of_two_hold_every_tag_once,
    list_of_250_tags_is_complete_by_its_links,
];

/// In the order of their bytes, which is how they must be listed.
const TAGS: [&str; 7] = ["1.0", "1.0-rc1", "1.0.1", "Upper", "a", "a-b", "latest"];

fn given_tags(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    // Pushed backwards, so that the order listed is not the order of arrival.
    TAGS.iter()
        .rev()
        .try_for_each(|tag| scene.given_manifest(tag, &image))
}

fn listed(page: &Exchange) -> Result<Vec<String>, Failure> {
    let document = page.status(200)?.json()?;
    document["tags"]
        .as_array()
        .and_then(|tags| {
            tags.iter()
                .map(|tag| tag.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        })
        .ok_or_else(|| page.failure("a list of tags"))
}

fn page_is(page: &Exchange, wanted: &[&str]) -> Outcome {
    let tags = listed(page)?;
    page.require(tags == wanted, format_args!("tags {wanted:?}"))?;
    Ok(())
}

/// Follows the links to the last page.
fn all_pages(scene: &Scene<'_>, first: String) -> Result<Vec<String>, Failure> {
    let mut tags = Vec::new();
    let mut next = Some(first);
    while let Some(target) = next {
        let page = scene.get(target)?;
        let more = listed(&page)?;
        next = page.next_page()?;
        page.require(
            next.is_none() || !more.is_empty(),
            "no link to a next page from an empty one",
        )?;
        tags.extend(more);
    }
    Ok(tags)
}

fn list_of_an_unknown_repository_is_404_name_unknown(scene: &Scene<'_>) -> Outcome {
    scene.get(scene.tags())?.refused(404, &["NAME_UNKNOWN"])
}

fn list_names_its_repository(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    let list = scene.get(scene.tags())?;
    let name = list.status(200)?.json()?["name"].take();
    list.require(name == scene.repo.as_str(), "the repository's name")?;
    Ok(())
}

fn list_is_json(scene: &Scene<'_>) -> Outcome {
    scene.given_image("v1")?;
    let list = scene.get(scene.tags())?;
    let kind = list.status(200)?.header("Content-Type")?;
    list.require(kind.starts_with("application/json"), "application/json")?;
    Ok(())
}

fn list_holds_all_tags_in_order(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    page_is(&scene.get(scene.tags())?, &TAGS)
}

fn list_of_a_repository_without_tags_is_empty(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    scene.given_manifest(image.digest(scene.algorithm).as_str(), &image)?;
    page_is(&scene.get(scene.tags())?, &[])
}

fn list_has_a_tag_that_begins_another(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    let tags = listed(&scene.get(format!("{}?n=3", scene.tags()))?)?;
    for tag in &TAGS[..3] {
        if !tags.iter().any(|listed| listed == tag) {
            return Err(Failure(format!("expected tag {tag} in the list; came {tags:?}")));
        }
    }
    Ok(())
}

fn list_holds_a_tag_once_however_often_it_is_pushed(scene: &Scene<'_>) -> Outcome {
    for _ in 0..3 {
        scene.given_image("latest")?;
    }
    page_is(&scene.get(scene.tags())?, &["latest"])
}

fn deleted_tag_is_not_listed(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    scene.delete(scene.manifest("a"))?.status(202)?;
    let rest: Vec<_> = TAGS.into_iter().filter(|tag| *tag != "a").collect();
    let page = scene.get(scene.tags())?;
    let mut tags = listed(&page)?;
    tags.sort();
    page.require(tags == rest, format_args!("tags {rest:?}"))?;
    Ok(())
}

fn n_limits_the_page_and_links_the_next(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    let page = scene.get(format!("{}?n=3", scene.tags()))?;
    page_is(&page, &TAGS[..3])?;
    let next = page
        .next_page()?
        .ok_or_else(|| page.failure("a Link to the next page"))?;
    page_is(&scene.get(next)?, &TAGS[3..6])
}

fn n_of_zero_is_an_empty_page_without_a_link(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    let page = scene.get(format!("{}?n=0", scene.tags()))?;
    page_is(&page, &[])?;
    page.require(page.answer.header("Link").is_none(), "no Link")?;
    Ok(())
}

fn all_without_a_link(scene: &Scene<'_>, n: usize) -> Outcome {
    given_tags(scene)?;
    let page = scene.get(format!("{}?n={n}", scene.tags()))?;
    page_is(&page, &TAGS)?;
    page.require(page.answer.header("Link").is_none(), "no Link")?;
    Ok(())
}

fn n_of_all_has_no_link(scene: &Scene<'_>) -> Outcome {
    all_without_a_link(scene, TAGS.len())
}

fn n_beyond_all_has_no_link(scene: &Scene<'_>) -> Outcome {
    all_without_a_link(scene, 100)
}

fn n_that_is_no_number_is_400(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    for n in ["many", "-1"] {
        scene.get(format!("{}?n={n}", scene.tags()))?.status(400)?;
    }
    Ok(())
}

fn last_continues_after_that_tag(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    page_is(&scene.get(format!("{}?last=Upper", scene.tags()))?, &TAGS[4..])
}

fn last_need_not_be_a_tag(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    page_is(&scene.get(format!("{}?last=Uz", scene.tags()))?, &TAGS[4..])
}

fn last_beyond_all_is_an_empty_page(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    page_is(&scene.get(format!("{}?last=zz", scene.tags()))?, &[])
}

fn last_and_n_together_make_a_page(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    let target = format!("{}?n=2&last=1.0.1", scene.tags());
    page_is(&scene.get(target)?, &TAGS[3..5])
}

fn pages_of_two_hold_every_tag_once(scene: &Scene<'_>) -> Outcome {
    given_tags(scene)?;
    let tags = all_pages(scene, format!("{}?n=2", scene.tags()))?;
    if tags != TAGS {
        return Err(Failure(format!(
            "expected {TAGS:?} over all pages; came {tags:?}"
        )));
    }
    Ok(())
}

/// A registry may cut the list where it likes, as long as its links lead on.
fn list_of_250_tags_is_complete_by_its_links(scene: &Scene<'_>) -> Outcome {
    let image = scene.small_image()?;
    let wanted: Vec<_> = (0..250).map(|place| format!("v{place:03}")).collect();
    for tag in &wanted {
        scene.given_manifest(tag, &image)?;
    }
    let mut tags = all_pages(scene, scene.tags())?;
    tags.sort();
    if tags != wanted {
        return Err(Failure(format!(
            "expected 250 tags, each once; came {} of them",
            tags.len()
        )));
    }
    Ok(())
}
