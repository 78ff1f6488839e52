use std::{fmt, net::IpAddr};

use crate::Error;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Who answers: what must be the same for credentials to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    /// Lower case; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// `HOST` or `HOST:PORT`, as the `Host` header and messages have it.
    pub(crate) fn authority(&self) -> String {
        let host = self.bracketed();
        if self.port == self.scheme.default_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// `HOST:PORT`, as `CONNECT` wants it.
    pub(crate) fn with_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }
}

/// An absolute `http` or `https` address. It never holds a user or password, and its target is printable ASCII, so that
/// it can be put into a request as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) origin: Origin,
    /// Path and query; begins with `/`.
    pub(crate) target: String,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        // Queries hold signatures, which are secrets.
        let shown = text.split('?').next().unwrap_or_default();
        let wrong = |reason| Error::Url {
            url: shown.chars().take(200).collect(),
            reason,
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong("only http and https are spoken")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(wrong("it holds a user name"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| wrong("a bracket is open"))?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| wrong("it has no right host"))?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(port) => port.parse().map_err(|_| wrong("its port is no number"))?,
        };
        let right = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(right) {
            return Err(wrong("it has no right host"));
        }
        let target = target.split('#').next().unwrap_or_default();
        if !target.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("a character in it must be escaped"));
        }
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        Ok(Self {
            origin: Origin {
                scheme,
                host: host.to_ascii_lowercase(),
                port,
            },
            target,
        })
    }

    /// What a `Location` or `Link` means that came from here.
    pub(crate) fn join(&self, reference: &str) -> Result<Self, Error> {
        let reference = reference.trim();
        if reference.contains("://") && !reference.starts_with(['/', '?']) {
            return Self::parse(reference);
        }
        let scheme = self.origin.scheme.as_str();
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let base = format!("{scheme}://{}", self.origin.with_port());
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match reference.chars().next() {
            Some('/') => reference.to_owned(),
            Some('?') => format!("{path}{reference}"),
            _ => {
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                format!("{directory}/{reference}")
            }
        };
        Self::parse(&format!("{base}{target}"))
    }

    /// With another query parameter, whose value needs no escape but `:`, `/` and `+`.
    pub(crate) fn with_query(mut self, name: &str, value: &str) -> Self {
        self.target
            .push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(name);
        self.target.push('=');
        self.target.push_str(&escape(value));
        self
    }

    /// All of it, to be kept and parsed again.
    pub(crate) fn whole(&self) -> String {
        format!(
            "{}://{}{}",
            self.origin.scheme.as_str(),
            self.origin.with_port(),
            self.target
        )
    }

    /// For messages: without the query, in which some registries put signatures.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("/")
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.origin.scheme.as_str(),
            self.origin.authority(),
            self.path()
        )
    }
}

/// Percent-encodes a value of a query or form.
pub(crate) fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Whether an address lies on the open network: not this machine, not a private or link-local net. A registry on the
/// open network has no business sending us to any of those.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || a == 0
                // Shared address space, RFC 6598.
                || (a == 100 && (64..128).contains(&b)))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(v4.into()),
            None => {
                let first = v6.segments()[0];
                !(v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || first & 0xfe00 == 0xfc00
                    || first & 0xffc0 == 0xfe80)
            }
        },
    }
}

/// Whether a host name or address is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed() {
        for (text, printed) in [
            ("https://Example.COM", "https://example.com/"),
            ("http://127.0.0.1:5000/v2/?a=b", "http://127.0.0.1:5000/v2/"),
            ("https://[::1]:443/x#f", "https://[::1]/x"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), printed);
        }
        for text in [
            "ftp://x/",
            "https://user:word@x/",
            "https:///v2/",
            "https://x:99999/",
            "https://x/\r\nEvil: 1",
            "https://x y/",
            "https://[::1/",
            "v2/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn locations_may_be_relative() {
        let base = Url::parse("https://r.io:8443/v2/a/blobs/uploads/?x=1").unwrap();
        for (location, to) in [
            ("/v2/u?_state=a%3D", "https://r.io:8443/v2/u?_state=a%3D"),
            ("https://other.io/u", "https://other.io/u"),
            ("//other.io/u", "https://other.io/u"),
            ("uuid", "https://r.io:8443/v2/a/blobs/uploads/uuid"),
            ("?n=2", "https://r.io:8443/v2/a/blobs/uploads/?n=2"),
            ("/u?to=http://x", "https://r.io:8443/u?to=http://x"),
        ] {
            assert_eq!(
                base.join(location).unwrap(),
                Url::parse(to).unwrap(),
                "{location}"
            );
        }
        assert_eq!(
            base.with_query("digest", "sha256:a").target,
            "/v2/a/blobs/uploads/?x=1&digest=sha256%3Aa"
        );
    }

    #[test]
    fn private_addresses_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "2606:4700::1111", "172.32.0.1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
