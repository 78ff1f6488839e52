//! Repositories of AWS, declared through its API.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use modelkeep_client::aws::{AwsOptions, Repositories};
use modelkeep_core::{
    Mutability, RepoName,
    repositories::{Change, Deletion, Description, Enforcement, Error, Repositories as _},
};
use modelkeep_testkit::conformance::repositories::Registry;

use super::{
    World,
    fake::{Fake, Kind},
    json, signed, target, variable,
};
use crate::server::{Answer, Asked, Server, answer};

fn options(server: &Server) -> AwsOptions {
    AwsOptions {
        endpoint_url: Some(format!("http://{}", server.host())),
        region: Some("eu-central-1".to_owned()),
        ..AwsOptions::default()
    }
}

fn open(kind: Kind, server: &Server) -> Repositories {
    match kind {
        Kind::Ecr => Repositories::ecr(&options(server)),
        Kind::Public | Kind::Ours => Repositories::ecr_public(&options(server)),
    }
    .unwrap()
}

/// A world in which the environment holds a key, and nothing else.
fn world() -> World {
    let nowhere = Server::start(|_, _| json(500, "{}"));
    World::new(&nowhere, &nowhere).with_key()
}

fn keeps(kind: Kind, clause: &dyn Fn(&Registry<'_>)) {
    world().client(|| {
        let fake = Fake::start(kind);
        clause(&Registry {
            repositories: &open(kind, &fake.server),
            push_image: &|name| fake.push_image(name.as_str()),
        });
    });
}

mod private_ecr {
    fn keeps(clause: &dyn Fn(&super::Registry<'_>)) {
        super::keeps(super::Kind::Ecr, clause);
    }

    modelkeep_testkit::repository_tests!(keeps);
}

mod ecr_public {
    fn keeps(clause: &dyn Fn(&super::Registry<'_>)) {
        super::keeps(super::Kind::Public, clause);
    }

    modelkeep_testkit::repository_tests!(keeps);
}

/// What `modelkeep serve` has that ECR Public lacks.
mod ours {
    use modelkeep_core::repositories::Repositories as _;

    fn keeps(clause: &dyn Fn(&super::Registry<'_>)) {
        super::keeps(super::Kind::Ours, clause);
    }

    modelkeep_testkit::repository_tests!(keeps);

    #[test]
    fn a_registry_that_enforces_is_known_by_its_answers() {
        super::world().client(|| {
            let enforcement = |kind| {
                let fake = super::Fake::start(kind);
                super::open(kind, &fake.server).powers().enforcement
            };
            assert_eq!(enforcement(super::Kind::Ours), super::Enforcement::Registry);
            assert_eq!(enforcement(super::Kind::Public), super::Enforcement::Client);
        });
    }
}

fn name() -> RepoName {
    "team/digits".parse().unwrap()
}

fn create() -> Change {
    Change::Create(Description::new(Mutability::Immutable))
}

/// The error of looking at a repository of private ECR, where AWS answers by `script`.
fn looked(script: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Error {
    let server = Server::start(script);
    open(Kind::Ecr, &server).observe(&name()).unwrap_err()
}

fn refusal(code: &'static str, message: &'static str) -> impl Fn(&Asked, usize) -> Answer {
    move |_, _| json(400, &format!(r#"{{"__type":"{code}","message":"{message}"}}"#))
}

#[test]
fn ecr_public_is_asked_in_its_one_region_and_private_ecr_in_ours() {
    world().client(|| {
        for (kind, region, service) in [
            (Kind::Public, "us-east-1", "ecr-public"),
            (Kind::Ecr, "eu-central-1", "ecr"),
        ] {
            let fake = Fake::start(kind);
            let repositories = open(kind, &fake.server);
            assert_eq!(repositories.region(), region);
            assert!(repositories.observe(&name()).unwrap().is_none());
            for asked in fake.server.asked() {
                assert_eq!(
                    signed(&asked),
                    ("AKIDEXAMPLE".into(), region.into(), service.into())
                );
            }
        }
    });
}

#[test]
fn what_was_made_a_moment_ago_is_asked_for_until_it_is_seen() {
    world().client(|| {
        // Some parts of AWS say twice that there is no such repository.
        let fake = Fake::start(Kind::Ecr);
        let said = Mutex::new(BTreeMap::<String, usize>::new());
        let late = Server::start(move |asked, _| {
            let operation = target(asked).to_owned();
            let mut said = said.lock().unwrap();
            let times = said.entry(operation.clone()).or_default();
            *times += 1;
            let late = ["DescribeRepositories", "SetRepositoryPolicy", "DescribeImages"];
            match *times > 2 || !late.iter().any(|late| operation.ends_with(late)) {
                true => fake.answer(asked),
                false => refusal("RepositoryNotFoundException", "not yet")(asked, 0),
            }
        });
        let repositories = open(Kind::Ecr, &late);
        let mut description = Description::new(Mutability::Immutable);
        description.policy = Some("{}".to_owned());
        repositories.apply(&name(), &Change::Create(description)).unwrap();
        let found = repositories.observe(&name()).unwrap().unwrap();
        assert_eq!(found.description.policy.as_deref(), Some("{}"));
        // What nobody made is not waited for.
        let other = "team/other".parse().unwrap();
        assert!(repositories.observe(&other).unwrap().is_none());
        let error = repositories.apply(&other, &Change::DeletePolicy).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    });
}

#[test]
fn throttling_and_failures_that_pass_are_tried_again() {
    world().client(|| {
        let fake = Fake::start(Kind::Ecr);
        let failures = AtomicUsize::new(0);
        let server = Server::start(move |asked, _| match failures.fetch_add(1, Ordering::SeqCst) {
            0 => json(
                400,
                r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
            ),
            1 => json(503, ""),
            _ => fake.answer(asked),
        });
        open(Kind::Ecr, &server).apply(&name(), &create()).unwrap();
    });
}

#[test]
fn every_refusal_has_its_own_error() {
    world().client(|| {
        let denied = looked(refusal(
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/ci is not authorized to perform: ecr:DescribeRepositories on resource: *",
        ));
        assert!(
            matches!(&denied, Error::Permission { action, .. } if action == "ecr:DescribeRepositories"),
            "{denied}"
        );
        let expired = looked(refusal("ExpiredTokenException", "the token is expired"));
        assert!(matches!(expired, Error::ExpiredCredentials { .. }), "{expired}");
        let unknown = looked(refusal("UnrecognizedClientException", "the token is invalid"));
        assert!(matches!(unknown, Error::RejectedCredentials { .. }), "{unknown}");
        let limit = looked(refusal("LimitExceededException", "10,000 repositories"));
        assert!(matches!(limit, Error::LimitExceeded { .. }), "{limit}");
        let value = looked(refusal("InvalidParameterException", "Invalid parameter"));
        assert!(matches!(value, Error::InvalidParameter { .. }), "{value}");
        let elsewhere = looked(refusal("UnsupportedCommandException", "only supported in us-east-1"));
        assert!(matches!(elsewhere, Error::Unsupported { .. }), "{elsewhere}");
        let page = looked(|_, _| json(200, "<html>captive portal</html>"));
        assert!(matches!(page, Error::Failed { .. }), "{page}");
        let nothing = looked(|_, _| json(200, "{}"));
        assert!(matches!(nothing, Error::Failed { .. }), "{nothing}");
        let odd = looked(|_, _| {
            json(200, r#"{"repositories":[{"repositoryArn":"a","repositoryUri":"u","imageTagMutability":"SOMETIMES"}]}"#)
        });
        assert!(odd.to_string().contains("SOMETIMES"), "{odd}");
    });
}

#[test]
fn without_credentials_nobody_is_asked() {
    let nowhere = Server::start(|_, _| json(500, "{}"));
    World::new(&nowhere, &nowhere).client(|| {
        let fake = Fake::start(Kind::Ecr);
        let error = open(Kind::Ecr, &fake.server).observe(&name()).unwrap_err();
        assert!(matches!(error, Error::NoCredentials { .. }), "{error}");
        assert!(fake.server.asked().is_empty());
    });
}

#[test]
fn a_session_of_single_sign_on_that_is_over_is_told_from_none() {
    let config = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = ci\n\n\
        [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.example/start\n";
    // The machine knows that the session is over, or only AWS does.
    for ends in ["2001-01-01", "2100-01-01"] {
        let portal = Server::start(|_, _| {
            let said = [("X-Amzn-ErrorType", "UnauthorizedException")];
            answer(401, &said, r#"{"message":"Session token not found or invalid"}"#)
        });
        let token = format!(
            r#"{{"accessToken":"hunter2","expiresAt":"{ends}T00:00:00Z","region":"eu-west-1","startUrl":"https://corp.example/start"}}"#
        );
        World::new(&portal, &portal)
            .with_file(".aws/config", config)
            .with_file(
                ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
                &token,
            )
            .client(|| {
                let fake = Fake::start(Kind::Ecr);
                let error = open(Kind::Ecr, &fake.server).observe(&name()).unwrap_err();
                assert!(matches!(error, Error::ExpiredCredentials { .. }), "{error}");
            });
    }
}

#[test]
fn private_ecr_without_a_region_says_so() {
    let nowhere = Server::start(|_, _| json(500, "{}"));
    World::new(&nowhere, &nowhere).with_key().client(|| {
        let error = Repositories::ecr(&AwsOptions::default()).unwrap_err();
        assert!(error.to_string().contains("no region is set"), "{error}");
    });
}

#[test]
fn an_address_where_nobody_answers_is_unreachable() {
    world().client(|| {
        let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let options = AwsOptions {
            endpoint_url: Some(format!("http://{}", nobody.local_addr().unwrap())),
            region: Some("eu-central-1".to_owned()),
            ..AwsOptions::default()
        };
        drop(nobody);
        let error = Repositories::ecr(&options).unwrap().observe(&name()).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        let error = Repositories::ecr_public(&options).unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    });
}

#[test]
fn a_profile_can_be_named_by_a_setting() {
    let nowhere = Server::start(|_, _| json(500, "{}"));
    let keys = "[other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = hunter2\n";
    World::new(&nowhere, &nowhere)
        .with_file(".aws/credentials", keys)
        .client(|| {
            let fake = Fake::start(Kind::Ecr);
            let options = AwsOptions {
                profile: Some("other".to_owned()),
                ..options(&fake.server)
            };
            let repositories = Repositories::ecr(&options).unwrap();
            repositories.apply(&name(), &create()).unwrap();
            let deleted = Change::Delete(Deletion::OnlyEmpty);
            repositories.apply(&name(), &deleted).unwrap();
            assert_eq!(signed(&fake.server.asked()[0]).0, "AKIDOTHER");
            assert!(variable("AWS_PROFILE").is_none());
        });
}
