use std::sync::atomic::{AtomicUsize, Ordering};

use modelkeep_client::{Access, Credential, Error, Secret, Settings, check_login};
use modelkeep_core::content::{Expect, Names, Need, Source, Target};

use crate::{
    blob, chain, config, hashed, registry, registry_with,
    server::{Answer, Asked, Server, answer, head_answer},
};

const BASIC: &str = "Basic bWU6aHVudGVyMg==";

fn challenge(asked: &Asked, scope: &str) -> Answer {
    let host = asked.header("Host").unwrap();
    let value = format!(r#"Bearer realm="http://{host}/token",service="s",scope="{scope}""#);
    answer(401, &[("WWW-Authenticate", &value)], "{}")
}

fn token(asked: &Asked) -> Answer {
    let user = asked.header("Authorization").unwrap_or("nobody").to_owned();
    let name = if user == "nobody" { "anonymous" } else { "mine" };
    answer(200, &[], format!(r#"{{"token":"{name}","expires_in":300}}"#))
}

#[test]
fn basic_credentials_are_shown_when_they_are_asked_for() {
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        Some(BASIC) => answer(200, &[], ""),
        _ => answer(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], ""),
    });
    let registry = registry_with(&server, Access::Write, &config(&server));
    assert_eq!(registry.need(&blob(b"x")).unwrap(), Need::Nothing);
    assert_eq!(registry.need(&blob(b"y")).unwrap(), Need::Nothing);
    // Once asked, they are shown at once.
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_token_is_fetched_once_for_all_threads() {
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        _ if asked.is("GET", "/token") => token(asked),
        Some("Bearer mine") => answer(200, &[], ""),
        _ => challenge(asked, "repository:team/model:pull"),
    });
    let registry = registry_with(&server, Access::Write, &config(&server));
    std::thread::scope(|scope| {
        for n in 0..8u8 {
            let registry = &registry;
            scope.spawn(move || assert_eq!(registry.need(&blob(&[n])).unwrap(), Need::Nothing));
        }
    });
    assert_eq!(server.count("GET", "/token"), 1);
    let asked = server.asked();
    let request = asked.iter().find(|asked| asked.is("GET", "/token")).unwrap();
    assert_eq!(request.header("Authorization"), Some(BASIC));
    assert!(
        request
            .target
            .contains("scope=repository%3Ateam%2Fmodel%3Apull%2Cpush")
    );
    assert!(request.target.contains("service=s"));
}

#[test]
fn the_one_scope_of_a_registry_is_asked_for_as_it_says() {
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        _ if asked.is("GET", "/token") => token(asked),
        Some("Bearer anonymous") => answer(200, &[], ""),
        _ => challenge(asked, "aws"),
    });
    registry(&server, Access::Read).need(&blob(b"x")).unwrap();
    let asked = server.asked();
    let request = asked.iter().find(|asked| asked.is("GET", "/token")).unwrap();
    assert!(request.target.ends_with("scope=aws"), "{}", request.target);
    assert_eq!(request.header("Authorization"), None);
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_push_is_replaced() {
    // The first token is refused from the moment when the bytes have come.
    let tokens = AtomicUsize::new(0);
    let server = Server::start(move |asked, _| {
        let shown = asked.header("Authorization").unwrap_or_default();
        match asked.method.as_str() {
            "GET" if asked.target.starts_with("/token") => {
                let number = tokens.fetch_add(1, Ordering::SeqCst);
                answer(
                    200,
                    &[],
                    format!(r#"{{"access_token":"t{number}","expires_in":3600}}"#),
                )
            }
            "POST" if shown == "Bearer t0" => answer(202, &[("Location", "/up/1")], ""),
            "PATCH" if shown == "Bearer t0" => answer(202, &[("Location", "/up/1")], ""),
            "PUT" if shown == "Bearer t1" => answer(201, &[], ""),
            _ => challenge(asked, "repository:team/model:pull,push"),
        }
    });
    let registry = registry_with(&server, Access::Write, &config(&server));
    let mut sink = registry.begin(Expect::Unknown { size: 3 }).unwrap();
    sink.write(0, b"abc").unwrap();
    sink.commit(&hashed(b"abc")).unwrap();
    assert_eq!(server.count("GET", "/token"), 2);
    assert_eq!(server.count("PATCH", "/up/1"), 1);
}

#[test]
fn a_token_near_its_end_is_not_used_again() {
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        _ if asked.is("GET", "/token") => answer(200, &[], r#"{"token":"anonymous","expires_in":0}"#),
        Some("Bearer anonymous") => answer(200, &[], ""),
        _ => challenge(asked, "repository:team/model:pull"),
    });
    let registry = registry(&server, Access::Read);
    for _ in 0..3 {
        registry.need(&blob(b"x")).unwrap();
    }
    assert_eq!(server.count("GET", "/token"), 3);
}

#[test]
fn a_refresh_token_is_exchanged_by_a_form() {
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        _ if asked.is("POST", "/token") => answer(200, &[], r#"{"access_token":"mine"}"#),
        Some("Bearer mine") => answer(200, &[], ""),
        _ => challenge(asked, "repository:team/model:pull"),
    });
    let stored = format!(
        r#"{{"auths":{{"{}":{{"identitytoken":"re/fresh"}}}}}}"#,
        server.host()
    );
    registry_with(&server, Access::Read, &stored)
        .need(&blob(b"x"))
        .unwrap();
    let asked = server.asked();
    let request = asked.iter().find(|asked| asked.is("POST", "/token")).unwrap();
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(
        body.contains("grant_type=refresh_token") && body.contains("refresh_token=re%2Ffresh"),
        "{body}"
    );
}

#[test]
fn expired_credentials_fall_back_to_anonymous_for_reading_only() {
    let script = |asked: &Asked, _| match asked.header("Authorization") {
        Some(_) if asked.is("GET", "/token") => answer(401, &[], r#"{"errors":[{"code":"EXPIRED"}]}"#),
        None if asked.is("GET", "/token") => token(asked),
        Some("Bearer anonymous") => answer(200, &[], ""),
        _ => challenge(asked, "repository:team/model:pull"),
    };
    let server = Server::start(script);
    registry_with(&server, Access::Read, &config(&server))
        .need(&blob(b"x"))
        .unwrap();
    let error = registry_with(&server, Access::Write, &config(&server))
        .need(&blob(b"x"))
        .unwrap_err();
    assert!(Error::behind(&error).unwrap().is_authentication());
    assert!(chain(&error).contains("EXPIRED"), "{}", chain(&error));
}

#[test]
fn a_registry_that_refuses_the_token_of_expired_credentials_is_read_anonymously() {
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        _ if asked.is("GET", "/token") => token(asked),
        Some("Bearer anonymous") => answer(200, &[], ""),
        Some(_) => answer(403, &[], ""),
        None => challenge(asked, "aws"),
    });
    registry_with(&server, Access::Read, &config(&server))
        .need(&blob(b"x"))
        .unwrap();
}

#[test]
fn credentials_are_not_sent_to_another_host_without_tls() {
    let thief = Server::start(|_, _| answer(200, &[], r#"{"token":"x"}"#));
    let realm = format!("Bearer realm=\"http://localhost:{}/token\"", thief.port);
    let server = Server::start(move |asked, _| match asked.header("Authorization") {
        Some("Bearer x") => answer(200, &[], ""),
        _ => answer(401, &[("WWW-Authenticate", &realm)], ""),
    });
    let error = registry_with(&server, Access::Write, &config(&server))
        .need(&blob(b"x"))
        .unwrap_err();
    assert!(
        matches!(Error::behind(&error), Some(Error::Realm { .. })),
        "{error:?}"
    );
    assert!(thief.asked().is_empty());
    // Whoever has nothing to lose may ask there.
    registry(&server, Access::Read).need(&blob(b"x")).unwrap();
    assert_eq!(thief.asked()[0].header("Authorization"), None);
}

#[test]
fn a_redirect_to_another_host_takes_no_authorization_with_it() {
    let bytes = b"the layer";
    let storage = Server::start(move |_, _| answer(200, &[], bytes));
    let to = format!("http://localhost:{}/signed?x=1", storage.port);
    let server = Server::start(move |asked, _| match asked.header("Authorization") {
        Some(BASIC) => answer(307, &[("Location", &to)], ""),
        _ => answer(401, &[("WWW-Authenticate", "Basic realm=x")], ""),
    });
    let registry = registry_with(&server, Access::Read, &config(&server));
    assert_eq!(registry.fetch(&blob(bytes), 100).unwrap(), bytes);
    assert_eq!(storage.asked().len(), 1);
    assert_eq!(storage.asked()[0].header("Authorization"), None);
}

#[test]
fn an_upload_that_moves_to_another_host_takes_no_authorization_with_it() {
    let storage = Server::start(|_, _| answer(201, &[], ""));
    let to = format!("http://localhost:{}/up", storage.port);
    let server = Server::start(move |asked, _| match asked.header("Authorization") {
        Some(BASIC) => answer(202, &[("Location", &to)], ""),
        _ => answer(401, &[("WWW-Authenticate", "Basic realm=x")], ""),
    });
    let registry = registry_with(&server, Access::Write, &config(&server));
    let mut sink = registry.begin(Expect::Unknown { size: 1 }).unwrap();
    sink.write(0, b"x").unwrap();
    sink.commit(&hashed(b"x")).unwrap();
    assert_eq!(storage.asked().len(), 2);
    assert!(
        storage
            .asked()
            .iter()
            .all(|asked| asked.header("Authorization").is_none())
    );
}

#[test]
fn nothing_secret_is_in_an_error() {
    let server = Server::start(|_, _| answer(401, &[("WWW-Authenticate", "Basic realm=x")], "no"));
    let registry = registry_with(&server, Access::Write, &config(&server));
    let error = registry.resolve(&"1.0".parse().unwrap()).unwrap_err();
    let text = format!("{} {error:?}", chain(&error));
    assert!(text.contains("stored credentials do not suffice"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("bWU6"), "{text}");
}

#[test]
fn a_registry_that_always_wants_something_else_is_given_up() {
    let server = Server::start(|asked, _| match asked.is("GET", "/token") {
        true => answer(200, &[], format!(r#"{{"token":"{}"}}"#, asked.target.len())),
        false => challenge(
            asked,
            &format!("repository:{}:pull", asked.header("Authorization").is_some()),
        ),
    });
    let error = registry(&server, Access::Read).need(&blob(b"x")).unwrap_err();
    assert!(Error::behind(&error).unwrap().is_authentication(), "{error:?}");
    assert!(server.asked().len() < 20);
}

#[test]
fn a_login_is_tried_before_it_is_stored() {
    let server = Server::start(|asked, _| match asked.header("Authorization") {
        Some(BASIC) if asked.is("GET", "/token") => token(asked),
        _ if asked.is("GET", "/token") => answer(401, &[], "wrong password"),
        Some("Bearer mine") => answer(200, &[], "{}"),
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\"", asked.header("Host").unwrap());
            answer(401, &[("WWW-Authenticate", &realm)], "")
        }
    });
    let login = |password: &str| {
        let credential = Credential::Password {
            user: "me".to_owned(),
            password: Secret::new(password),
        };
        check_login(
            &server.host().parse().unwrap(),
            &credential,
            Settings::default(),
            &|_| None,
        )
    };
    login("hunter2").unwrap();
    assert!(login("wrong").unwrap_err().is_authentication());
}

#[test]
fn a_head_says_what_a_tag_names() {
    let digest = blob(b"x").digest.to_string();
    let server = Server::start(move |_, _| {
        let headers = [
            ("Docker-Content-Digest", digest.as_str()),
            ("Content-Type", "application/vnd.oci.image.manifest.v1+json"),
        ];
        head_answer(&headers, 77)
    });
    let found = registry(&server, Access::Read)
        .resolve(&"1.0".parse().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!((found.digest, found.size), (blob(b"x").digest, 77));
}
