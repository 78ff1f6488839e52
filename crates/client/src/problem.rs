//! What a registry says about a refusal, made fit to be shown: short, and without control characters.

use serde::Deserialize;

use crate::http::Response;

/// Most bytes of an answer that are looked at.
const BODY: u64 = 64 << 10;
/// Most characters that are shown.
const SHOWN: usize = 300;
/// Most errors of one answer that are shown.
const ERRORS: usize = 3;

/// The problem as `: TEXT`, or nothing.
pub(crate) fn problem(mut response: Response) -> String {
    use std::io::Read as _;
    let mut body = Vec::new();
    // What came before a failure says more than the failure.
    let _ = (&mut response).take(BODY).read_to_end(&mut body);
    match describe(&String::from_utf8_lossy(&body)) {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    }
}

/// A status and its problem, for a sentence that names neither host nor request.
pub(crate) fn sentence(status: u16, problem: &str) -> String {
    format!("{status}{problem}")
}

pub(crate) fn describe(body: &str) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Vec<One>,
        message: Option<String>,
        details: Option<String>,
        error: Option<String>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    if let Ok(answer) = serde_json::from_str::<Answer>(body) {
        let errors = answer.errors.iter().take(ERRORS).map(|one| {
            let parts = [one.code.as_str(), one.message.as_str()];
            parts
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(": ")
        });
        let mut texts: Vec<String> = errors.filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            texts.extend(answer.message.or(answer.details).or(answer.error));
        }
        return cut(&texts.join("; "));
    }
    let start = body
        .trim_start()
        .get(..9)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if start.starts_with("<html") || start.starts_with("<!doctype") {
        let lower = body.to_ascii_lowercase();
        let title = lower.find("<title>").and_then(|at| {
            let text = &body[at + "<title>".len()..];
            text.split('<').next()
        });
        return match title.map(cut).filter(|title| !title.is_empty()) {
            Some(title) => format!("a web page with the title {title:?}"),
            None => "a web page".to_owned(),
        };
    }
    cut(body)
}

fn cut(text: &str) -> String {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_registries_are_told() {
        assert_eq!(
            describe(r#"{"errors":[{"code":"DENIED","message":"not allowed","detail":{}},{"code":"X"}]}"#),
            "DENIED: not allowed; X"
        );
        assert_eq!(describe(r#"{"message":"Rate exceeded"}"#), "Rate exceeded");
        assert_eq!(describe("404 page not found\n"), "404 page not found");
        assert_eq!(describe(""), "");
    }

    #[test]
    fn web_pages_are_told_by_their_title() {
        let page = "<!DOCTYPE html><html><head><TITLE>Bad\n Gateway</TITLE></head><body>long</body>";
        assert_eq!(describe(page), r#"a web page with the title "Bad Gateway""#);
        assert_eq!(describe("<html><body>x"), "a web page");
    }

    #[test]
    fn what_is_shown_is_short_and_steers_no_terminal() {
        assert_eq!(describe("a\u{1b}[2Jb\r\nc"), "a [2Jb c");
        assert!(describe(&"x".repeat(100_000)).chars().count() <= SHOWN + 1);
    }
}
