//! Conditions on what a client has already (RFC 9110, section 13). The entity tag of content is its digest.

use std::fmt::{self, Display};

use modelkeep_core::Digest;

use crate::http::Request;

/// The entity tag, quoted.
pub(super) fn entity_tag(digest: &Digest) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| {
        f.write_str("\"")?;
        digest.fmt(f)?;
        f.write_str("\"")
    })
}

/// Whether the client has it, as `If-None-Match` says.
pub(super) fn has_already(request: &Request<'_>, digest: &Digest) -> bool {
    request.headers("if-none-match").any(|field| {
        field.trim() == "*"
            || field
                .split(',')
                .any(|tag| is_tag_of(tag.trim().trim_start_matches("W/"), digest))
    })
}

/// Whether a range may be answered: without `If-Range`, or when what the client has a part of is this.
pub(super) fn range_applies(request: &Request<'_>, digest: &Digest) -> bool {
    request
        .header("if-range")
        .is_none_or(|tag| is_tag_of(tag.trim(), digest))
}

fn is_tag_of(tag: &str, digest: &Digest) -> bool {
    let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    inner.is_some_and(|inner| {
        inner
            .strip_prefix(digest.algorithm().as_str())
            .and_then(|rest| rest.strip_prefix(':'))
            == Some(digest.hex())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_the_quoted_digest_and_nothing_else() {
        let digest = Digest::of(b"x");
        assert!(is_tag_of(&entity_tag(&digest).to_string(), &digest));
        for other in [
            String::new(),
            "\"\"".to_owned(),
            digest.to_string(),
            entity_tag(&Digest::of(b"y")).to_string(),
            format!("\"{}\"", digest.hex()),
        ] {
            assert!(!is_tag_of(&other, &digest), "{other}");
        }
    }
}
