use std::sync::atomic::{AtomicUsize, Ordering};

use modelkeep_client::{Access, Error, aws};
use modelkeep_core::content::{Expect, Need, Target};

use super::{
    LATER, PRIVATE, PUBLIC, World, authorization, basic, ecr_private, ecr_public, generous, json, open,
    signed, target,
};
use crate::{
    blob, chain, hashed, registry_with,
    server::{Server, answer},
};

fn reads(host: &str) {
    let found = open(host, Access::Read).need(&blob(b"x"));
    assert_eq!(found.unwrap(), Need::Nothing);
}

fn writes(host: &str) {
    let found = open(host, Access::Write).need(&blob(b"x"));
    assert_eq!(found.unwrap(), Need::Nothing);
}

#[test]
fn a_push_to_ecr_public_needs_no_docker_login() {
    let (registry, aws) = (ecr_public(true), generous());
    let world = World::new(&registry, &aws)
        .with_key()
        .with("AWS_REGION", "eu-west-1");
    world.client(|| {
        // Two repositories of one process share what AWS gave.
        writes(PUBLIC);
        writes(PUBLIC);
    });
    let asked = aws.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(target(&asked[0]), "SpencerFrontendService.GetAuthorizationToken");
    let expected = ("AKIDEXAMPLE", "us-east-1", "ecr-public");
    let (key, region, service) = signed(&asked[0]);
    assert_eq!((key.as_str(), region.as_str(), service.as_str()), expected);
    let asked = registry.asked();
    let token = asked
        .iter()
        .find(|asked| asked.target.contains("/token/"))
        .unwrap();
    assert_eq!(
        token.header("Authorization"),
        Some(basic("AWS", "token").as_str())
    );
    assert!(token.target.contains("scope=aws"), "{}", token.target);
}

#[test]
fn private_ecr_is_asked_for_a_token_in_the_region_of_the_host() {
    let (registry, aws) = (ecr_private(), generous());
    let world = World::new(&registry, &aws)
        .with_key()
        .with("AWS_REGION", "eu-west-1");
    world.client(|| {
        writes(PRIVATE);
        reads(PRIVATE);
        reads("123456789012.dkr-ecr.eu-central-1.on.aws");
    });
    let regions: Vec<_> = aws.asked().iter().map(|asked| signed(asked).1).collect();
    assert_eq!(regions, ["eu-central-1", "eu-central-1"]);
}

#[test]
fn what_is_public_is_read_without_asking_aws() {
    let (registry, aws) = (ecr_public(true), generous());
    let world = World::new(&registry, &aws)
        .with_key()
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            &format!("http://{}", aws.host()),
        );
    world.client(|| reads(PUBLIC));
    assert!(aws.asked().is_empty());
}

#[test]
fn whoever_reads_too_often_without_a_name_gives_one() {
    let (registry, aws) = (ecr_public(false), generous());
    let world = World::new(&registry, &aws).with_key();
    world.client(|| reads(PUBLIC));
    assert_eq!(aws.asked().len(), 1);
}

#[test]
fn a_registry_that_is_not_of_aws_gets_no_credentials_of_aws() {
    let (aws, nobody) = (generous(), ecr_public(true));
    let world = World::new(&nobody, &aws).with_key();
    world.client(|| {
        let registry = Server::start(|_, _| answer(401, &[("WWW-Authenticate", "Basic realm=x")], ""));
        let error = registry_with(&registry, Access::Write, "{}")
            .need(&blob(b"x"))
            .unwrap_err();
        assert!(
            chain(&error).contains("no credentials are stored"),
            "{}",
            chain(&error)
        );
        assert!(
            registry
                .asked()
                .iter()
                .all(|asked| asked.header("Authorization").is_none())
        );
    });
    assert!(aws.asked().is_empty());
}

#[test]
fn a_docker_login_goes_before_what_aws_lends() {
    let (registry, aws) = (ecr_private(), generous());
    let stored = format!(r#"{{"auths":{{"{PRIVATE}":{{"username":"AWS","password":"token"}}}}}}"#);
    let world = World::new(&registry, &aws)
        .with_key()
        .with_file(".docker/config.json", &stored);
    world.client(|| writes(PRIVATE));
    assert!(aws.asked().is_empty());
}

#[test]
fn a_docker_login_that_has_expired_is_replaced_by_what_aws_lends() {
    for (host, registry) in [(PRIVATE, ecr_private()), (PUBLIC, ecr_public(true))] {
        let aws = generous();
        let stored = format!(r#"{{"auths":{{"{host}":{{"username":"AWS","password":"old"}}}}}}"#);
        let world = World::new(&registry, &aws)
            .with_key()
            .with("EXPECTED_HOST", host)
            .with_file(".docker/config.json", &stored);
        world.client(|| writes(&super::variable("EXPECTED_HOST").unwrap()));
        assert_eq!(aws.asked().len(), 1, "{host}");
    }
}

#[test]
fn a_docker_login_that_has_expired_does_not_keep_what_is_public_from_being_read() {
    let (registry, aws) = (ecr_public(true), generous());
    let stored = format!(r#"{{"auths":{{"{PUBLIC}":{{"username":"AWS","password":"old"}}}}}}"#);
    let world = World::new(&registry, &aws).with_file(".docker/config.json", &stored);
    world.client(|| reads(PUBLIC));
    assert!(aws.asked().is_empty());
}

#[test]
fn a_token_that_ends_during_a_long_push_is_renewed() {
    // The first one has ended as soon as it is there; each step of the upload takes the newest.
    let given = AtomicUsize::new(0);
    let aws = Server::start(move |asked, _| {
        let number = given.fetch_add(1, Ordering::SeqCst);
        authorization(asked, &format!("t{number}"), if number < 2 { 1 } else { LATER })
    });
    let registry = Server::start(
        |asked, _| match (asked.method.as_str(), asked.header("Authorization")) {
            (_, None) => answer(401, &[("WWW-Authenticate", "Basic realm=x")], ""),
            ("POST", Some(shown)) if shown == basic("AWS", "t0") => {
                answer(202, &[("Location", "/v2/up/1")], "")
            }
            ("PATCH", Some(shown)) if shown == basic("AWS", "t1") => {
                answer(202, &[("Location", "/v2/up/1")], "")
            }
            ("PUT", Some(shown)) if shown == basic("AWS", "t2") => answer(201, &[], ""),
            _ => answer(400, &[], ""),
        },
    );
    let world = World::new(&registry, &aws).with_key();
    world.client(|| {
        let registry = open(PRIVATE, Access::Write);
        let mut sink = registry.begin(Expect::Unknown { size: 3 }).unwrap();
        sink.write(0, b"abc").unwrap();
        sink.commit(&hashed(b"abc")).unwrap();
    });
    assert_eq!(aws.asked().len(), 3);
}

/// The error of a push to private ECR, where AWS gives no token.
fn refusal() -> (aws::Error, String) {
    let error = open(PRIVATE, Access::Write).need(&blob(b"x")).unwrap_err();
    let text = chain(&error);
    let Some(found @ Error::Aws { .. }) = Error::behind(&error) else {
        panic!("{text}");
    };
    assert!(found.is_authentication(), "{text}");
    let modelkeep_core::content::Error::Io { source, .. } = error else {
        panic!("{text}");
    };
    match *source.into_inner().unwrap().downcast::<Error>().unwrap() {
        Error::Aws { source, .. } => (source, text),
        other => panic!("{other}"),
    }
}

#[test]
fn without_any_credentials_a_push_says_so_and_asks_nobody() {
    let (registry, aws) = (ecr_private(), generous());
    let world = World::new(&registry, &aws);
    world.client(|| {
        assert!(matches!(
            refusal(),
            (aws::Error::NoCredentials { machine: None }, _)
        ));
    });
    assert!(aws.asked().is_empty());
}

#[test]
fn credentials_that_aws_refuses_are_told_apart() {
    for (code, message) in [
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ecr:GetAuthorizationToken on resource: *",
        ),
    ] {
        let registry = ecr_private();
        let aws =
            Server::start(move |_, _| json(400, &format!(r#"{{"__type":"{code}","message":"{message}"}}"#)));
        let world = World::new(&registry, &aws).with_key().with("EXPECTED_CODE", code);
        world.client(|| {
            let (error, text) = refusal();
            match super::variable("EXPECTED_CODE").unwrap().as_str() {
                "ExpiredTokenException" => assert!(matches!(error, aws::Error::Expired { .. }), "{text}"),
                "AccessDeniedException" => assert!(
                    matches!(&error, aws::Error::Denied { action, .. } if action == "ecr:GetAuthorizationToken"),
                    "{text}"
                ),
                _ => assert!(matches!(error, aws::Error::Rejected { .. }), "{text}"),
            }
        });
        assert_eq!(aws.asked().len(), 1, "{code}");
    }
}

#[test]
fn an_address_that_is_set_and_empty_is_said_and_ends_nothing() {
    let (registry, aws) = (ecr_private(), generous());
    let world = World::new(&registry, &aws)
        .with_key()
        .with("AWS_ENDPOINT_URL_ECR", "");
    world.client(|| {
        let error = open(PRIVATE, Access::Write).need(&blob(b"x")).unwrap_err();
        assert!(
            chain(&error).contains("AWS_ENDPOINT_URL_ECR is set and empty"),
            "{}",
            chain(&error)
        );
    });
}

#[test]
fn an_aws_that_is_not_there_is_told_from_credentials_that_are_wrong() {
    let (registry, aws) = (ecr_private(), generous());
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let world = World::new(&registry, &aws)
        .with_key()
        .with("AWS_ENDPOINT_URL_ECR", &address);
    world.client(|| {
        let error = open(PRIVATE, Access::Write).need(&blob(b"x")).unwrap_err();
        let found = Error::behind(&error);
        assert!(
            matches!(
                found,
                Some(Error::Aws {
                    source: aws::Error::Unreachable { .. },
                    ..
                })
            ),
            "{found:?}"
        );
        assert!(!found.unwrap().is_authentication());
    });
}

#[test]
fn aws_is_reached_through_the_proxy_and_trusted_as_the_bundle_says() {
    let (registry, aws) = (ecr_private(), generous());
    let proxy = Server::start(|_, _| answer(403, &[], ""));
    let world = World::new(&registry, &aws)
        .with_key()
        .without("AWS_ENDPOINT_URL")
        .with("HTTPS_PROXY", &proxy.host());
    let push = || {
        let error = open(PRIVATE, Access::Write).need(&blob(b"x")).unwrap_err();
        let text = chain(&error);
        match super::variable("AWS_CA_BUNDLE") {
            Some(bundle) => assert!(text.contains(&bundle), "{text}"),
            None => assert!(text.contains("CONNECT api.ecr.eu-central-1"), "{text}"),
        }
    };
    world.client(push);
    assert_eq!(
        proxy.count("CONNECT", "api.ecr.eu-central-1.amazonaws.com:443"),
        1
    );
    let tunnel = Server::start(|_, _| answer(200, &[], ""));
    world
        .with("HTTPS_PROXY", &tunnel.host())
        .with("AWS_CA_BUNDLE", "/nowhere/bundle.pem")
        .client(push);
}
