use crate::http::{Origin, Scheme, Url};

/// Whether credentials for `registry` may be sent to `realm`, where it says that tokens are to be had.
///
/// A registry that is reached over TLS is who the credentials are for: it could ask for them itself, so whom it names
/// may have them, as docker and skopeo hold it too. But they never go over a line that everybody reads, unless that is
/// the line to the registry itself.
pub(super) fn may_have_credentials(registry: &Origin, realm: &Url) -> bool {
    let realm = &realm.origin;
    match realm.scheme {
        Scheme::Https => true,
        Scheme::Http => registry.scheme == Scheme::Http && realm.host == registry.host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_where_the_registry_says_but_over_no_open_line() {
        let may = |registry: &str, realm: &str| {
            may_have_credentials(&Url::parse(registry).unwrap().origin, &Url::parse(realm).unwrap())
        };
        for (registry, realm) in [
            ("https://ghcr.io", "https://ghcr.io/token"),
            ("https://quay.io", "https://quay.io/v2/auth"),
            ("https://registry-1.docker.io", "https://auth.docker.io/token"),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            (
                "https://registry.digitalocean.com",
                "https://api.digitalocean.com/v2/registry/auth",
            ),
            (
                "https://core.example.com",
                "https://sso.example.org/service/token",
            ),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
            ("http://127.0.0.1:5000", "https://auth.example.com/token"),
        ] {
            assert!(may(registry, realm), "{registry} {realm}");
        }
        for (registry, realm) in [
            ("https://ghcr.io", "http://ghcr.io/token"),
            ("https://ghcr.io", "http://127.0.0.1/token"),
            ("http://127.0.0.1:5000", "http://localhost:5000/token"),
            ("http://10.0.0.1:5000", "http://10.0.0.2:5000/token"),
        ] {
            assert!(!may(registry, realm), "{registry} {realm}");
        }
    }
}
