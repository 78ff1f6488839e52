//! Calls of the ECR Public API, with something wrong in most.

use jiff::Timestamp;

use crate::grammar::{Known, NAMES, NUMBERS, PIECES, Random, TAGS, damage};

const OPERATIONS: &[&str] = &[
    "BatchCheckLayerAvailability",
    "BatchDeleteImage",
    "CompleteLayerUpload",
    "CreateRepository",
    "DeleteRepository",
    "DeleteRepositoryPolicy",
    "DescribeImageTags",
    "DescribeImages",
    "DescribeRegistries",
    "DescribeRepositories",
    "GetAuthorizationToken",
    "GetRegistryCatalogData",
    "GetRepositoryCatalogData",
    "GetRepositoryPolicy",
    "InitiateLayerUpload",
    "ListTagsForResource",
    "PutImage",
    "PutImageTagMutability",
    "PutRegistryCatalogData",
    "PutRepositoryCatalogData",
    "SetRepositoryPolicy",
    "TagResource",
    "UntagResource",
    "UploadLayerPart",
    "UploadLayerPart",
    "CompleteLayerUpload",
    "PutImage",
    "NoSuch",
    "",
];
const MEMBERS: &[&str] = &[
    "registryId",
    "imageIds",
    "nextToken",
    "maxResults",
    "force",
    "catalogData",
    "tags",
    "tagKeys",
    "resourceArn",
    "policyText",
    "displayName",
    "imageTag",
    "imageDigest",
    "imageManifestMediaType",
    "imageTagMutability",
    "imageTagMutabilityExclusionFilters",
    "repositoryNames",
    "layerDigests",
    "\u{0}",
];

/// One to three calls on one connection, some broken.
pub(crate) fn exchange(random: &mut Random, known: &Known) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        bytes.extend(call(random, known));
    }
    if random.one_in(2) {
        damage(random, &mut bytes);
    }
    bytes
}

fn call(random: &mut Random, known: &Known) -> Vec<u8> {
    let mut body = input(random, known);
    if random.one_in(6) {
        damage(random, &mut body);
    }
    let (target, authorization) = (random.pick(OPERATIONS), authorization(random));
    let time = match random.below(12) {
        0 => random.pick(NUMBERS).to_owned(),
        _ => Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string(),
    };
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-Amz-Target: SpencerFrontendService.{target}\r\nX-Amz-Date: {time}\r\n\
         Authorization: {authorization}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

fn authorization(random: &mut Random) -> String {
    let date = Timestamp::now().strftime("%Y%m%d").to_string();
    let mut text = format!(
        "AWS4-HMAC-SHA256 Credential=A/{date}/us-east-1/ecr-public/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-target, Signature={:064x}",
        random.next()
    );
    if random.one_in(8) {
        let at = random.below(text.len());
        text.insert_str(
            at,
            random.pick(&["/", "=", ",", ";", " ", "Credential=", "\u{e9}", "%"]),
        );
    }
    text
}

fn input(random: &mut Random, known: &Known) -> Vec<u8> {
    let repository = if random.one_in(4) {
        random.pick(NAMES)
    } else {
        "a/b"
    };
    let mut text = format!("{{\"repositoryName\":{}", quoted(repository));
    match random.below(5) {
        0 => {
            let upload = &known.upload;
            let id = [
                &upload[..8],
                &upload[8..12],
                &upload[12..16],
                &upload[16..20],
                &upload[20..],
            ]
            .join("-");
            let first = random.pick(NUMBERS);
            let last = random.pick(NUMBERS);
            let blob = random.pick(&["", "AA==", "e30=", "AAAA", "A", "=", "\\/\\/==", "\\u0041"]);
            let parts = [
                format!(",\"layerPartBlob\":\"{blob}\""),
                format!(",\"uploadId\":\"{id}\",\"layerDigests\":[\"{}\"]", known.blob),
                format!(",\"partFirstByte\":{first},\"partLastByte\":{last}"),
            ];
            let turn = random.below(3);
            for n in 0..3 {
                text.push_str(&parts[(n + turn) % 3]);
            }
        }
        1 => {
            let manifest = crate::grammar::manifest(&known.blob);
            let manifest = if random.one_in(3) {
                manifest.replace("schemaVersion", random.pick(PIECES))
            } else {
                manifest
            };
            let tag = random.pick(TAGS);
            text.push_str(&format!(
                ",\"imageManifest\":{},\"imageTag\":{}",
                quoted(&manifest),
                quoted(tag)
            ));
        }
        _ => {}
    }
    for _ in 0..random.below(4) {
        let member = random.pick(MEMBERS);
        text.push_str(&format!(",\"{member}\":{}", value(random, known, 3)));
    }
    text.push('}');
    text.into_bytes()
}

fn value(random: &mut Random, known: &Known, depth: usize) -> String {
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => random.pick(NUMBERS).to_owned(),
        1 => quoted(random.pick(TAGS)),
        2 => quoted(random.pick(PIECES)),
        3 => quoted(&known.manifest),
        4 => quoted(random.pick(&[
            "arn:aws:ecr-public::000000000000:repository/a/b",
            "WILDCARD",
            "YQ",
            "a/b",
        ])),
        5 => random.pick(&["true", "null", "\"\"", "[]", "{}"]).to_owned(),
        6 => {
            let items: Vec<String> = (0..random.below(4))
                .map(|_| value(random, known, depth - 1))
                .collect();
            format!("[{}]", items.join(","))
        }
        7 => format!(
            "[{{\"imageTag\":{},\"Key\":{},\"filter\":\"x*\"}}]",
            quoted(random.pick(TAGS)),
            quoted(random.pick(PIECES))
        ),
        _ => format!(
            "{{\"description\":{},\"logoImageBlob\":{}}}",
            value(random, known, depth - 1),
            value(random, known, 0)
        ),
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
