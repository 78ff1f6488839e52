use modelkeep_core::Tag;
use modelkeep_ledger::claim::{Claim, Place};

use crate::report::json::ProtocolTags;

/// What `doctor --probe` writes ends so.
pub(super) const PROBE_SUFFIX: &str = ".doctor";

/// A tag that is no version, by what it is for.
fn kind(tag: &Tag) -> Option<(&'static str, &'static str)> {
    if !tag.is_reserved() {
        return None;
    }
    if Place::from_tag(tag).is_some() {
        return Some((
            "entries",
            "the history, entry by entry (l.HEIGHT.ENTRY); each keeps the manifest that it names from being collected",
        ));
    }
    if Claim::from_tag(tag).is_some() {
        return Some((
            "claims",
            "who wanted a place in the history (c.HEIGHT.ROUND.PHASE.ENTRY); no longer needed once the place is taken",
        ));
    }
    let hex = tag.as_str().split_once('-').map_or("", |(_, rest)| rest);
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(match hex.split_once('.') {
        None if is_digest(hex) => (
            "referrers",
            "what refers to a manifest, such as its signature, where the registry has no list of that (sha256-HEX)",
        ),
        Some((digest, rest)) if is_digest(digest) && PROBE_SUFFIX.strip_prefix('.') == Some(rest) => (
            "doctor",
            "what `modelkeep doctor --probe` left; it can be deleted",
        ),
        Some((digest, _)) if is_digest(digest) => (
            "attachments",
            "what other tools say of a manifest, such as cosign (sha256-HEX.SUFFIX)",
        ),
        _ => (
            "unknown",
            "names that the protocol keeps for itself, and does not use so: something else wrote them",
        ),
    })
}

/// The tags that are no versions, counted by what they are for.
pub(super) fn of_protocol(tags: &[Tag]) -> Vec<ProtocolTags> {
    let mut found: Vec<ProtocolTags> = Vec::new();
    for (kind, meaning) in tags.iter().filter_map(kind) {
        match found.iter_mut().find(|tags| tags.kind == kind) {
            Some(tags) => tags.count += 1,
            None => found.push(ProtocolTags {
                kind,
                count: 1,
                meaning,
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use modelkeep_core::Digest;

    use super::*;

    #[test]
    fn tags_of_the_protocol_are_told_apart_and_versions_are_none() {
        let hex = Digest::of(b"x").hex().to_owned();
        let tags = [
            "1.0".to_owned(),
            "latest".to_owned(),
            format!("l.00000001.{hex}"),
            format!("l.00000002.{hex}"),
            format!("c.00000001.1.a.{hex}"),
            format!("sha256-{hex}"),
            format!("sha256-{hex}.sig"),
            format!("sha256-{hex}{PROBE_SUFFIX}"),
            "l.1".to_owned(),
            "ledger".to_owned(),
        ];
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
        let found: Vec<_> = of_protocol(&tags)
            .iter()
            .map(|tags| (tags.kind, tags.count))
            .collect();
        assert_eq!(
            found,
            [
                ("entries", 2),
                ("claims", 1),
                ("referrers", 1),
                ("attachments", 1),
                ("doctor", 1),
                ("unknown", 2)
            ]
        );
    }
}
