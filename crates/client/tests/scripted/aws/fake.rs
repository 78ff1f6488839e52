//! Repositories as AWS keeps them, in memory, behind its API.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Map, Value, json};

use super::{json as reply, target};
use crate::server::{Answer, Asked, Server};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Private ECR.
    Ecr,
    /// ECR Public.
    Public,
    /// The API of ECR Public, with what AWS lacks.
    Ours,
}

#[derive(Default)]
struct Kept {
    mutability: Map<String, Value>,
    catalog: Map<String, Value>,
    tags: BTreeMap<String, String>,
    policy: Option<String>,
    images: u64,
    created: u64,
}

/// Shared with the thread that answers.
type Repositories = Arc<Mutex<BTreeMap<String, Kept>>>;
type Refusal = (&'static str, &'static str);

/// An account of AWS.
pub(crate) struct Fake {
    kind: Kind,
    pub(crate) server: Server,
    kept: Repositories,
}

impl Fake {
    pub(crate) fn start(kind: Kind) -> Self {
        let kept = Repositories::default();
        let shared = Arc::clone(&kept);
        let server = Server::start(move |asked, _| answer(kind, &shared, asked));
        Self { kind, server, kept }
    }

    /// What it answers, for a server in front of it.
    pub(crate) fn answer(&self, asked: &Asked) -> Answer {
        answer(self.kind, &self.kept, asked)
    }

    pub(crate) fn push_image(&self, name: &str) {
        self.kept.lock().unwrap().get_mut(name).unwrap().images += 1;
    }
}

fn answer(kind: Kind, kept: &Mutex<BTreeMap<String, Kept>>, asked: &Asked) -> Answer {
    let (service, operation) = target(asked).split_once('.').unwrap_or_default();
    let expected = match kind {
        Kind::Ecr => "AmazonEC2ContainerRegistry_V20150921",
        Kind::Public | Kind::Ours => "SpencerFrontendService",
    };
    let input: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let done = match service == expected {
        true => perform(kind, &mut kept.lock().unwrap(), operation, &input),
        false => Err(("UnknownOperationException", "another service")),
    };
    match done {
        Ok(body) => reply(200, &body.to_string()),
        Err((code, message)) => reply(400, &json!({ "__type": code, "message": message }).to_string()),
    }
}

fn perform(
    kind: Kind,
    kept: &mut BTreeMap<String, Kept>,
    operation: &str,
    input: &Value,
) -> Result<Value, Refusal> {
    const NONE: Refusal = ("RepositoryNotFoundException", "there is none");
    let name = match (
        &input["repositoryName"],
        &input["repositoryNames"][0],
        &input["resourceArn"],
    ) {
        (Value::String(name), ..) | (_, Value::String(name), _) => name.clone(),
        (.., Value::String(arn)) => arn.split_once('/').unwrap().1.to_owned(),
        _ => String::new(),
    };
    if operation == "DescribeRegistries" {
        return Ok(
            json!({ "registries": [{ "registryId": "1", "registryArn": "arn:1", "registryUri": "r", "verified": false,
            "aliases": [], "imageTagMutability": kind == Kind::Ours }] }),
        );
    }
    if operation == "CreateRepository" {
        if kept.contains_key(&name) {
            return Err(("RepositoryAlreadyExistsException", "it is taken"));
        }
        let created = kept.len() as u64 + 1_700_000_000;
        let mut new = Kept {
            created,
            mutability: mutability(kind, input),
            ..Kept::default()
        };
        tag(&mut new, input);
        put_catalog(&mut new, &input["catalogData"]);
        kept.insert(name.clone(), new);
        return Ok(json!({ "repository": described(&name, &kept[&name]) }));
    }
    let found = kept.get_mut(&name).ok_or(NONE)?;
    let policy_none: Refusal = ("RepositoryPolicyNotFoundException", "there is no policy");
    match (operation, kind) {
        ("DescribeRepositories", _) => Ok(json!({ "repositories": [described(&name, found)] })),
        ("GetRepositoryCatalogData", Kind::Public | Kind::Ours) if found.catalog.is_empty() => {
            Err(("RepositoryCatalogDataNotFoundException", "there is none"))
        }
        ("GetRepositoryCatalogData", Kind::Public | Kind::Ours) => {
            let mut catalog = found.catalog.clone();
            if catalog.remove("logoImageBlob").is_some() {
                catalog.insert("logoUrl".to_owned(), "https://logos.example/1".into());
            }
            Ok(json!({ "catalogData": catalog }))
        }
        ("PutRepositoryCatalogData", Kind::Public | Kind::Ours) => {
            put_catalog(found, &input["catalogData"]);
            Ok(json!({ "catalogData": {} }))
        }
        ("PutImageTagMutability", Kind::Ecr | Kind::Ours) => {
            found.mutability = mutability(kind, input);
            Ok(json!({}))
        }
        ("ListTagsForResource", _) => {
            let tags = found.tags.iter();
            let tags: Vec<Value> = tags
                .map(|(key, value)| json!({ "Key": key, "Value": value }))
                .collect();
            Ok(json!({ "tags": tags }))
        }
        ("TagResource", _) => {
            tag(found, input);
            Ok(json!({}))
        }
        ("UntagResource", _) => {
            let keys = input["tagKeys"].as_array().unwrap();
            found.tags.retain(|key, _| !keys.contains(&json!(key)));
            Ok(json!({}))
        }
        ("GetRepositoryPolicy", _) => {
            let policy = found.policy.as_ref().ok_or(policy_none)?;
            Ok(json!({ "policyText": policy }))
        }
        ("SetRepositoryPolicy", _) => {
            found.policy = input["policyText"].as_str().map(str::to_owned);
            Ok(json!({}))
        }
        ("DeleteRepositoryPolicy", _) => {
            found.policy.take().ok_or(policy_none)?;
            Ok(json!({}))
        }
        ("DescribeImages", _) => {
            let image = json!({ "imageDigest": "sha256:1" });
            let images = vec![image; usize::try_from(found.images).unwrap()];
            Ok(json!({ "imageDetails": images }))
        }
        ("DeleteRepository", _) if found.images > 0 && input["force"] != true => {
            Err(("RepositoryNotEmptyException", "it holds images"))
        }
        ("DeleteRepository", _) => {
            kept.remove(&name);
            Ok(json!({}))
        }
        _ => Err(("UnknownOperationException", "there is no such operation")),
    }
}

/// AWS's ECR Public passes over what it does not know.
fn mutability(kind: Kind, input: &Value) -> Map<String, Value> {
    let members = ["imageTagMutability", "imageTagMutabilityExclusionFilters"];
    let known = members.iter().filter(|_| kind != Kind::Public);
    known
        .filter_map(|&member| Some((member.to_owned(), input.get(member)?.clone())))
        .collect()
}

fn tag(kept: &mut Kept, input: &Value) {
    for tag in input["tags"].as_array().into_iter().flatten() {
        let text = |member: &str| tag[member].as_str().unwrap().to_owned();
        kept.tags.insert(text("Key"), text("Value"));
    }
}

/// What is left out stays.
fn put_catalog(kept: &mut Kept, input: &Value) {
    for (member, value) in input.as_object().into_iter().flatten() {
        kept.catalog.insert(member.clone(), value.clone());
    }
}

fn described(name: &str, kept: &Kept) -> Value {
    let mut described = json!({
        "repositoryArn": format!("arn:aws:ecr:x:1:repository/{name}"),
        "registryId": "123456789012",
        "repositoryName": name,
        "repositoryUri": format!("registry.example/{name}"),
        "createdAt": kept.created,
    });
    described.as_object_mut().unwrap().extend(kept.mutability.clone());
    described
}
