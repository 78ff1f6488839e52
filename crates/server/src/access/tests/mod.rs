//! Access as requests meet it: text in, answer out.

mod tokens;

use super::*;
use crate::http::{Handler, Limits, Response, Status, rehearse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::path::PathBuf;
use tempfile::TempDir;

/// Made by `htpasswd -nbB -C 5 ada 'correct horse'`, `htpasswd -nbB -C 4 bob 'se:cret'` and
/// `echo -n 'battery staple' | argon2 somesalt -id -t 2 -m 12 -p 1 -e`.
const ACCOUNTS: &str = "# people\n\
    ada:$2y$05$1bF.w/aELjhd3j5DBve7ferX/yP7Yr6PZsn2NIYh3/k2w85mozEpC\n\n\
    bob:$2y$04$aMeLCa22D72psV1G8AoiNuv7u9b4/1CY/W7R4eha6Sl5xr2gjFnbm\n\
    eve:$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHQ$U/DCPnOWl4Y+jupiJXlxQjDkqyg4wCg5SXzmeouDT74\n";

/// A server whose `/push`, `/pull`, `/delete` and `/catalog` need that, for repository `team/model`.
struct Server {
    access: Access,
    _files: TempDir,
}

impl Server {
    fn new(settings: &str) -> Self {
        Self::with_accounts(settings, Some(ACCOUNTS))
    }

    fn with_accounts(settings: &str, accounts: Option<&str>) -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut config: AccessConfig = toml::from_str(settings).unwrap();
        config.htpasswd = accounts.map(|text| write(&files, text));
        let key = TokenKey::open(&files.path().join("token.key")).unwrap();
        Self {
            access: Access::open(config, key).unwrap(),
            _files: files,
        }
    }

    fn ask(&self, request: &str) -> Answer {
        let raw = rehearse(self, &Limits::default(), request.as_bytes());
        let text = String::from_utf8(raw).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn get(&self, path: &str, authorization: &str) -> Answer {
        let field = if authorization.is_empty() {
            String::new()
        } else {
            format!("Authorization: {authorization}\r\n")
        };
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: models.example:5000\r\n{field}\r\n"
        ))
    }

    fn post(&self, form: &str) -> Answer {
        let length = form.len();
        self.ask(&format!(
            "POST /token HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{form}"
        ))
    }

    /// A token for these scopes, as docker asks for it.
    fn token(&self, authorization: &str, scope: &str) -> String {
        let answer = self.get(&format!("/token?service=modelkeep&scope={scope}"), authorization);
        format!("Bearer {}", answer.json()["token"].as_str().unwrap())
    }
}

impl Handler for Server {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        let name = "team/model";
        let verdict = match request.path() {
            "/token" => return self.access.token(request),
            "/v2/" => self.access.enter(request),
            "/pull" => self.access.authorize(request, &[Permission::pull(name)]),
            "/push" => self.access.authorize(request, &[Permission::push(name)]),
            "/delete" => self.access.authorize(request, &[Permission::delete(name)]),
            "/catalog" => self.access.authorize(request, &[Permission::CATALOG]),
            _ => return Response::new(Status::NOT_FOUND),
        };
        match verdict {
            Ok(who) => Response::new(Status::OK).text(who.to_string()),
            Err(denial) => denial.response(),
        }
    }
}

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn challenge(&self) -> &str {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix("WWW-Authenticate: "))
            .unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap().to_owned()
    }
}

fn write(files: &TempDir, text: &str) -> PathBuf {
    let path = files.path().join("htpasswd");
    std::fs::write(&path, text).unwrap();
    path
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

#[test]
fn passwords_of_real_htpasswd_and_argon2_files_are_accepted() {
    let server = Server::new("");
    for (credentials, name) in [
        ("ada:correct horse", "ada"),
        ("bob:se:cret", "bob"),
        ("eve:battery staple", "eve"),
    ] {
        let answer = server.get("/push", &basic(credentials));
        assert_eq!((answer.status(), answer.body.as_str()), (200, name));
    }
    for credentials in [
        "ada:Correct horse",
        "ada:",
        "bob:se",
        "eve:battery",
        "nobody:correct horse",
        ":",
    ] {
        let answer = server.get("/push", &basic(credentials));
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (401, "UNAUTHORIZED"),
            "{credentials}"
        );
    }
}

#[test]
fn accounts_that_cannot_be_checked_safely_are_refused_at_start() {
    for (text, reason) in [
        ("eve:$apr1$a1K50PEj$J4Zrp/xKNvPrLO8fnlsb4/", "neither bcrypt"),
        ("eve:{SHA}EfatjsUqKYSrqv18O1FlA3hcIHI=", "neither bcrypt"),
        ("eve:plain", "neither bcrypt"),
        ("eve", "no colon"),
        (
            "*:$2y$05$1bF.w/aELjhd3j5DBve7ferX/yP7Yr6PZsn2NIYh3/k2w85mozEpC",
            "name",
        ),
        (
            "eve:$2y$31$1bF.w/aELjhd3j5DBve7ferX/yP7Yr6PZsn2NIYh3/k2w85mozEpC",
            "cost",
        ),
        ("eve:$2y$05$short", "malformed bcrypt"),
        (
            "eve:$argon2id$v=19$m=1048576,t=2,p=1$c29tZXNhbHQ$IGumfaC5FIaeIawgT3ktVjD61cW6Lo34s9euUTOqwDY",
            "32 MiB",
        ),
        (
            "eve:$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHQ",
            "without salt or output",
        ),
    ] {
        let files = tempfile::tempdir().unwrap();
        let error = Accounts::read(&write(&files, text)).err().unwrap().to_string();
        assert!(
            error.contains("line 1") && error.contains(reason),
            "{text}: {error}"
        );
        assert!(
            !error.contains("$2y") && !error.contains("$argon2id"),
            "no hash in {error}"
        );
    }
    let files = tempfile::tempdir().unwrap();
    assert!(matches!(
        Accounts::read(&write(&files, "# none\n")),
        Err(AccountsError::Empty { .. })
    ));
}

#[test]
fn the_challenge_says_where_to_get_a_token_and_for_what() {
    let server = Server::new("");
    let answer = server.get("/push", "");
    assert_eq!(answer.status(), 401);
    assert_eq!(
        answer.challenge(),
        "Bearer realm=\"http://models.example:5000/token\",service=\"modelkeep\",\
         scope=\"repository:team/model:pull,push\""
    );
    let answer = server.get("/v2/", "");
    assert_eq!(
        answer.challenge(),
        "Bearer realm=\"http://models.example:5000/token\",service=\"modelkeep\""
    );
    let proxied = Server::new("public_url = \"https://models.example/\"");
    assert!(
        proxied
            .get("/v2/", "")
            .challenge()
            .contains("realm=\"https://models.example/token\"")
    );
    let basic_mode = Server::new("mode = \"basic\"");
    assert_eq!(
        basic_mode.get("/push", "").challenge(),
        "Basic realm=\"modelkeep\",charset=\"UTF-8\""
    );
}

#[test]
fn a_host_that_could_leave_its_quotes_never_reaches_the_challenge() {
    let server = Server::new("");
    let answer = server.ask("GET /v2/ HTTP/1.1\r\nHost: a\",x=\"b\r\n\r\n");
    assert_eq!(answer.status(), 400);
}

#[test]
fn an_account_that_may_never_do_it_is_answered_403() {
    let server = Server::new("");
    let answer = server.get("/delete", &basic("ada:correct horse"));
    assert_eq!((answer.status(), answer.code().as_str()), (403, "DENIED"));
    let token = server.token(&basic("ada:correct horse"), "repository:team/model:delete");
    assert_eq!(server.get("/delete", &token).status(), 403);
}

#[test]
fn everybody_may_pull_where_the_settings_say_so_and_must_log_in_to_push() {
    let server = Server::new("anonymous_pull = true");
    assert_eq!(server.get("/pull", "").body, "anonymous");
    let token = server.token("", "repository:team/model:pull,push");
    assert_eq!(server.get("/pull", &token).body, "anonymous");
    assert_eq!(server.get("/v2/", &token).status(), 200);
    assert_eq!(
        server.get("/v2/", "").status(),
        401,
        "or clients would never learn how to log in"
    );
    for authorization in ["", token.as_str()] {
        let answer = server.get("/push", authorization);
        assert_eq!(answer.status(), 401);
        assert!(
            answer
                .challenge()
                .contains("scope=\"repository:team/model:pull,push\"")
        );
    }
    assert_eq!(
        Server::new("")
            .get("/token?scope=repository:team/model:pull", "")
            .status(),
        401
    );
}

#[test]
fn without_accounts_loopback_may_do_everything() {
    let server = Server::with_accounts("", None);
    for path in ["/v2/", "/pull", "/push", "/delete", "/catalog"] {
        assert_eq!(server.get(path, "").body, "local", "{path}");
        assert_eq!(server.get(path, &basic("any:thing")).body, "local", "{path}");
    }
    assert_eq!(server.get("/token", "").status(), 404);
}

#[test]
fn a_web_page_cannot_write_to_a_server_without_accounts() {
    let server = Server::with_accounts("", None);
    let ask = |path: &str| {
        server
            .ask(&format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nOrigin: http://evil\r\n\r\n"
            ))
            .status()
    };
    assert_eq!((ask("/push"), ask("/delete"), ask("/pull")), (403, 403, 200));
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let server = Server::new("rate = { per_second = 1, burst = 2 }");
    let address = "10.0.0.1".parse().unwrap();
    assert_eq!(server.access.admit(address), Ok(()));
    assert_eq!(server.access.admit(address), Ok(()));
    let denial = server.access.admit(address).unwrap_err();
    let response = denial.response();
    assert_eq!(response.status(), Status::TOO_MANY_REQUESTS);
    assert_eq!(response.get("Retry-After"), Some("1"));
    let crate::http::ReplyBody::Owned(body) = response.reply_body() else {
        panic!("no body")
    };
    assert!(String::from_utf8_lossy(body).contains("TOOMANYREQUESTS"));
}

#[test]
fn contradictory_settings_are_refused_at_start() {
    let open = |settings: &str| {
        let files = tempfile::tempdir().unwrap();
        let key = TokenKey::open(&files.path().join("token.key")).unwrap();
        Access::open(toml::from_str(settings).unwrap(), key).err()
    };
    assert!(matches!(
        open("rule = [{ who = \"ada\", actions = [\"pull\"] }]"),
        Some(AccessError::RulesWithoutAccounts)
    ));
    assert!(matches!(
        open("public_url = \"models.example\""),
        Some(AccessError::PublicUrl(_))
    ));
    assert!(matches!(
        open("public_url = \"https://a\\\"b\""),
        Some(AccessError::PublicUrl(_))
    ));
    assert!(matches!(
        open("service = \"a\\\"b\""),
        Some(AccessError::Service(_))
    ));
    assert!(matches!(
        open("htpasswd = \"/nowhere/at/all\""),
        Some(AccessError::Accounts(AccountsError::Read { .. }))
    ));
}
