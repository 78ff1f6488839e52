//! The history over HTTP: read by whoever may pull, added to by whoever may push, under the rules of every push.

use std::thread;

use modelkeep_core::{Digest, media};
use modelkeep_ledger::{
    History, ListedKey, Role, Written,
    signing::{Bundle, PrivateKey, Signer as _},
};
use modelkeep_server::{CreateRepositories, ServeConfig};
use serde_json::{Value, json};

use crate::{
    access::{ADA, accounts},
    ecr_public::{self, refused},
    support::{Answer, Running, manifest},
};

const HISTORY: &str = "/v2/digits/_modelkeep/history";

/// The next entry after `entries`, as somebody makes it who looks at no rules: about an image of this mark.
fn entry(entries: &[Vec<u8>], version: &str, mark: &str, author: &str) -> Vec<u8> {
    entry_of(
        entries,
        version,
        mark,
        &json!({ "op": "publish", "author": author }),
    )
}

fn entry_of(entries: &[Vec<u8>], version: &str, mark: &str, more: &Value) -> Vec<u8> {
    let manifest = manifest(mark);
    let digest = Digest::of(manifest.as_bytes());
    let mut predicate = json!({
        "height": entries.len() + 1,
        "time": "2026-11-23T10:00:00Z",
        "author": "ada",
        "manifest": { "mediaType": media::OCI_MANIFEST, "digest": digest, "size": manifest.len() },
    });
    if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
        predicate["history"] = json!(Written::id_of(first));
        predicate["parents"] = json!([Written::id_of(last)]);
    }
    for (name, value) in more.as_object().unwrap() {
        predicate[name] = value.clone();
    }
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": version, "digest": { "sha256": digest.hex() } }],
        "predicateType": "https://modelkeep.dev/history/v1",
        "predicate": predicate,
    })
    .to_string()
    .into_bytes()
}

/// An entry that founds a signed history.
fn founding(key: &PrivateKey, version: &str, mark: &str) -> Vec<u8> {
    let own = ListedKey {
        key: key.public().clone(),
        role: Role::Publisher,
        name: None,
    };
    signed(
        key,
        entry_of(&[], version, mark, &json!({ "op": "publish", "keys": [own] })),
    )
}

fn signed(key: &PrivateKey, statement: Vec<u8>) -> Vec<u8> {
    Bundle::sign(statement, key).unwrap().to_bytes()
}

fn post(server: &Running, entry: &[u8]) -> Answer {
    server.send("POST", HISTORY, &[], entry)
}

fn read(server: &Running) -> (u64, Vec<Vec<u8>>) {
    page(&server.get(HISTORY))
}

fn page(answer: &Answer) -> (u64, Vec<Vec<u8>>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.field("Content-Type"),
        Some("application/vnd.modelkeep.history.v1+json")
    );
    let page: Value = serde_json::from_slice(&answer.body).unwrap();
    let entries = page["entries"].as_array().unwrap().iter();
    let entries = entries.map(|entry| entry.as_str().unwrap().as_bytes().to_vec());
    (page["height"].as_u64().unwrap(), entries.collect())
}

#[test]
fn an_entry_is_added_once_and_its_tag_follows() {
    let server = Running::start(Running::config());
    assert_eq!(read(&server), (0, vec![]), "a repository that is not there yet");
    let (pushed, digest) = server.push("digits", "DIGEST", "one");
    assert_eq!(pushed.status, 201);
    server
        .get("/v2/digits/manifests/1.0")
        .refused(404, "MANIFEST_UNKNOWN");
    let first = entry(&[], "1.0", "one", "Ada <ada@example.com>");
    for again in [false, true] {
        let added = post(&server, &first);
        assert_eq!(added.status, 201, "{again}: {}", added.text());
        assert_eq!(
            added.field("Modelkeep-Entry"),
            Some(Written::id_of(&first).to_string().as_str())
        );
    }
    assert_eq!(read(&server), (1, vec![first.clone()]));
    let found = server.get("/v2/digits/manifests/1.0");
    assert_eq!(
        found.field("Docker-Content-Digest"),
        Some(digest.to_string().as_str())
    );
    server.push("digits", "1.1", "two");
    let late = post(&server, &entry(std::slice::from_ref(&first), "1.2", "two", "Ada"));
    late.refused(409, "HISTORY_OVERTAKEN");
    assert_eq!(late.field("Modelkeep-Height"), Some("2"));
    assert_eq!(post(&server, &first).status, 201, "its answer may have been lost");
    let (_, entries) = read(&server);
    let taken = post(&server, &entry(&entries, "1.0", "two", "Ada"));
    taken.refused(409, "DENIED");
    let unknown = post(&server, &entry(&entries, "1.2", "three", "Ada"));
    unknown.refused(404, "MANIFEST_UNKNOWN");
    assert_eq!(read(&server).0, 2);
    let line = server.logged("method=POST target=/v2/digits/_modelkeep/history");
    assert!(line.contains("status=201"), "{line}");
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("resource=\"history\""), "{metrics}");
}

#[test]
fn a_history_is_read_by_the_page_and_from_any_height() {
    let server = Running::start(Running::config());
    server.push("digits", "DIGEST", "one");
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let long = "long ".repeat(24_000);
    for n in 0..10 {
        let more = json!({ "op": "publish", "message": long });
        let entry = entry_of(&entries, &format!("1.{n}"), "one", &more);
        let added = post(&server, &entry);
        assert_eq!(added.status, 201, "{}", added.text());
        entries.push(entry);
    }
    let first = server.get(HISTORY);
    let (height, mut read) = page(&first);
    assert_eq!(height, 10);
    assert!((1..10).contains(&read.len()), "{}", read.len());
    let next = format!("<{HISTORY}?from={}>; rel=\"next\"", read.len() + 1);
    assert_eq!(first.field("Link"), Some(next.as_str()));
    let rest = server.get(&format!("{HISTORY}?from={}", read.len() + 1));
    read.extend(page(&rest).1);
    assert_eq!(read, entries);
    assert_eq!(rest.field("Link"), None);
    History::verify(&read).unwrap();
    assert_eq!(page(&server.get(&format!("{HISTORY}?from=11"))), (10, vec![]));
    for from in ["0", "-1", "x", "", "99999999999999999999999"] {
        let answer = server.get(&format!("{HISTORY}?from={from}"));
        answer.refused(400, "UNSUPPORTED");
    }
}

#[test]
fn a_signed_history_takes_nothing_from_those_who_sign_nothing() {
    let server = Running::start(ecr_public::config());
    let created = json!({ "repositoryName": "digits" });
    ecr_public::call(&server, "CreateRepository", &created);
    let (_, one) = ecr_public::push(&server, "digits", "DIGEST", "one");
    let key = PrivateKey::generate();
    let first = founding(&key, "1.0", "one");
    assert_eq!(ecr_public::post(&server, HISTORY, &first).status, 201);
    let before = read(&server);
    let push = |reference| ecr_public::push(&server, "digits", reference, "two").0;
    push("1.1").refused(409, "DENIED");
    push("DIGEST?tag=sha256-0.sig&tag=1.1").refused(409, "DENIED");
    assert_eq!(push("DIGEST").status, 201, "by its digest alone");
    assert_eq!(
        ecr_public::push(&server, "digits", "1.0", "one").0.status,
        201,
        "what stands already"
    );
    let unsigned = entry(&before.1, "1.1", "two", "AKID");
    ecr_public::post(&server, HISTORY, &unsigned).refused(409, "DENIED");
    let foreign = signed(&PrivateKey::generate(), unsigned.clone());
    ecr_public::post(&server, HISTORY, &foreign).refused(409, "DENIED");
    let mut forged: Value = serde_json::from_slice(&signed(&key, unsigned)).unwrap();
    forged["dsseEnvelope"]["signatures"][0]["sig"] = json!("MEQCIA==");
    let forged = ecr_public::post(&server, HISTORY, forged.to_string().as_bytes());
    assert!(matches!(forged.status, 400 | 409), "{}", forged.text());
    for (operation, input) in [
        (
            "PutImage",
            json!({ "repositoryName": "digits", "imageManifest": manifest("two"), "imageTag": "1.1" }),
        ),
        (
            "BatchDeleteImage",
            json!({ "repositoryName": "digits", "imageIds": [{ "imageTag": "1.0" }] }),
        ),
        (
            "BatchDeleteImage",
            json!({ "repositoryName": "digits", "imageIds": [{ "imageDigest": one }] }),
        ),
        (
            "DeleteRepository",
            json!({ "repositoryName": "digits", "force": true }),
        ),
    ] {
        assert_eq!(
            refused(&server, operation, &input),
            "AccessDeniedException",
            "{operation}"
        );
    }
    assert_eq!(read(&server), before);
    assert_eq!(server.get("/v2/digits/manifests/1.0").status, 200);
    server
        .get("/v2/digits/manifests/1.1")
        .refused(404, "MANIFEST_UNKNOWN");
    let second = signed(&key, entry(&before.1, "1.1", "two", "Ada"));
    assert_eq!(ecr_public::post(&server, HISTORY, &second).status, 201);
}

#[test]
fn a_tag_that_may_move_is_not_deleted_from_a_signed_history() {
    let server = Running::start(ServeConfig {
        create_repositories: CreateRepositories::Mutable,
        ..Running::config()
    });
    let (_, digest) = server.push("digits", "DIGEST", "one");
    let key = PrivateKey::generate();
    assert_eq!(post(&server, &founding(&key, "1.0", "one")).status, 201);
    let before = read(&server);
    for path in [
        "/v2/digits/manifests/1.0".to_owned(),
        format!("/v2/digits/manifests/{digest}"),
    ] {
        server.send("DELETE", &path, &[], b"").refused(409, "DENIED");
        assert_eq!(server.get(&path).status, 200);
    }
    server.push("digits", "1.0", "two").0.refused(409, "DENIED");
    let more = json!({ "op": "delete", "name": "free" });
    let delete = signed(&key, entry_of(&before.1, "1.0", "one", &more));
    assert_eq!(post(&server, &delete).status, 201, "signed");
    server
        .get("/v2/digits/manifests/1.0")
        .refused(404, "MANIFEST_UNKNOWN");
}

#[test]
fn an_entry_without_a_signature_names_the_account_that_sends_it() {
    let home = tempfile::tempdir().unwrap();
    let server = Running::start(ServeConfig {
        create_repositories: CreateRepositories::Mutable,
        access: accounts(&home, "anonymous_pull = true"),
        ..Running::config()
    });
    server.push_as("digits", "DIGEST", "one", &[ADA]);
    let post = |entry: &[u8]| server.send("POST", HISTORY, &[ADA], entry);
    post(&entry(&[], "1.0", "one", "Grace")).refused(409, "DENIED");
    server
        .send("POST", HISTORY, &[], &entry(&[], "1.0", "one", "ada"))
        .refused(401, "UNAUTHORIZED");
    let told: Value = serde_json::from_slice(&server.send("GET", HISTORY, &[ADA], b"").body).unwrap();
    assert_eq!(
        (told["author"].as_str(), told["mutability"].as_str()),
        (Some("ada"), Some("MUTABLE"))
    );
    let first = entry(&[], "1.0", "one", "ada");
    assert_eq!(post(&first).status, 201);
    // Nobody may delete unless a rule says so, by an entry either.
    let delete = entry_of(&[first], "1.0", "one", &json!({ "op": "delete", "name": "free" }));
    post(&delete).refused(403, "DENIED");
    assert_eq!(read(&server).0, 1, "anybody may read");
}

#[test]
fn no_malformed_entry_is_added() {
    let server = Running::start(Running::config());
    server.push("digits", "DIGEST", "one");
    let right = entry(&[], "1.0", "one", "Ada");
    let mut wrong: Vec<Vec<u8>> = (0..right.len())
        .step_by(11)
        .map(|end| right[..end].to_vec())
        .collect();
    wrong.extend((0..right.len()).step_by(13).map(|at| {
        let mut bytes = right.clone();
        bytes[at] = 0xff;
        bytes
    }));
    let text = String::from_utf8(right.clone()).unwrap();
    for (from, to) in [
        ("\"height\":1", "\"height\":-1"),
        ("2026-11-23T10:00:00Z", "yesterday"),
        ("2026-11-23T10:00:00Z", "9999-01-01T00:00:00Z"),
        ("\"publish\"", "\"burn\""),
        ("\"publish\"", "\"keys\""),
        ("\"publish\"", "\"checkpoint\""),
        ("\"author\"", "\"keys\":[],\"author\""),
    ] {
        assert!(text.contains(from), "{from}");
        wrong.push(text.replace(from, to).into_bytes());
    }
    wrong.push(vec![b'['; 100_000]);
    for bytes in &wrong {
        post(&server, bytes).refused(400, "HISTORY_INVALID");
    }
    let long = entry_of(
        &[],
        "1.0",
        "one",
        &json!({ "op": "publish", "message": "x".repeat(300_000) }),
    );
    post(&server, &long).refused(413, "SIZE_INVALID");
    let missing = server.send("POST", "/v2/nobody/_modelkeep/history", &[], &right);
    missing.refused(404, "NAME_UNKNOWN");
    assert_eq!(read(&server), (0, vec![]));
    assert_eq!(post(&server, &right).status, 201);
}

#[test]
fn of_entries_for_one_height_through_two_servers_one_is_added() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let servers = [
        Running::start_on(&store, Running::config()),
        Running::start_on(&store, Running::config()),
    ];
    for pusher in 0..8 {
        servers[0].push("digits", "DIGEST", &pusher.to_string());
    }
    for round in 0..5 {
        let (height, entries) = read(&servers[0]);
        assert_eq!((height, entries.len()), (round, usize::try_from(round).unwrap()));
        let statuses: Vec<u16> = thread::scope(|scope| {
            let posts: Vec<_> = (0..8)
                .map(|pusher| {
                    let server = &servers[pusher % 2];
                    let entry = entry(&entries, &format!("1.{round}"), &pusher.to_string(), "Ada");
                    scope.spawn(move || {
                        let answer = post(server, &entry);
                        if answer.status != 201 {
                            answer.refused(409, "HISTORY_OVERTAKEN");
                        }
                        answer.status
                    })
                })
                .collect();
            posts.into_iter().map(|post| post.join().unwrap()).collect()
        });
        assert_eq!(
            statuses.iter().filter(|&&status| status == 201).count(),
            1,
            "{statuses:?}"
        );
    }
    History::verify(&read(&servers[1]).1).unwrap();
}

#[test]
fn an_entry_whose_server_died_before_its_tag_is_finished_by_the_next() {
    let server = Running::start(Running::config());
    server.push("digits", "DIGEST", "one");
    let first = entry(&[], "1.0", "one", "Ada");
    post(&server, &first);
    let tag = server.store().root().join("v1/repos/digits/_tags/1.0");
    std::fs::remove_file(&tag).unwrap();
    // Whoever did not hear of it sends it again.
    assert_eq!(post(&server, &first).status, 201);
    assert!(tag.exists());
    assert_eq!(read(&server).0, 1);
}
