use crate::http::{Origin, Scheme, Url};

/// Registries whose tokens come from a host with another name.
const KNOWN: &[(&str, &str)] = &[
    ("registry-1.docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
    ("nvcr.io", "authn.nvidia.com"),
];

/// Whether credentials for `registry` may be sent to `realm`. A registry, or whoever stands in its place, could
/// otherwise have them sent anywhere, or over a line that everybody reads.
pub(super) fn belongs(registry: &Origin, realm: &Url) -> bool {
    let realm = &realm.origin;
    if registry.scheme == Scheme::Https && realm.scheme == Scheme::Http {
        return false;
    }
    let is_below = |host: &str, parent: &str| {
        host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')) && parent.contains('.')
    };
    // GitLab on a machine of one's own: registry.example.com, and gitlab.example.com or example.com.
    let at_home = registry
        .host
        .strip_prefix("registry.")
        .filter(|domain| domain.contains('.'))
        .is_some_and(|domain| realm.host == domain || realm.host.strip_prefix("gitlab.") == Some(domain));
    realm.host == registry.host
        || is_below(&realm.host, &registry.host)
        || at_home
        || KNOWN.contains(&(registry.host.as_str(), realm.host.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_registry_and_what_belongs_to_it() {
        let belongs = |registry: &str, realm: &str| {
            belongs(&Url::parse(registry).unwrap().origin, &Url::parse(realm).unwrap())
        };
        for (registry, realm) in [
            ("https://ghcr.io", "https://ghcr.io/token"),
            ("https://registry-1.docker.io", "https://auth.docker.io/token"),
            ("https://harbor.example.com", "https://auth.harbor.example.com/t"),
            (
                "https://registry.example.com",
                "https://gitlab.example.com/jwt/auth",
            ),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
            ("http://127.0.0.1:5000", "https://127.0.0.1/token"),
        ] {
            assert!(belongs(registry, realm), "{registry} {realm}");
        }
        for (registry, realm) in [
            ("https://ghcr.io", "https://evil.example/token"),
            ("https://ghcr.io", "http://ghcr.io/token"),
            ("https://ghcr.io", "https://notghcr.io/token"),
            ("https://a.example.com", "https://b.example.com/token"),
            ("https://registry.com", "https://com/token"),
            ("https://localhost", "https://evil.localhost/token"),
        ] {
            assert!(!belongs(registry, realm), "{registry} {realm}");
        }
    }
}
