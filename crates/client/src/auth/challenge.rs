/// What a registry wants to see (RFC 9110, section 11.6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token that `realm` gives.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
        /// `insufficient_scope`, `invalid_token`.
        error: Option<String>,
    },
}

impl Challenge {
    /// The challenge to answer, among all `WWW-Authenticate` headers: a token rather than a password.
    pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for (scheme, parameters) in headers.flat_map(parse) {
            let value = |name: &str| {
                let found = parameters.iter().find(|(key, _)| key == name);
                found
                    .map(|(_, value)| value.clone())
                    .filter(|value| !value.is_empty())
            };
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = value("realm")
            {
                return Some(Self::Bearer {
                    realm,
                    service: value("service"),
                    scope: value("scope"),
                    error: value("error"),
                });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Self::Basic);
            }
        }
        basic
    }
}

type Parameters = Vec<(String, String)>;

/// Schemes and their parameters; what follows no grammar is passed over.
fn parse(header: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',', '=']);
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            match rest.chars().next() {
                // A quote where none belongs.
                Some(stray) => {
                    rest = &rest[stray.len_utf8()..];
                    continue;
                }
                None => return found,
            }
        }
        match (after.trim_start().strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = parameter_value(value.trim_start());
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            _ => {
                found.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

/// A value, quoted or not, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(headers: &[&str]) -> Option<Challenge> {
        Challenge::choose(headers.iter().copied())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
            error: None,
        })
    }

    #[test]
    fn the_challenges_of_registries_are_understood() {
        assert_eq!(
            choose(&[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ]),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:a/b:pull,push")
            )
        );
        assert_eq!(
            choose(&[r#"Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws""#]),
            bearer(
                "https://public.ecr.aws/token/",
                Some("public.ecr.aws"),
                Some("aws")
            )
        );
        assert_eq!(
            choose(&[r#"Basic realm="Registry Realm""#]),
            Some(Challenge::Basic)
        );
        assert_eq!(
            choose(&["bearer REALM = https://x , service=y"]),
            bearer("https://x", Some("y"), None)
        );
    }

    #[test]
    fn a_token_is_preferred_among_several_challenges() {
        let both = bearer("https://x/t", None, None);
        assert_eq!(choose(&["Basic realm=a", r#"Bearer realm="https://x/t""#]), both);
        assert_eq!(
            choose(&[r#"Negotiate abc==, Basic realm="a, \"b\"", Bearer realm="https://x/t""#]),
            both
        );
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for header in [
            "",
            "Digest realm=a",
            "Bearer",
            r#"Bearer realm="""#,
            "\"\"\"",
            ",,,===",
            "Bearer realm=\"",
        ] {
            assert_eq!(choose(&[header]), None, "{header}");
        }
    }
}
