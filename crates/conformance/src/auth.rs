//! Answers to a registry's `401`: Basic credentials, or a token from the realm it names.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A user name and its password.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Credentials {
    /// The value of an `Authorization` header.
    pub(crate) fn basic(&self) -> String {
        let pair = format!("{}:{}", self.user, self.password);
        format!("Basic {}", STANDARD.encode(pair))
    }
}

/// What one `WWW-Authenticate` header asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Challenge {
    Basic,
    Bearer(BTreeMap<String, String>),
}

impl Challenge {
    /// Parses a header value; schemes other than Basic and Bearer are none.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| Self::Bearer(parameters(rest)))
    }
}

/// `name="value"` pairs between commas. A comma inside quotes belongs to the value.
fn parameters(mut rest: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, tail)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, next) = match tail.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => tail.split_once(',').unwrap_or((tail, "")),
        };
        found.insert(name, value.to_owned());
        rest = next;
    }
    found
}

/// The target of the token request: path and query of the realm on this registry's host.
///
/// `None` when the realm is missing or lies on another host.
pub(crate) fn token_target(parameters: &BTreeMap<String, String>, authority: &str) -> Option<String> {
    let realm = parameters.get("realm")?;
    let path = match realm.strip_prefix("http://") {
        Some(rest) => rest.strip_prefix(authority)?,
        None => realm.as_str(),
    };
    let mut target = path.starts_with('/').then(|| path.to_owned())?;
    let mut separator = if target.contains('?') { '&' } else { '?' };
    let mut query = |name: &str, value: &str| {
        target.push(separator);
        target.push_str(&format!("{name}={}", percent_encode(value)));
        separator = '&';
    };
    if let Some(service) = parameters.get("service") {
        query("service", service);
    }
    for scope in parameters.get("scope").into_iter().flat_map(|all| all.split(' ')) {
        query("scope", scope);
    }
    Some(target)
}

/// Encodes all but the unreserved characters of RFC 3986.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_challenge_is_parsed_with_commas_inside_quotes() {
        let challenge = Challenge::parse(
            r#"Bearer realm="http://h:1/token",service="reg",scope="repository:a/b:pull,push""#,
        );
        let Some(Challenge::Bearer(found)) = challenge else {
            panic!("not a bearer challenge");
        };
        assert_eq!(found["scope"], "repository:a/b:pull,push");
        assert_eq!(
            token_target(&found, "h:1").as_deref(),
            Some("/token?service=reg&scope=repository%3Aa%2Fb%3Apull%2Cpush")
        );
        assert_eq!(token_target(&found, "other:1"), None);
    }

    #[test]
    fn basic_challenge_and_credentials() {
        assert_eq!(Challenge::parse(r#"basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
        let credentials = Credentials {
            user: "Aladdin".into(),
            password: "open sesame".into(),
        };
        assert_eq!(credentials.basic(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
