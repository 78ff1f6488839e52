//! The places in which AWS credentials lie.

use modelkeep_client::{Access, Error, aws};
use modelkeep_core::content::{Need, Target};

use super::{LATER, PRIVATE, World, authorization, ecr_private, json, open, signed, target};
use crate::{
    blob,
    server::{Server, answer},
};

fn writes() {
    let found = open(PRIVATE, Access::Write).need(&blob(b"x"));
    assert_eq!(found.unwrap(), Need::Nothing);
}

/// The key that a token was asked for with.
fn key(aws: &Server) -> String {
    let asked = aws.asked();
    let last = asked.iter().find(|asked| !target(asked).is_empty());
    signed(last.unwrap()).0
}

fn giver() -> Server {
    Server::start(|asked, _| authorization(asked, "token", LATER))
}

/// The key of a role, as the token service gives it.
fn assumed(operation: &str, key: &str) -> String {
    format!(
        r#"<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{operation}Result><Credentials>
        <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>hunter2</SecretAccessKey><SessionToken>session</SessionToken>
        <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::1:x</Arn>
        <AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser></{operation}Result></{operation}Response>"#
    )
}

const ROLE: &str = r#"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"AKIDROLE","SecretAccessKey":"hunter2",
    "Token":"session","RoleArn":"x","Expiration":"2100-01-01T00:00:00Z","LastUpdated":"2020-01-01T00:00:00Z"}"#;

#[test]
fn a_profile_gives_key_and_endpoint() {
    let (registry, aws) = (ecr_private(), giver());
    let config = format!(
        "[profile ci]\nregion = eu-west-1\nservices = local\n\n[services local]\necr =\n  endpoint_url = http://{}\n",
        aws.host()
    );
    let keys = "[ci]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = hunter2\n";
    let world = World::new(&registry, &aws)
        .without("AWS_ENDPOINT_URL")
        .with_file(".aws/config", &config)
        .with_file(".aws/credentials", keys)
        .with("AWS_PROFILE", "ci");
    world.client(writes);
    assert_eq!(key(&aws), "AKIDPROFILE");
}

#[test]
fn the_endpoint_of_a_service_goes_before_that_of_all() {
    let (registry, aws, nobody) = (ecr_private(), giver(), giver());
    let world = World::new(&registry, &nobody)
        .with_key()
        .with("AWS_ENDPOINT_URL_ECR", &format!("http://{}", aws.host()));
    world.client(writes);
    assert_eq!(key(&aws), "AKIDEXAMPLE");
    assert!(nobody.asked().is_empty());
}

#[test]
fn a_program_gives_credentials() {
    let (registry, aws) = (ecr_private(), giver());
    let program =
        "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"AKIDPROGRAM\",\"SecretAccessKey\":\"hunter2\"}'\n";
    let world = World::new(&registry, &aws).with_file("give", program);
    let config = format!(
        "[default]\ncredential_process = /bin/sh {}\n",
        world.path("give").display()
    );
    let world = world
        .with_file(".aws/config", &config)
        .with("PATH", "/usr/bin:/bin");
    world.client(writes);
    assert_eq!(key(&aws), "AKIDPROGRAM");
}

#[test]
fn an_identity_of_the_web_becomes_a_role() {
    let registry = ecr_private();
    let aws = Server::start(|asked, _| {
        let body = String::from_utf8_lossy(&asked.body);
        if !body.contains("AssumeRoleWithWebIdentity") {
            return authorization(asked, "token", LATER);
        }
        assert!(body.contains("WebIdentityToken=the.oidc.token"), "{body}");
        let xml = assumed("AssumeRoleWithWebIdentity", "AKIDWEB");
        answer(200, &[("Content-Type", "text/xml")], xml)
    });
    let world = World::new(&registry, &aws).with_file("token", "the.oidc.token");
    let token = world.path("token").display().to_string();
    let world = world
        .with("AWS_REGION", "eu-west-1")
        .with("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ci")
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
    world.client(writes);
    assert_eq!(key(&aws), "AKIDWEB");
}

#[test]
fn a_profile_assumes_a_role() {
    let registry = ecr_private();
    let aws = Server::start(|asked, _| {
        let body = String::from_utf8_lossy(&asked.body);
        if !body.contains("Action=AssumeRole") {
            return authorization(asked, "token", LATER);
        }
        assert_eq!(signed(asked).0, "AKIDPROFILE");
        let xml = assumed("AssumeRole", "AKIDASSUMED");
        answer(200, &[("Content-Type", "text/xml")], xml)
    });
    let config = "[default]\nregion = eu-west-1\nrole_arn = arn:aws:iam::123456789012:role/ci\nsource_profile = base\n\n\
        [profile base]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = hunter2\n";
    let world = World::new(&registry, &aws).with_file(".aws/config", config);
    world.client(writes);
    assert_eq!(key(&aws), "AKIDASSUMED");
}

#[test]
fn a_container_has_a_role() {
    let registry = ecr_private();
    let aws = Server::start(|asked, _| match asked.is("GET", "/role") {
        true => answer(200, &[("Content-Type", "application/json")], ROLE),
        false => authorization(asked, "token", LATER),
    });
    let url = format!("http://{}/role", aws.host());
    let world = World::new(&registry, &aws).with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    world.client(writes);
    assert_eq!(key(&aws), "AKIDROLE");
}

#[test]
fn a_machine_has_a_role() {
    let registry = ecr_private();
    let aws = Server::start(|asked, _| {
        let lives = [("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")];
        let knows = asked.header("X-Aws-Ec2-Metadata-Token") == Some("metadata");
        match asked.target.as_str() {
            "/latest/api/token" => answer(200, &lives, "metadata"),
            path if path.starts_with("/latest/") && !knows => answer(401, &[], ""),
            path if path.ends_with("/security-credentials/") => answer(200, &[], "ci"),
            path if path.ends_with("/ci") => answer(200, &[], ROLE),
            path if path.starts_with("/latest/") => answer(404, &[], ""),
            _ => authorization(asked, "token", LATER),
        }
    });
    let world = World::new(&registry, &aws)
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            &format!("http://{}", aws.host()),
        );
    world.client(writes);
    assert_eq!(key(&aws), "AKIDROLE");
}

#[test]
fn a_session_of_single_sign_on_becomes_a_role() {
    let registry = ecr_private();
    let aws = Server::start(|asked, _| {
        if !asked.is("GET", "/federation/credentials") {
            return authorization(asked, "token", LATER);
        }
        assert_eq!(asked.header("X-Amz-Sso_bearer_token"), Some("access"));
        json(
            200,
            r#"{"roleCredentials":{"accessKeyId":"AKIDSSO","secretAccessKey":"hunter2","sessionToken":"session","expiration":4102444800000}}"#,
        )
    });
    let config = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = ci\n\n\
        [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.example/start\n";
    let token = r#"{"accessToken":"access","expiresAt":"2100-01-01T00:00:00Z","region":"eu-west-1","startUrl":"https://corp.example/start"}"#;
    // Named by the SHA-1 of `corp`.
    let world = World::new(&registry, &aws)
        .with_file(".aws/config", config)
        .with_file(
            ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
            token,
        );
    world.client(writes);
    assert_eq!(key(&aws), "AKIDSSO");
}

#[test]
fn a_machine_that_is_not_of_aws_has_none() {
    let (registry, machine) = (ecr_private(), Server::start(|_, _| answer(403, &[], "")));
    let world = World::new(&registry, &machine)
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            &format!("http://{}", machine.host()),
        );
    world.client(|| {
        let error = open(PRIVATE, Access::Write).need(&blob(b"x")).unwrap_err();
        let found = Error::behind(&error);
        assert!(
            matches!(
                found,
                Some(Error::Aws {
                    source: aws::Error::NoCredentials { machine: Some(_) },
                    ..
                })
            ),
            "{found:?}"
        );
    });
    assert_eq!(machine.asked().len(), 1);
}
