//! A fuzzer that needs no tool: input N is made from N alone, so that what fails can be run again.
//!
//! Requests of all kinds are drawn from a grammar that knows the protocol, broken in places, and given to the
//! handler of a registry as it is served, without a network. `MODELKEEP_FUZZ_INPUTS` says how many (default 3,000 of
//! each kind), `MODELKEEP_FUZZ_FIRST` with which number to begin.

#![expect(clippy::unwrap_used, reason = "what tests call are tests too")]

mod answers;
mod calls;
mod grammar;

use std::{
    env,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use modelkeep_core::{Digest, content::Names as _, media};
use modelkeep_server::{
    CreateRepositories, Registry, ServeConfig, Server, StorageConfig,
    access::AccessConfig,
    http::{Limits, rehearse},
};
use modelkeep_store::{Repair, Store};

use grammar::{Known, Random};

/// `ada:secret`, bcrypt at the least cost.
const ACCOUNTS: &str = "ada:$2y$04$uCj.VX0Ut.PVQtbSJx2wR.iAgnGsLYvbh6qSPdlU9YgY9/9m/uV1i\n";

/// A registry, and what it logs.
struct Rehearsed {
    registry: Arc<Registry>,
    log: Arc<Mutex<Vec<String>>>,
}

/// What an input brought.
struct Answered {
    /// Answers.
    count: usize,
    /// Those of them that are 200.
    done: usize,
}

impl Rehearsed {
    fn new(store: &Path, access: AccessConfig) -> Self {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = Arc::clone(&log);
        let config = ServeConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            create_repositories: CreateRepositories::Never,
            access,
            storage: StorageConfig {
                headroom_mebibytes: 1,
            },
            ..ServeConfig::default()
        };
        let sink = move |line: &str| lines.lock().unwrap().push(line.to_owned());
        let server = Server::bind(Store::create(store).unwrap(), config, sink).unwrap();
        Self {
            registry: server.registry(),
            log,
        }
    }

    fn send(&self, request: &[u8]) -> Vec<u8> {
        rehearse(&*self.registry, &Limits::default(), request)
    }

    /// Gives one input to the registry, and fails if the answer is none, or if the registry found a fault of its own.
    fn try_input(&self, number: u64, input: &[u8]) -> Answered {
        let answer = self.send(input);
        let shown = || {
            let text = String::from_utf8_lossy(input);
            format!("input {number}: {}", text.chars().take(2_000).collect::<String>())
        };
        for line in self.log.lock().unwrap().drain(..) {
            assert!(!line.contains("msg=panic"), "{line}\n{}", shown());
            assert!(!line.contains(" status=500"), "{line}\n{}", shown());
        }
        match answers::count(&answer) {
            Ok(count) => Answered {
                count,
                done: String::from_utf8_lossy(&answer).matches("HTTP/1.1 200 ").count(),
            },
            Err(flaw) => panic!("{flaw}\n{}", shown()),
        }
    }
}

fn number_from(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Numbers of the inputs.
fn inputs() -> std::ops::Range<u64> {
    let first = number_from("MODELKEEP_FUZZ_FIRST", 0);
    first..first + number_from("MODELKEEP_FUZZ_INPUTS", 3_000)
}

fn post(path: &str, body: &str) -> String {
    request("POST", path, "application/octet-stream", body)
}

fn request(method: &str, path: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A repository with one version and one upload, and the names of all of it.
fn prepare(store: &Path, rehearsed: &Rehearsed) -> Known {
    let made = Store::open(store).unwrap();
    made.create_repository(
        &"a/b".parse().unwrap(),
        &modelkeep_core::Mutability::Immutable,
        "2026-01-01T00:00:00Z",
    )
    .unwrap();
    let config = Digest::of(b"{}");
    let manifest = grammar::manifest(&config.to_string());
    let path = format!("/v2/a/b/blobs/uploads/?digest={config}");
    for request in [
        post(&path, "{}"),
        request("PUT", "/v2/a/b/manifests/1.0", media::OCI_MANIFEST, &manifest),
    ] {
        let answer = rehearsed.send(request.as_bytes());
        assert!(
            answer.starts_with(b"HTTP/1.1 201 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    let begun = rehearsed.send(post("/v2/a/b/blobs/uploads/", "").as_bytes());
    let begun = String::from_utf8(begun).unwrap();
    let upload = begun.split("Docker-Upload-UUID: ").nth(1).unwrap()[..32].to_owned();
    Known {
        blob: config.to_string(),
        manifest: Digest::of(manifest.as_bytes()).to_string(),
        upload,
    }
}

/// Whatever was sent, the version is what it was, and everything that has a name is whole.
fn check_store(store: &Path, known: &Known) {
    let store = Store::open(store).unwrap();
    let repository = store.repository(&"a/b".parse().unwrap()).unwrap().unwrap();
    let version = repository.resolve(&"1.0".parse().unwrap()).unwrap().unwrap();
    assert_eq!(version.digest.to_string(), known.manifest);
    assert_eq!(store.repositories().unwrap().len(), 1, "nothing may be made");
    let found = store.scrub(Repair::No).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
}

#[test]
fn no_request_makes_the_registry_panic_or_find_a_fault_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let rehearsed = Rehearsed::new(&store, AccessConfig::default());
    let known = prepare(&store, &rehearsed);
    let mut answered = 0;
    for number in inputs() {
        let input = grammar::exchange(&mut Random::new(number), &known);
        answered += rehearsed.try_input(number, &input).count;
    }
    check_store(&store, &known);
    println!("{} inputs had {answered} answers", inputs().count());
    assert!(
        answered > inputs().count() / 2,
        "only {answered} answers: the grammar makes nothing that is read"
    );
}

#[test]
fn no_credentials_and_no_request_for_a_token_make_the_registry_find_a_fault_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let accounts = home.path().join("htpasswd");
    std::fs::write(&accounts, ACCOUNTS).unwrap();
    let access = AccessConfig {
        htpasswd: Some(accounts),
        ..AccessConfig::default()
    };
    let rehearsed = Rehearsed::new(&home.path().join("store"), access);
    let mut answered = 0;
    for number in inputs() {
        let input = grammar::token_request(&mut Random::new(number));
        answered += rehearsed.try_input(number, &input).count;
    }
    println!("{} inputs had {answered} answers", inputs().count());
    assert!(
        answered > inputs().count() / 2,
        "only {answered} answers: the grammar makes nothing that is read"
    );
}

#[test]
fn no_call_of_the_ecr_public_api_makes_the_registry_find_a_fault_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let rehearsed = Rehearsed::new(&store, AccessConfig::default());
    let mut known = prepare(&store, &rehearsed);
    let (mut answered, mut done) = (0, 0);
    for number in inputs() {
        if number % 200 == 0 {
            // What is deleted on the way is made again, so that there is something to break.
            known = prepare(&store, &rehearsed);
        }
        let input = calls::exchange(&mut Random::new(number), &known);
        let answer = rehearsed.try_input(number, &input);
        answered += answer.count;
        done += answer.done;
    }
    let store = Store::open(&store).unwrap();
    let found = store.scrub(Repair::No).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    for name in store.repositories().unwrap() {
        modelkeep_ledger::read(&store.repository(&name).unwrap().unwrap()).unwrap();
    }
    println!(
        "{} inputs had {answered} answers, {done} of calls that were done",
        inputs().count()
    );
    assert!(
        answered > inputs().count() / 2 && done > inputs().count() / 10,
        "only {answered} answers and {done} calls done: the grammar makes nothing that is read"
    );
}
