use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::url::{Scheme, Url, is_loopback};
use crate::{Error, Secret};

/// A proxy, and what it wants to be told of us.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(super) url: Url,
    pub(super) authorization: Option<Secret>,
}

/// Which proxy is for which host, from the variables that everybody uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<String>,
}

impl Proxies {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in small letters first.
    pub(crate) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let value = |name: &str| {
            let found = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
            found.filter(|value| !value.trim().is_empty())
        };
        let proxy = |name: &str| {
            let text = value(name).or_else(|| value("ALL_PROXY"));
            text.map(|text| parse(text.trim(), name)).transpose()
        };
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            except: value("NO_PROXY")
                .unwrap_or_default()
                .split(',')
                .map(|part| part.trim().to_ascii_lowercase())
                .filter(|part| !part.is_empty())
                .collect(),
        })
    }

    /// The proxy for `url`. This machine is always reached directly.
    pub(crate) fn for_url(&self, url: &Url) -> Option<&Proxy> {
        let origin = &url.origin;
        if is_loopback(&origin.host)
            || self
                .except
                .iter()
                .any(|rule| matches(rule, &origin.host, origin.port))
        {
            return None;
        }
        match origin.scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }
    }
}

/// `host`, `.domain`, `*.domain`, `host:port`, an address, a net as `10.0.0.0/8`, or `*`.
fn matches(rule: &str, host: &str, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let (Some((net, bits)), Ok(address)) = (rule.split_once('/'), host.parse::<IpAddr>()) {
        return match (net.parse::<IpAddr>(), bits.parse::<u32>(), address) {
            (Ok(IpAddr::V4(net)), Ok(bits @ 0..=32), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (Ok(IpAddr::V6(net)), Ok(bits @ 0..=128), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        };
    }
    let (name, wanted) = match rule.rsplit_once(':') {
        Some((name, wanted)) if !name.contains(':') => (name, wanted.parse().ok()),
        _ => (rule, None),
    };
    let name = name.trim_start_matches('*').trim_start_matches('.');
    let same = host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    same && wanted.is_none_or(|wanted: u16| wanted == port)
}

fn parse(text: &str, name: &str) -> Result<Proxy, Error> {
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    // No part of it goes into an error: it may hold a password.
    let wrong = |reason| Error::Url {
        url: format!("${name}"),
        reason,
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it is no address"))?;
    if scheme != "http" {
        return Err(wrong("only proxies that are reached by http:// are supported"));
    }
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let url = Url::parse(&format!("http://{rest}")).map_err(|_| wrong("it is no address"))?;
    let authorization = user.map(|user| Secret::new(format!("Basic {}", STANDARD.encode(unescape(user)))));
    Ok(Proxy { url, authorization })
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| byte == b'%');
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::read(&|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
    }

    #[test]
    fn the_proxy_is_chosen_by_scheme_and_exceptions() {
        let proxies = proxies(&[
            ("HTTPS_PROXY", "http://u:p%40ss@proxy.corp:3128"),
            ("no_proxy", "internal.corp, .example.com,10.0.0.0/8"),
        ]);
        let of = |url: &str| proxies.for_url(&Url::parse(url).unwrap()).cloned();
        let proxy = of("https://ghcr.io/v2/").unwrap();
        assert_eq!(proxy.url.origin.authority(), "proxy.corp:3128");
        let authorization = proxy.authorization.unwrap();
        assert_eq!(
            authorization.expose(),
            format!("Basic {}", STANDARD.encode("u:p@ss"))
        );
        for url in [
            "http://ghcr.io/",
            "https://internal.corp/",
            "https://a.example.com/",
            "https://10.9.8.7/",
            "https://localhost/",
            "https://127.0.0.1:5000/",
        ] {
            assert!(of(url).is_none(), "{url}");
        }
        assert!(of("https://notinternal.corp/").is_some());
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        let variable = |name: &str| (name == "ALL_PROXY").then(|| "socks5://u:hunter2@x".to_owned());
        let error = Proxies::read(&variable).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
