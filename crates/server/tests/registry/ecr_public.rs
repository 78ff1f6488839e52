//! The ECR Public API beside `/v2/`: one store, one rule. `tests/peers/test_ecr_public.py` has AWS's own clients.

use std::io::{Read, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use modelkeep_core::{Digest, media};
use modelkeep_server::{
    ServeConfig,
    access::{AccessConfig, AwsKey, Rule},
};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Answer, Running, manifest};

const SECRET: &str = "a secret";

/// A server with one key, which may do all.
pub(crate) fn config() -> ServeConfig {
    let rule = r#"who = "*"
        actions = ["pull", "push", "delete", "catalog"]"#;
    ServeConfig {
        access: AccessConfig {
            aws_keys: vec![format!("AKID:{SECRET}").parse::<AwsKey>().unwrap()],
            rules: vec![toml::from_str::<Rule>(rule).unwrap()],
            anonymous_pull: true,
            ..AccessConfig::default()
        },
        ..Running::config()
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn fields(operation: &str, body: &[u8], secret: &str) -> Vec<(&'static str, String)> {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let target = format!("SpencerFrontendService.{operation}");
    let scope = format!("{}/us-east-1/ecr-public/aws4_request", &time[..8]);
    let names = "host;x-amz-date;x-amz-target";
    let request = format!(
        "POST\n/\n\nhost:registry\nx-amz-date:{time}\nx-amz-target:{target}\n\n{names}\n{}",
        Digest::of(body).hex()
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        Digest::of(request.as_bytes()).hex()
    );
    let key = scope
        .split('/')
        .fold(format!("AWS4{secret}").into_bytes(), |key, word| hmac(&key, word));
    let signature: String = hmac(&key, &text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders={names}, Signature={signature}");
    vec![
        ("X-Amz-Date", time),
        ("X-Amz-Target", target),
        ("Authorization", authorization),
    ]
}

fn send(server: &Running, operation: &str, body: &[u8], secret: &str) -> Answer {
    let fields = fields(operation, body, secret);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    server.send("POST", "/", &fields, body)
}

/// A call that is done; its answer.
#[track_caller]
pub(crate) fn call(server: &Running, operation: &str, input: &Value) -> Value {
    let answer = send(server, operation, input.to_string().as_bytes(), SECRET);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// A call that is refused; the error's name.
#[track_caller]
pub(crate) fn refused(server: &Running, operation: &str, input: &Value) -> String {
    let answer = send(server, operation, input.to_string().as_bytes(), SECRET);
    assert_eq!(answer.status, 400, "{}", answer.text());
    let error: Value = serde_json::from_slice(&answer.body).unwrap();
    error["__type"].as_str().unwrap().to_owned()
}

fn begin(server: &Running) -> Value {
    call(
        server,
        "InitiateLayerUpload",
        &json!({ "repositoryName": "digits" }),
    )["uploadId"]
        .clone()
}

fn part(upload: &Value, first: usize, bytes: &[u8]) -> Value {
    json!({
        // As SDKs that sort members send it: before all that it needs.
        "layerPartBlob": STANDARD.encode(bytes),
        "partFirstByte": first,
        "partLastByte": first + bytes.len() - 1,
        "repositoryName": "digits",
        "uploadId": upload,
    })
}

#[test]
fn what_one_protocol_wrote_the_other_reads_under_one_rule() {
    let server = Running::start(config());
    call(
        &server,
        "CreateRepository",
        &json!({ "repositoryName": "digits" }),
    );
    let upload = begin(&server);
    call(&server, "UploadLayerPart", &part(&upload, 0, b"{}"));
    let complete = json!({
        "repositoryName": "digits", "uploadId": upload, "layerDigests": [Digest::of(b"{}")],
    });
    call(&server, "CompleteLayerUpload", &complete);
    let one = manifest("one");
    let put = json!({ "repositoryName": "digits", "imageManifest": one, "imageTag": "1.0" });
    call(&server, "PutImage", &put);
    let pulled = server.get("/v2/digits/manifests/1.0");
    assert_eq!(pulled.body, one.as_bytes());
    assert_eq!(
        server
            .get(&format!("/v2/digits/blobs/{}", Digest::of(b"{}")))
            .body,
        b"{}"
    );

    let login = call(&server, "GetAuthorizationToken", &json!({}));
    let login = login["authorizationData"]["authorizationToken"].as_str().unwrap();
    let bearer = format!("Bearer {login}");
    let fields = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", media::OCI_MANIFEST),
    ];
    let two = manifest("two");
    let push = |tag: &str| {
        server.send(
            "PUT",
            &format!("/v2/digits/manifests/{tag}"),
            &fields,
            two.as_bytes(),
        )
    };
    push("1.0").refused(409, "DENIED");
    assert_eq!(push("1.1").status, 201);
    let put = json!({ "repositoryName": "digits", "imageManifest": one, "imageTag": "1.1" });
    assert_eq!(
        refused(&server, "PutImage", &put),
        "ImageTagAlreadyExistsException"
    );
    let tags = call(
        &server,
        "DescribeImageTags",
        &json!({ "repositoryName": "digits" }),
    );
    let names: Vec<&str> = tags["imageTagDetails"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["imageTag"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["1.0", "1.1"]);
}

#[test]
fn which_tags_may_move_is_said_and_can_be_changed() {
    let server = Running::start(config());
    let named = json!({ "repositoryName": "digits" });
    call(&server, "CreateRepository", &named);
    let registries = call(&server, "DescribeRegistries", &json!({}));
    assert_eq!(registries["registries"][0]["imageTagMutability"], true);
    let filters = json!([{ "filterType": "WILDCARD", "filter": "latest" }]);
    let put = json!({
        "repositoryName": "digits", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": filters,
    });
    for _ in 0..2 {
        let changed = call(&server, "PutImageTagMutability", &put);
        assert_eq!(changed["imageTagMutabilityExclusionFilters"], filters);
    }
    let found = call(
        &server,
        "DescribeRepositories",
        &json!({ "repositoryNames": ["digits"] }),
    );
    assert_eq!(
        found["repositories"][0]["imageTagMutability"],
        "IMMUTABLE_WITH_EXCLUSION"
    );
    for wrong in [
        json!({ "repositoryName": "digits" }),
        json!({ "repositoryName": "digits", "imageTagMutability": "SOMETIMES" }),
        json!({ "repositoryName": "digits", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION" }),
    ] {
        let error = refused(&server, "PutImageTagMutability", &wrong);
        assert_eq!(error, "InvalidParameterException", "{wrong}");
    }
    let missing = json!({ "repositoryName": "other", "imageTagMutability": "MUTABLE" });
    assert_eq!(
        refused(&server, "PutImageTagMutability", &missing),
        "RepositoryNotFoundException"
    );
}

#[test]
fn a_layer_goes_on_in_another_process_and_remembers_how_small_its_parts_were() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let first = Running::start_on(&store, config());
    call(&first, "CreateRepository", &json!({ "repositoryName": "digits" }));
    let upload = begin(&first);
    call(&first, "UploadLayerPart", &part(&upload, 0, b"first"));
    drop(first);
    let second = Running::start_on(&store, config());
    let wrong = part(&upload, 4, b"second");
    assert_eq!(
        refused(&second, "UploadLayerPart", &wrong),
        "InvalidLayerPartException"
    );
    let mut short = part(&upload, 5, b"second");
    short["partLastByte"] = 20.into();
    assert_eq!(
        refused(&second, "UploadLayerPart", &short),
        "InvalidLayerPartException"
    );
    let mut not_base64 = part(&upload, 5, b"second");
    not_base64["layerPartBlob"] = "c2Vjb25k!".into();
    assert_eq!(
        refused(&second, "UploadLayerPart", &not_base64),
        "SerializationException"
    );
    call(&second, "UploadLayerPart", &part(&upload, 5, b"second"));
    drop(second);
    let third = Running::start_on(&store, config());
    let complete = json!({
        "repositoryName": "digits", "uploadId": upload, "layerDigests": [Digest::of(b"firstsecond")],
    });
    assert_eq!(
        refused(&third, "CompleteLayerUpload", &complete),
        "LayerPartTooSmallException"
    );
}

#[test]
fn a_large_body_that_nobody_signed_is_not_even_read_and_one_that_was_changed_leaves_nothing() {
    let server = Running::start(config());
    call(
        &server,
        "CreateRepository",
        &json!({ "repositoryName": "digits" }),
    );
    let upload = begin(&server);
    let announced = |fields: &[(&str, String)]| {
        let mut head = "POST / HTTP/1.1\r\nHost: registry\r\nContent-Length: 29500000\r\n".to_owned();
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = server.connect();
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    };
    let mut fields = fields("UploadLayerPart", b"", SECRET);
    assert_eq!(announced(&fields).status, 413);
    fields.pop();
    let answer = announced(&fields);
    assert!(
        answer.text().contains("MissingAuthenticationTokenException"),
        "{}",
        answer.text()
    );

    let body = part(&upload, 0, &vec![7; 100_000]).to_string().into_bytes();
    let answer = send(&server, "UploadLayerPart", &body, "another");
    assert!(
        answer.text().contains("InvalidSignatureException"),
        "{}",
        answer.text()
    );
    let root = server.store().root().to_owned();
    assert_eq!(std::fs::read_dir(root.join("v1/staging")).unwrap().count(), 0);
    call(&server, "UploadLayerPart", &part(&upload, 0, &vec![7; 100_000]));
}

#[test]
fn calls_are_counted_and_logged_by_their_operation_and_without_their_secrets() {
    let server = Running::start(config());
    call(&server, "DescribeRegistries", &json!({}));
    let line = server.logged("operation=DescribeRegistries");
    assert!(
        line.contains(" who=AKID ") && line.contains(" status=200 "),
        "{line}"
    );
    let answer = send(&server, "PutImage", b"[", SECRET);
    let line = server.logged("operation=PutImage");
    assert!(line.contains("SerializationException"), "{line}");
    assert!(
        line.contains(&format!(" id={} ", answer.field("X-Amzn-RequestId").unwrap())),
        "{line}"
    );
    let login = call(&server, "GetAuthorizationToken", &json!({}));
    let bearer = format!(
        "Bearer {}",
        login["authorizationData"]["authorizationToken"].as_str().unwrap()
    );
    let metrics = server
        .send("GET", "/metrics", &[("Authorization", &bearer)], b"")
        .text();
    for counter in [
        "{resource=\"DescribeRegistries\",method=\"POST\",status=\"200\"} 1",
        "{resource=\"PutImage\",method=\"POST\",status=\"400\"} 1",
    ] {
        assert!(metrics.contains(counter), "{counter} in {metrics}");
    }
    let line = server.logged("target=/metrics");
    assert!(!line.contains("mk1.") && !line.contains(&bearer[7..]), "{line}");
}

#[test]
fn a_login_by_key_gets_tokens_as_a_password_does_and_none_that_outlives_it() {
    let server = Running::start(config());
    let login = call(&server, "GetAuthorizationToken", &json!({}));
    let basic = format!(
        "Basic {}",
        login["authorizationData"]["authorizationToken"].as_str().unwrap()
    );
    let path = "/token?scope=repository:digits:pull,push&offline_token=true";
    let answer = server.send("GET", path, &[("Authorization", &basic)], b"");
    let token: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(token.get("refresh_token").is_none(), "{token}");
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let begun = |path: &str| {
        server
            .send("POST", path, &[("Authorization", &bearer)], b"")
            .status
    };
    assert_eq!(begun("/v2/digits/blobs/uploads/"), 202);
    assert_eq!(begun("/v2/other/blobs/uploads/"), 401);
    let wrong = server.send("GET", path, &[("Authorization", "Basic QVdTOm1rMS5hLmI=")], b"");
    assert_eq!(wrong.status, 401);
}

#[test]
fn a_server_with_keys_alone_lets_nobody_in_without() {
    let server = Running::start(ServeConfig {
        access: AccessConfig {
            anonymous_pull: false,
            ..config().access
        },
        ..config()
    });
    assert_eq!(server.get("/v2/").status, 401);
    assert_eq!(
        server.send("POST", "/v2/digits/blobs/uploads/", &[], b"").status,
        401
    );
    assert_eq!(server.get("/metrics").status, 401);
}

/// The login that the API gives, for `/v2/`.
fn bearer(server: &Running) -> String {
    let login = call(server, "GetAuthorizationToken", &json!({}));
    let token = login["authorizationData"]["authorizationToken"].as_str();
    format!("Bearer {}", token.unwrap())
}

/// A push over `/v2/` by whoever has the key.
pub(crate) fn push(server: &Running, repository: &str, reference: &str, mark: &str) -> (Answer, Digest) {
    let bearer = bearer(server);
    server.push_as(repository, reference, mark, &[("Authorization", bearer.as_str())])
}

/// A body sent to a path of `/v2/` by whoever has the key.
pub(crate) fn post(server: &Running, path: &str, body: &[u8]) -> Answer {
    let bearer = bearer(server);
    server.send("POST", path, &[("Authorization", bearer.as_str())], body)
}
