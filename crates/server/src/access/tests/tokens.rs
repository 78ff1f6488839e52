//! Tokens, from the request for one to its end.

use super::*;

#[test]
fn a_token_opens_what_it_was_asked_for() {
    let server = Server::new("");
    let token = server.token(&basic("ada:correct horse"), "repository:team/model:pull,push");
    assert_eq!(server.get("/push", &token).body, "ada");
    assert_eq!(server.get("/pull", &token).body, "ada");
    assert_eq!(server.get("/v2/", &token).status(), 200);
}

#[test]
fn a_token_that_is_not_enough_is_answered_401_with_what_to_ask_for() {
    let server = Server::new("");
    let token = server.token(&basic("ada:correct horse"), "repository:team/model:pull");
    let answer = server.get("/push", &token);
    assert_eq!(answer.status(), 401);
    assert!(
        answer
            .challenge()
            .contains("scope=\"repository:team/model:pull,push\",error=\"insufficient_scope\"")
    );
    let answer = server.get("/push", "Bearer nonsense");
    assert_eq!(answer.status(), 401);
    assert!(answer.challenge().contains("error=\"invalid_token\""));
}

#[test]
fn requested_scopes_are_cut_to_what_the_rules_allow() {
    let server = Server::new(
        "[[rule]]\nwho = \"ada\"\nrepositories = \"team/*\"\nactions = [\"pull\", \"push\"]\n\
         [[rule]]\nwho = \"*\"\nactions = [\"pull\"]\n",
    );
    let path = "/token?scope=repository:team/model:pull,push,delete&scope=repository:other:pull,push\
                &scope=registry:catalog:*";
    let scopes = |credentials: &str| {
        let answer = server.get(path, &basic(credentials)).json();
        let token = answer["token"].as_str().unwrap();
        server
            .access
            .key
            .read(token, Kind::Access, unix_now())
            .unwrap()
            .scopes
    };
    assert_eq!(
        scopes("ada:correct horse"),
        ["repository:team/model:pull,push", "repository:other:pull"]
    );
    assert_eq!(
        scopes("bob:se:cret"),
        ["repository:team/model:pull", "repository:other:pull"]
    );
}

#[test]
fn a_token_answer_has_what_docker_oras_and_containerd_read() {
    let server = Server::new("token_seconds = 300");
    let path = "/token?account=ada&client_id=docker&offline_token=true&service=modelkeep";
    let answer = server.get(path, &basic("ada:correct horse"));
    assert!(answer.head.contains("Cache-Control: no-store"));
    let json = answer.json();
    assert_eq!(json["token"], json["access_token"]);
    assert_eq!(json["expires_in"], 300);
    assert!(json["issued_at"].as_str().unwrap().ends_with('Z'));
    let refresh = json["refresh_token"].as_str().unwrap();
    let form = format!(
        "grant_type=refresh_token&service=modelkeep&client_id=x&scope=repository:team/model:pull,push&refresh_token={refresh}"
    );
    let second = server.post(&form).json();
    assert_eq!(second["refresh_token"], refresh);
    let token = format!("Bearer {}", second["access_token"].as_str().unwrap());
    assert_eq!(server.get("/push", &token).body, "ada");
    assert_eq!(
        server.get("/push", &format!("Bearer {refresh}")).status(),
        401,
        "a refresh token opens nothing itself"
    );
    assert!(
        server
            .get("/token", &basic("ada:correct horse"))
            .json()
            .get("refresh_token")
            .is_none()
    );
}

#[test]
fn passwords_come_by_form_as_well() {
    let server = Server::new("");
    let answer = server.post(
        "grant_type=password&username=ada&password=correct+horse&access_type=offline\
         &scope=repository%3Ateam%2Fmodel%3Apull%20repository:b:pull",
    );
    let json = answer.json();
    assert!(json["refresh_token"].is_string());
    let claims = server
        .access
        .key
        .read(json["token"].as_str().unwrap(), Kind::Access, unix_now())
        .unwrap();
    assert_eq!(claims.scopes, ["repository:team/model:pull", "repository:b:pull"]);
    assert_eq!(
        server
            .post("grant_type=password&username=ada&password=wrong")
            .status(),
        401
    );
    assert_eq!(
        server
            .post("grant_type=refresh_token&refresh_token=mk1.a.b")
            .status(),
        401
    );
    for form in [
        "",
        "grant_type=password",
        "grant_type=magic&username=a&password=b",
        "grant_type=%zz",
    ] {
        assert_eq!(server.post(form).status(), 400, "{form}");
    }
    assert_eq!(
        server.ask("DELETE /token HTTP/1.1\r\nHost: h\r\n\r\n").status(),
        405
    );
}

#[test]
fn tokens_end_with_the_password_they_were_got_by() {
    let mut server = Server::new("");
    let token = server.token(&basic("ada:correct horse"), "repository:team/model:pull");
    assert_eq!(server.get("/pull", &token).status(), 200);
    let other = Server::with_accounts("", Some(&ACCOUNTS.replace("ada:$2y$05$1bF", "ada:$2y$05$1bG")));
    server.access.accounts = Some(
        Watched::open(vec![other._files.path().join("htpasswd")], CHECK_EVERY, |paths| {
            Accounts::read(&paths[0])
        })
        .unwrap(),
    );
    assert_eq!(server.get("/pull", &token).status(), 401);
}
