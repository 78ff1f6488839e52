//! The constraints of the service model (botocore's `ecr-public/2020-10-30`), each refused by the name of its member.

use std::ops::RangeInclusive;

use modelkeep_core::{Digest, RepoName, Tag};

use super::ApiError;

const NAME: &str = "(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*";

/// A member that must be there.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::parameter(name, "must not be null"))
}

/// A text of a length, in characters.
pub(super) fn length(name: &str, text: &str, allowed: RangeInclusive<usize>) -> Result<(), ApiError> {
    let found = text.chars().count();
    if found < *allowed.start() {
        let least = allowed.start();
        return Err(ApiError::parameter(
            name,
            format_args!("Member must have length greater than or equal to {least}"),
        ));
    }
    if found > *allowed.end() {
        let most = allowed.end();
        return Err(ApiError::parameter(
            name,
            format_args!("Member must have length less than or equal to {most}"),
        ));
    }
    Ok(())
}

/// A list of a length.
pub(super) fn count<T>(name: &str, list: &[T], allowed: RangeInclusive<usize>) -> Result<(), ApiError> {
    if allowed.contains(&list.len()) {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(ApiError::parameter(
        name,
        format_args!("Member must have {least} to {most} items"),
    ))
}

/// The name of a repository: narrower than the distribution specification has it.
pub(super) fn repository_name(text: Option<String>) -> Result<RepoName, ApiError> {
    const MEMBER: &str = "repositoryName";
    let text = required(MEMBER, text)?;
    length(MEMBER, &text, 2..=205)?;
    let wrong = || ApiError::parameter(MEMBER, format_args!("must satisfy regular expression '{NAME}'"));
    if text.contains("__") || text.contains("--") {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// The registry of a call that names an account: 12 digits.
pub(super) fn registry_id(id: Option<&str>) -> Result<(), ApiError> {
    match id {
        Some(id) if !is_registry_id(id) => Err(ApiError::parameter(
            "registryId",
            "must satisfy regular expression '[0-9]{12}'",
        )),
        _ => Ok(()),
    }
}

pub(super) fn is_registry_id(id: &str) -> bool {
    id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn image_tag(text: &str) -> Result<Tag, ApiError> {
    length("imageTag", text, 1..=300)?;
    let rule = "must satisfy regular expression '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'";
    text.parse().map_err(|_| ApiError::parameter("imageTag", rule))
}

pub(super) fn image_digest(text: &str) -> Result<Digest, ApiError> {
    let rule = "must be the digest of a manifest, sha256:HEX or sha512:HEX";
    text.parse().map_err(|_| ApiError::parameter("imageDigest", rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_expression_of_the_service() {
        let name = |text: &str| repository_name(Some(text.to_owned()));
        let longest = "a".repeat(205);
        for right in ["ab", "a/b", "team/ml-model-repo", "a.b_c-d/e", &longest] {
            assert!(name(right).is_ok(), "{right}");
        }
        let long = "a".repeat(206);
        for wrong in ["", "a", "A/b", "a__b", "a--b", "a..b", "-a", "a/", "ü/ü", &long] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert!(repository_name(None).is_err());
    }

    #[test]
    fn lengths_are_those_of_characters() {
        assert!(length("x", &"ü".repeat(5), 0..=5).is_ok());
        assert!(length("x", &"ü".repeat(6), 0..=5).is_err());
        assert!(length("x", "", 1..=5).is_err());
    }
}
