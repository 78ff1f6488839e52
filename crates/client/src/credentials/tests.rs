use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

fn keychain(config: &str) -> (tempfile::TempDir, Keychain) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    fs::write(&path, config).unwrap();
    let keychain = Keychain {
        files: vec![path.clone()],
        main: Some(path),
    };
    (directory, keychain)
}

fn find(keychain: &Keychain, host: &str, name: &str) -> Result<Option<Credential>, Error> {
    keychain.find(&host.parse().unwrap(), &name.parse().unwrap())
}

fn password(user: &str, password: &str) -> Option<Credential> {
    Some(Credential::Password {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

#[test]
fn docker_hub_has_many_names() {
    let auth = STANDARD.encode("me:pass:word");
    let (_kept, keychain) = keychain(&format!(r#"{{"auths":{{"{HUB_KEY}":{{"auth":"{auth}"}}}}}}"#));
    for host in HUB {
        assert_eq!(
            find(&keychain, host, "a/b").unwrap(),
            password("me", "pass:word"),
            "{host}"
        );
    }
    assert_eq!(find(&keychain, "ghcr.io", "a/b").unwrap(), None);
}

#[test]
fn the_key_for_a_part_of_a_registry_goes_before_that_of_the_whole() {
    let (_kept, keychain) = keychain(
        r#"{"auths":{
            "quay.io":{"username":"all","password":"1"},
            "quay.io/team":{"username":"team","password":"2"},
            "https://old.io/v1/":{"username":"old","password":"3"},
            "token.io":{"identitytoken":"4"}}}"#,
    );
    assert_eq!(
        find(&keychain, "quay.io", "team/model").unwrap(),
        password("team", "2")
    );
    assert_eq!(
        find(&keychain, "quay.io", "teams/model").unwrap(),
        password("all", "1")
    );
    assert_eq!(find(&keychain, "old.io", "model").unwrap(), password("old", "3"));
    let identity = Some(Credential::Identity(Secret::new("4")));
    assert_eq!(find(&keychain, "token.io", "model").unwrap(), identity);
}

#[test]
fn the_environment_says_where_credentials_lie() {
    let keychain = |pairs: &[(&str, &str)]| {
        Keychain::from_environment(&|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    };
    let all = [
        ("HOME", "/h"),
        ("XDG_RUNTIME_DIR", "/run"),
        ("REGISTRY_AUTH_FILE", "/a.json"),
    ];
    assert_eq!(keychain(&all).files, [Path::new("/a.json")]);
    assert_eq!(
        keychain(&all[..2]).files,
        [
            Path::new("/h/.docker/config.json"),
            Path::new("/run/containers/auth.json")
        ]
    );
    assert_eq!(
        keychain(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]).files,
        [Path::new("/d/config.json")]
    );
}

#[test]
fn a_login_keeps_what_else_the_file_says_and_a_logout_takes_it_away() {
    let (kept, keychain) = keychain(r#"{"HttpHeaders":{"X":"y"},"auths":{"other.io":{"auth":"eDp5"}}}"#);
    let host: Host = "r.io:5000".parse().unwrap();
    keychain.store(&host, "me", &Secret::new("hunter2")).unwrap();
    assert_eq!(
        find(&keychain, "r.io:5000", "a").unwrap(),
        password("me", "hunter2")
    );
    assert_eq!(find(&keychain, "other.io", "a").unwrap(), password("x", "y"));
    let path = kept.path().join("config.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&path).unwrap().contains("HttpHeaders"));
    assert!(keychain.forget(&host).unwrap());
    assert!(!keychain.forget(&host).unwrap());
    assert_eq!(find(&keychain, "r.io:5000", "a").unwrap(), None);
    assert_eq!(find(&keychain, "other.io", "a").unwrap(), password("x", "y"));
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 1);
}

#[test]
fn files_that_are_broken_are_named_and_not_shown() {
    for config in [
        "{\"hunter2",
        "[]",
        r#"{"auths":{"r.io":{"auth":"hunter2!"}}}"#,
        r#"{"credsStore":"../hunter2"}"#,
        r#"{"auths":{"r.io":{"auth":"aHVudGVyMg=="}}}"#,
    ] {
        let (_kept, keychain) = keychain(config);
        let error = find(&keychain, "r.io", "a").unwrap_err();
        assert!(matches!(error, Error::Credentials { .. }));
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
