//! What a registry with accounts answers to those who have none. Part of a run with credentials.

use super::{Table, table};
use crate::auth::{Challenge, Credentials, token_target};
use crate::check::{Exchange, Failure, Outcome};
use crate::http::Request;
use crate::scene::Scene;

pub(super) const TESTS: Table = table![
    push_by_a_stranger_is_401_unauthorized,
    challenge_quotes_its_parameters,
    bearer_challenge_names_the_repository,
    wrong_password_is_401,
    malformed_credentials_are_401,
];

fn stranger(scene: &Scene<'_>, authorization: Option<&str>) -> Result<Exchange, Failure> {
    let mut post = Request::post(scene.uploads());
    if let Some(value) = authorization {
        post = post.header("Authorization", value);
    }
    scene.client.send_as_stranger(post)
}

fn challenge(answer: &Exchange) -> Result<(String, Challenge), Failure> {
    let text = answer.status(401)?.header("WWW-Authenticate")?;
    Challenge::parse(text)
        .map(|challenge| (text.to_owned(), challenge))
        .ok_or_else(|| answer.failure("a Basic or Bearer challenge"))
}

fn push_by_a_stranger_is_401_unauthorized(scene: &Scene<'_>) -> Outcome {
    let answer = stranger(scene, None)?;
    challenge(&answer)?;
    answer.refused(401, &["UNAUTHORIZED"])
}

/// Clients parse the header with patterns that know no bare words.
fn challenge_quotes_its_parameters(scene: &Scene<'_>) -> Outcome {
    let answer = stranger(scene, None)?;
    let (text, _) = challenge(&answer)?;
    let quoted = text.split('=').skip(1).all(|value| value.starts_with('"'));
    answer.require(
        quoted && text.contains("realm=\""),
        "a realm, and every parameter quoted",
    )?;
    Ok(())
}

/// A Basic challenge has no scope to name, and nothing to get wrong here.
fn bearer_challenge_names_the_repository(scene: &Scene<'_>) -> Outcome {
    let answer = stranger(scene, None)?;
    if let (_, Challenge::Bearer(parameters)) = challenge(&answer)? {
        let start = format!("repository:{}:", scene.repo);
        let scope = parameters.get("scope").map_or("", String::as_str);
        answer.require(
            scope
                .strip_prefix(&start)
                .is_some_and(|actions| actions.split(',').any(|action| action == "push")),
            format_args!("scope {start}… with push"),
        )?;
        answer.require(parameters.contains_key("service"), "a service")?;
    }
    Ok(())
}

fn wrong_password_is_401(scene: &Scene<'_>) -> Outcome {
    let wrong = Credentials {
        user: "nobody".to_owned(),
        password: scene.unique(),
    };
    let answer = stranger(scene, None)?;
    let refused = match challenge(&answer)?.1 {
        Challenge::Basic => stranger(scene, Some(&wrong.basic()))?,
        Challenge::Bearer(parameters) => {
            let target = token_target(&parameters, &scene.client.authority)
                .ok_or_else(|| answer.failure("a realm on this registry"))?;
            let get = Request::get(target).header("Authorization", wrong.basic());
            scene.client.send_as_stranger(get)?
        }
    };
    refused.status(401)?;
    Ok(())
}

fn malformed_credentials_are_401(scene: &Scene<'_>) -> Outcome {
    for value in [
        "Basic",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        "Bearer",
        "Bearer a.b.c",
        "Other x",
    ] {
        stranger(scene, Some(value))?.status(401)?;
    }
    Ok(())
}
