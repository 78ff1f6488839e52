//! Where a server without accounts may listen.

use std::net::SocketAddr;

/// A server that everybody could write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} can be reached from other machines and there are no accounts: set `htpasswd` under [access], or an \
     AWS key, or listen on 127.0.0.1"
)]
pub struct OpenToAll {
    /// The refused address.
    pub address: SocketAddr,
}

/// Whether a server may listen on `address`: without accounts, on loopback only.
///
/// # Errors
/// [`OpenToAll`] otherwise.
pub fn check_listen(address: SocketAddr, has_accounts: bool) -> Result<(), OpenToAll> {
    if has_accounts || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(OpenToAll { address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_accounts_only_loopback_is_listened_on() {
        for (address, open) in [
            ("127.0.0.1:5000", true),
            ("127.8.0.1:0", true),
            ("[::1]:5000", true),
            ("[::ffff:127.0.0.1]:5000", true),
            ("0.0.0.0:5000", false),
            ("[::]:5000", false),
            ("192.168.1.4:5000", false),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(check_listen(address, false).is_ok(), open, "{address}");
            assert_eq!(check_listen(address, true), Ok(()));
        }
    }

    #[test]
    fn the_refusal_says_what_to_set() {
        let error = check_listen("0.0.0.0:5000".parse().unwrap(), false)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`htpasswd` under [access]") && error.contains("127.0.0.1"),
            "{error}"
        );
    }
}
