//! The version check that every client begins with.

use super::{Table, table};
use crate::check::Outcome;
use crate::http::Request;
use crate::scene::Scene;

pub(super) const TESTS: Table = table![
    with_a_slash_is_200,
    without_a_slash_is_200,
    names_the_version_of_the_registry_api,
    by_head_is_200_without_a_body,
];

fn with_a_slash_is_200(scene: &Scene<'_>) -> Outcome {
    scene.get("/v2/")?.status(200)?;
    Ok(())
}

/// Go's mux redirects here, which an older client does not follow with its token.
fn without_a_slash_is_200(scene: &Scene<'_>) -> Outcome {
    scene.get("/v2")?.status(200)?;
    Ok(())
}

/// Older docker takes a registry without this header for a version 1 registry.
fn names_the_version_of_the_registry_api(scene: &Scene<'_>) -> Outcome {
    scene
        .get("/v2/")?
        .header_is("Docker-Distribution-Api-Version", "registry/2.0")?;
    Ok(())
}

fn by_head_is_200_without_a_body(scene: &Scene<'_>) -> Outcome {
    scene.send(Request::head("/v2/"))?.status(200)?.body_is(b"")?;
    Ok(())
}
