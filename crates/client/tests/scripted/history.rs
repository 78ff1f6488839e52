//! Registries that keep histories themselves, and registries that only seem to.

use std::sync::{Arc, Mutex};

use modelkeep_client::{Access, History};
use modelkeep_core::{
    Mutability,
    content::{Error, Journal},
};

use crate::{
    registry,
    server::{Answer, Asked, Server, answer},
};

const TYPE: (&str, &str) = ("Content-Type", "application/vnd.modelkeep.history.v1+json");

/// A registry with a history of these entries, which gives at most `most` at once and takes what is posted.
fn keeping(entries: &[&str], most: usize) -> (Server, Arc<Mutex<Vec<String>>>) {
    let kept: Vec<String> = entries.iter().map(|&entry| entry.to_owned()).collect();
    let kept = Arc::new(Mutex::new(kept));
    let shared = Arc::clone(&kept);
    let server = Server::start(move |asked, _| {
        let mut kept = shared.lock().unwrap();
        match asked.method.as_str() {
            "POST" => {
                kept.push(String::from_utf8(asked.body.clone()).unwrap());
                answer(201, &[], "")
            }
            _ => page(&kept, asked, most),
        }
    });
    (server, kept)
}

fn page(kept: &[String], asked: &Asked, most: usize) -> Answer {
    let from: usize = asked.target.rsplit_once('=').unwrap().1.parse().unwrap();
    let page: Vec<_> = kept.iter().skip(from - 1).take(most).collect();
    let body = serde_json::json!({
        "height": kept.len(), "mutability": "IMMUTABLE", "author": "ada", "entries": page,
    });
    answer(200, &[TYPE], body.to_string())
}

fn bytes(entries: &[&str]) -> Vec<Vec<u8>> {
    entries.iter().map(|entry| entry.as_bytes().to_vec()).collect()
}

#[test]
fn what_is_new_is_read_by_the_page_and_what_is_known_is_not_sent_again() {
    let (server, _) = keeping(&["a", "b", "c", "d", "e"], 2);
    let registry = registry(&server, Access::Read);
    let all = History::open(&registry, Vec::new()).unwrap().unwrap();
    assert_eq!(all.entries(1).unwrap(), bytes(&["a", "b", "c", "d", "e"]));
    assert_eq!(all.entries(4).unwrap(), bytes(&["d", "e"]));
    assert_eq!(
        (all.mutability(), all.author()),
        (Some(Mutability::Immutable), Some("ada".to_owned()))
    );
    assert_eq!(server.asked().len(), 3);
    let new = History::open(&registry, bytes(&["a", "b", "c", "d"]))
        .unwrap()
        .unwrap();
    assert_eq!(new.entries(1).unwrap(), bytes(&["a", "b", "c", "d", "e"]));
    assert_eq!(new.verified(), 4);
    let asked = server.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert!(asked[3].target.ends_with("?from=4"), "{asked:?}");
}

#[test]
fn a_history_that_is_not_what_was_known_is_told_whole() {
    for known in [&["a", "x"][..], &["a", "b", "c"]] {
        let (server, _) = keeping(&["a", "b"], 9);
        let history = History::open(&registry(&server, Access::Read), bytes(known));
        let history = history.unwrap().unwrap();
        assert_eq!(history.entries(1).unwrap(), bytes(&["a", "b"]));
        assert_eq!(history.verified(), 0);
    }
}

#[test]
fn an_entry_is_added_with_one_request_and_who_was_overtaken_reads_on() {
    let (server, kept) = keeping(&["a"], 9);
    let registry = registry(&server, Access::Write);
    let history = History::open(&registry, Vec::new()).unwrap().unwrap();
    history.begin().unwrap().append(2, b"b").unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked[1].is("POST", "/v2/team/model/_modelkeep/history"),
        "{asked:?}"
    );
    assert_eq!(history.entries(1).unwrap(), bytes(&["a", "b"]));
    assert_eq!(server.asked().len(), 2);
    assert_eq!(*kept.lock().unwrap(), ["a", "b"]);
    assert!(history.begin().unwrap().append(7, b"x").is_err(), "no gap");

    let server = Server::start(|asked, count| match (asked.method.as_str(), count) {
        ("POST", _) => answer(
            409,
            &[],
            r#"{"errors":[{"code":"HISTORY_OVERTAKEN","message":"late"}]}"#,
        ),
        (_, 0) => page(&["a".to_owned()], asked, 9),
        _ => page(&["a".to_owned(), "z".to_owned()], asked, 9),
    });
    let history = History::open(&crate::registry(&server, Access::Write), Vec::new());
    let history = history.unwrap().unwrap();
    let late = history.begin().unwrap().append(2, b"b").unwrap_err();
    assert!(matches!(late, Error::Overtaken { .. }), "{late}");
    assert_eq!(history.entries(1).unwrap(), bytes(&["a", "z"]));
}

#[test]
fn what_the_rules_of_the_registry_refuse_is_said_in_its_words() {
    let server = Server::start(|asked, _| match asked.method.as_str() {
        "POST" => answer(
            409,
            &[],
            r#"{"errors":[{"code":"DENIED","message":"tag 1.0 is immutable"}]}"#,
        ),
        _ => page(&[], asked, 9),
    });
    let history = History::open(&registry(&server, Access::Write), Vec::new());
    let refused = history
        .unwrap()
        .unwrap()
        .begin()
        .unwrap()
        .append(1, b"a")
        .unwrap_err();
    let said = format!("{:?}", std::error::Error::source(&refused).unwrap().to_string());
    assert!(
        said.contains("409") && said.contains("tag 1.0 is immutable"),
        "{said}"
    );
}

#[test]
fn registries_that_know_nothing_of_histories_are_plain() {
    let html = ("Content-Type", "text/html");
    let json = ("Content-Type", "application/json");
    for plain in [
        answer(404, &[], "404 page not found"),
        answer(404, &[json], r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
        answer(405, &[], ""),
        answer(403, &[], ""),
        answer(200, &[html], "<html>welcome</html>"),
        answer(200, &[json], r#"{"height":1,"entries":["a"]}"#),
    ] {
        let server = Server::start(move |_, _| plain.clone());
        let history = History::open(&registry(&server, Access::Read), Vec::new()).unwrap();
        assert!(history.is_none());
    }
}

#[test]
fn histories_that_cannot_be_are_refused_and_no_downgrade_is_made_of_trouble() {
    for wrong in [
        answer(200, &[TYPE], "{"),
        answer(200, &[TYPE], r#"{"height":1,"entries":[]}"#),
        answer(200, &[TYPE], r#"{"height":-1,"entries":[]}"#),
        answer(200, &[TYPE], r#"{"height":18446744073709551615,"entries":["a"]}"#),
        answer(200, &[TYPE], r#"{"height":2,"entries":[""]}"#),
        answer(503, &[], ""),
        answer(500, &[], ""),
    ] {
        let server = Server::start(move |_, _| wrong.clone());
        let opened = History::open(&registry(&server, Access::Read), Vec::new());
        assert!(opened.is_err(), "{:?}", server.asked());
    }
}
