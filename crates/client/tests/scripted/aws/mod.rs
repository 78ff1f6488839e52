//! AWS and its registries, as a client sees them that has nothing but an environment and a home.
//!
//! The AWS SDK reads the environment of its process. So the client's half of each test runs in a process of its own,
//! and its only ways out are the servers of the test: the registry is reached by `HTTP_PROXY`, so that it bears the name
//! of a real one.

mod credentials;
mod fake;
mod repositories;
mod tokens;

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use modelkeep_client::{Access, Keychain, Registry, Settings};

use crate::server::{Answer, Asked, Server, answer};

pub(crate) const PUBLIC: &str = "public.ecr.aws";
pub(crate) const PRIVATE: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";

/// A home, and the variables of a process that lives in it.
pub(crate) struct World {
    pub(crate) home: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl World {
    /// In which registries and AWS are these servers, and nothing says who asks.
    pub(crate) fn new(registry: &Server, aws: &Server) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().display().to_string();
        let world = Self {
            home,
            variables: Vec::new(),
        };
        world
            .with("HOME", &path)
            .with("HTTP_PROXY", &registry.host())
            .with("AWS_ENDPOINT_URL", &format!("http://{}", aws.host()))
            .with("AWS_EC2_METADATA_DISABLED", "true")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(other, _)| other != name);
        self
    }

    /// With a key in the environment.
    pub(crate) fn with_key(self) -> Self {
        self.with("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .with("AWS_SECRET_ACCESS_KEY", "hunter2")
    }

    /// With a file below the home.
    pub(crate) fn with_file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    /// Does `work`, which is the client's half of the test that calls this, in a process of its own: the test is run
    /// again there, and does not come back from here.
    pub(crate) fn client(&self, work: impl FnOnce()) {
        if env::var_os("MODELKEEP_TEST_CLIENT").is_some() {
            work();
            process::exit(0);
        }
        let thread = thread::current();
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", thread.name().unwrap(), "--nocapture"])
            .env_clear()
            .env("MODELKEEP_TEST_CLIENT", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// A repository of `host`, as the environment of this process reaches it.
pub(crate) fn open(host: &str, access: Access) -> Registry {
    let settings = Settings {
        plain_http: true,
        ..crate::settings()
    };
    let (host, name) = (host.parse().unwrap(), "team/model".parse().unwrap());
    let keychain = Keychain::from_environment(&variable);
    Registry::new(&host, &name, access, keychain, settings, &variable).unwrap()
}

/// An answer of AWS: JSON 1.1.
pub(crate) fn json(status: u16, body: &str) -> Answer {
    answer(status, &[("Content-Type", "application/x-amz-json-1.1")], body)
}

/// What `GetAuthorizationToken` answers: the password, and when it ends, in seconds since 1970.
pub(crate) fn authorization(asked: &Asked, password: &str, ends: u64) -> Answer {
    let token = STANDARD.encode(format!("AWS:{password}"));
    let data = format!(r#"{{"authorizationToken":"{token}","expiresAt":{ends}}}"#);
    match target(asked) {
        "SpencerFrontendService.GetAuthorizationToken" => {
            json(200, &format!(r#"{{"authorizationData":{data}}}"#))
        }
        "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" => {
            json(200, &format!(r#"{{"authorizationData":[{data}]}}"#))
        }
        other => json(
            400,
            &format!(r#"{{"__type":"UnknownOperationException","message":"{other}"}}"#),
        ),
    }
}

pub(crate) fn target(asked: &Asked) -> &str {
    asked.header("X-Amz-Target").unwrap_or_default()
}

/// Year 2100.
pub(crate) const LATER: u64 = 4_102_444_800;

/// An AWS that gives one password, for all who ask.
pub(crate) fn generous() -> Server {
    Server::start(|asked, _| authorization(asked, "token", LATER))
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// ECR Public, which takes the password `token`, and lets everybody read if `open`.
pub(crate) fn ecr_public(open: bool) -> Server {
    let mine = basic("AWS", "token");
    Server::start(move |asked, _| {
        let shown = asked.header("Authorization");
        if asked.is("GET", "http://public.ecr.aws/token/") {
            return match shown {
                Some(shown) if shown == mine => answer(200, &[], r#"{"token":"mine"}"#),
                Some(_) => answer(
                    400,
                    &[],
                    r#"{"errors":[{"code":"DENIED","message":"Your Authorization Token has expired."}]}"#,
                ),
                None => answer(200, &[], r#"{"token":"anonymous"}"#),
            };
        }
        let reads = matches!(asked.method.as_str(), "GET" | "HEAD");
        match shown {
            Some("Bearer mine") => answer(if reads { 200 } else { 202 }, &[("Location", "/v2/up/1")], ""),
            Some("Bearer anonymous") if reads && open => answer(200, &[], ""),
            Some("Bearer anonymous") if reads => answer(
                429,
                &[("Retry-After", "1")],
                r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}"#,
            ),
            Some(_) => answer(
                403,
                &[],
                r#"{"errors":[{"code":"DENIED","message":"not allowed"}]}"#,
            ),
            None => answer(
                401,
                &[(
                    "WWW-Authenticate",
                    r#"Bearer realm="http://public.ecr.aws/token/",service="public.ecr.aws",scope="aws""#,
                )],
                "",
            ),
        }
    })
}

/// Private ECR, which takes the password `token`.
pub(crate) fn ecr_private() -> Server {
    let mine = basic("AWS", "token");
    Server::start(move |asked, _| match asked.header("Authorization") {
        Some(shown) if shown == mine => answer(200, &[], ""),
        _ => answer(
            401,
            &[(
                "WWW-Authenticate",
                r#"Basic realm="https://ecr.example/",service="ecr.amazonaws.com""#,
            )],
            "Your authorization token has expired. Reauthenticate and try again.",
        ),
    })
}

/// The region and service that a request was signed for, and the key.
pub(crate) fn signed(asked: &Asked) -> (String, String, String) {
    let header = asked.header("Authorization").unwrap();
    let (_, scope) = header.split_once("Credential=").unwrap();
    let mut parts = scope.split('/');
    let key = parts.next().unwrap().to_owned();
    let region = parts.nth(1).unwrap().to_owned();
    (key, region, parts.next().unwrap().to_owned())
}
