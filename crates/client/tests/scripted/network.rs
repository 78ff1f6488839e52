use modelkeep_client::{Access, Error, Keychain, Registry, Settings};
use modelkeep_core::content::{Need, Target};

use crate::{
    blob, chain,
    server::{Server, answer},
};

/// A registry far away, behind the proxy that `server` plays.
fn behind(server: &Server, plain_http: bool) -> Registry {
    let proxy = format!("http://me:hunter2@{}", server.host());
    let variable = move |name: &str| (name == "ALL_PROXY").then(|| proxy.clone());
    let (host, name) = ("registry.example:5000".parse().unwrap(), "model".parse().unwrap());
    let settings = Settings {
        plain_http,
        ..Settings::default()
    };
    let keychain = Keychain::from_environment(&|_| None);
    Registry::new(&host, &name, Access::Read, keychain, settings, &variable).unwrap()
}

#[test]
fn a_proxy_is_told_the_whole_address() {
    let server = Server::start(|_, _| answer(200, &[], ""));
    assert_eq!(behind(&server, true).need(&blob(b"x")).unwrap(), Need::Nothing);
    let asked = &server.asked()[0];
    assert!(
        asked
            .target
            .starts_with("http://registry.example:5000/v2/model/blobs/"),
        "{}",
        asked.target
    );
    assert_eq!(asked.header("Host"), Some("registry.example:5000"));
    assert_eq!(
        asked.header("Proxy-Authorization"),
        Some("Basic bWU6aHVudGVyMg==")
    );
}

#[test]
fn a_proxy_that_opens_no_tunnel_is_named_and_its_password_is_not() {
    let server = Server::start(|_, _| answer(403, &[], "no"));
    let error = behind(&server, false).need(&blob(b"x")).unwrap_err();
    assert!(
        matches!(Error::behind(&error), Some(Error::Status { status: 403, .. })),
        "{error:?}"
    );
    let text = chain(&error);
    assert!(
        text.contains(&server.host()) && !text.contains("hunter2"),
        "{text}"
    );
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("CONNECT", "registry.example:5000")
    );
    assert_eq!(
        asked.header("Proxy-Authorization"),
        Some("Basic bWU6aHVudGVyMg==")
    );
}
