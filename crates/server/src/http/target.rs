//! Request targets: validity and percent-encoding (RFC 3986 section 2).

use std::borrow::Cow;

/// The origin form of `target`: an absolute form loses its scheme and authority. `None` if it is
/// none of the forms a server gets, or holds a byte or an encoding that is not allowed.
pub(crate) fn origin_form(target: &str) -> Option<&str> {
    if !target
        .bytes()
        .all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'#')
    {
        return None;
    }
    let origin = if target.starts_with('/') || target == "*" {
        target
    } else {
        let rest = strip_scheme(target, "http://").or_else(|| strip_scheme(target, "https://"))?;
        match rest.find(['/', '?']) {
            Some(at) if rest.as_bytes()[at] == b'/' => &rest[at..],
            Some(_) => return None,
            None => "/",
        }
    };
    let parts = origin.split(['/', '?', '&', '=']);
    parts
        .into_iter()
        .all(|part| decode(part, Plus::Itself).is_some())
        .then_some(origin)
}

fn strip_scheme<'a>(target: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, rest) = target.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// What `+` stands for: itself in a path, a space in a query or a form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    Itself,
    Space,
}

/// `text` without percent-encoding. `None` if an escape is incomplete or the whole is not UTF-8. It may
/// hold control characters then, which no name of the protocol does.
pub(crate) fn decode(text: &str, plus: Plus) -> Option<Cow<'_, str>> {
    let coded = |byte: u8| byte == b'%' || (byte == b'+' && plus == Plus::Space);
    if !text.bytes().any(coded) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus == Plus::Space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The pairs of a query or of a form, in order. A pair that cannot be decoded is `None`.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = Option<(Cow<'_, str>, Cow<'_, str>)>> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name, Plus::Space)?, decode(value, Plus::Space)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_broken_ones_refused() {
        assert_eq!(decode("sha256%3Aab", Plus::Itself).unwrap(), "sha256:ab");
        assert_eq!(decode("a+b", Plus::Itself).unwrap(), "a+b");
        assert_eq!(decode("a+b", Plus::Space).unwrap(), "a b");
        assert_eq!(decode("%C3%A9", Plus::Itself).unwrap(), "é");
        assert_eq!(decode("a%00%0d", Plus::Itself).unwrap(), "a\0\r");
        for broken in ["%", "%4", "%zz", "%+1", "%ff", "%c3"] {
            assert_eq!(decode(broken, Plus::Itself), None, "{broken}");
        }
    }

    #[test]
    fn targets_come_in_origin_or_absolute_form() {
        assert_eq!(origin_form("/v2/?a=b"), Some("/v2/?a=b"));
        assert_eq!(origin_form("*"), Some("*"));
        assert_eq!(origin_form("http://host:5000/v2/"), Some("/v2/"));
        assert_eq!(origin_form("HTTPS://host"), Some("/"));
        for wrong in [
            "",
            "v2/",
            "host:443",
            "ftp://a/",
            "/a b",
            "/a#b",
            "/é",
            "/%0",
            "http://h?x",
        ] {
            assert_eq!(origin_form(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn query_pairs_keep_order_and_repetition() {
        let all: Vec<_> = pairs("tag=a&tag=b%20c&&mount=sha256%3Aab&flag")
            .flatten()
            .collect();
        let all: Vec<_> = all.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
        assert_eq!(
            all,
            [("tag", "a"), ("tag", "b c"), ("mount", "sha256:ab"), ("flag", "")]
        );
    }
}
