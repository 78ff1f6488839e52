use modelkeep_core::{Host, Limits, RepoName};

use crate::{
    Error, Settings,
    aws::EcrHost,
    http::{Url, is_loopback},
};

/// The address of a registry, and the name that it knows the repository by.
pub(crate) fn address(host: &Host, name: &RepoName, settings: &Settings) -> Result<(Url, RepoName), Error> {
    let is_hub = matches!(
        host.as_str(),
        "docker.io" | "index.docker.io" | "registry-1.docker.io"
    );
    let authority = if is_hub {
        "registry-1.docker.io"
    } else {
        host.as_str()
    };
    let mut base = Url::parse(&format!("https://{authority}/v2/"))?;
    if settings.plain_http || (settings.ca.is_none() && is_loopback(&base.origin.host)) {
        base = Url::parse(&format!("http://{authority}/v2/"))?;
    }
    let name = match name.as_str() {
        short if is_hub && !short.contains('/') => format!("library/{short}").parse().ok(),
        _ => None,
    }
    .unwrap_or_else(|| name.clone());
    Ok((base, name))
}

/// Limits that operators document and enforce only after everything was sent.
pub(crate) fn limits(host: &str) -> Limits {
    if let Some(ecr) = EcrHost::of(host) {
        return ecr.limits();
    }
    Limits {
        layer_bytes: match host {
            "ghcr.io" => 10_000_000_000,
            _ => u64::MAX,
        },
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(host: &str, plain_http: bool) -> (String, String) {
        let settings = Settings {
            plain_http,
            ..Settings::default()
        };
        let (url, name) = address(&host.parse().unwrap(), &"model".parse().unwrap(), &settings).unwrap();
        (url.to_string(), name.to_string())
    }

    #[test]
    fn registries_are_reached_by_tls_but_on_this_machine() {
        for (host, url) in [
            ("ghcr.io", "https://ghcr.io/v2/"),
            ("localhost:5000", "http://localhost:5000/v2/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
            ("[::1]:5000", "http://[::1]:5000/v2/"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/v2/"),
        ] {
            assert_eq!(base(host, false).0, url);
        }
        assert_eq!(base("10.0.0.1:5000", true).0, "http://10.0.0.1:5000/v2/");
    }

    #[test]
    fn docker_hub_has_another_address_and_a_name_for_short_names() {
        let expected = (
            "https://registry-1.docker.io/v2/".to_owned(),
            "library/model".to_owned(),
        );
        assert_eq!(base("docker.io", false), expected);
    }

    #[test]
    fn what_a_registry_takes_is_known_by_its_host() {
        assert_eq!(limits("public.ecr.aws").layer_bytes, 10_485_760_000);
        assert_eq!(
            limits("123456789012.dkr.ecr.eu-west-1.amazonaws.com").layer_bytes,
            54_525_952_000
        );
        assert_eq!(limits("r.example.com").layer_bytes, u64::MAX);
    }
}
