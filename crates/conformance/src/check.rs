//! What a test expects of an answer, and how it says what came instead.

use std::fmt::Display;

use serde_json::Value;

use crate::answer::Answer;
use crate::digest::Digest;
use crate::http::{Body, Request};

/// Bytes of a body that a failure quotes.
const QUOTED_BYTES: usize = 200;

/// Why a test failed: what was expected and what came, on one line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure(pub(crate) String);

/// How a test ends.
pub(crate) type Outcome = Result<(), Failure>;

/// A request on one line: what a failure shows of it.
pub(crate) fn describe(request: &Request) -> String {
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| match name.as_str() {
            "Authorization" => format!("{name}: (withheld)"),
            _ => format!("{name}: {value}"),
        })
        .collect();
    let body = match &request.body {
        Body::None => "no body".to_owned(),
        Body::Sized(bytes) => format!("{} bytes", bytes.len()),
        Body::Chunked(bytes) => format!("{} bytes chunked", bytes.len()),
        Body::Framed(_) => "hand-framed body".to_owned(),
    };
    format!(
        "{} {} [{}] {body}",
        request.method,
        request.target,
        headers.join("; ")
    )
}

/// A request that was sent and the answer to it.
#[derive(Debug)]
pub(crate) struct Exchange {
    request: String,
    target: String,
    authority: String,
    pub(crate) answer: Answer,
}

impl Exchange {
    pub(crate) fn new(request: &Request, answer: Answer, authority: &str) -> Self {
        Self {
            request: describe(request),
            target: request.target.clone(),
            authority: authority.to_owned(),
            answer,
        }
    }

    /// A failure that shows this exchange.
    pub(crate) fn failure(&self, expected: impl Display) -> Failure {
        let headers: Vec<_> = self
            .answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let quoted = &self.answer.body[..self.answer.body.len().min(QUOTED_BYTES)];
        Failure(format!(
            "expected {expected}; came {} [{}] {} bytes {:?}; request was {}",
            self.answer.status,
            headers.join("; "),
            self.answer.body.len(),
            String::from_utf8_lossy(quoted),
            self.request,
        ))
    }

    pub(crate) fn require(&self, holds: bool, expected: impl Display) -> Result<&Self, Failure> {
        if holds {
            Ok(self)
        } else {
            Err(self.failure(expected))
        }
    }

    pub(crate) fn status(&self, wanted: u16) -> Result<&Self, Failure> {
        self.status_in(&[wanted])
    }

    pub(crate) fn status_in(&self, wanted: &[u16]) -> Result<&Self, Failure> {
        let any: Vec<_> = wanted.iter().map(u16::to_string).collect();
        self.require(
            wanted.contains(&self.answer.status),
            format_args!("status {}", any.join(" or ")),
        )
    }

    /// The value of a header that must be there.
    pub(crate) fn header(&self, name: &str) -> Result<&str, Failure> {
        self.answer
            .header(name)
            .ok_or_else(|| self.failure(format_args!("a header {name}")))
    }

    pub(crate) fn header_is(&self, name: &str, wanted: &str) -> Result<&Self, Failure> {
        self.require(
            self.answer.header(name) == Some(wanted),
            format_args!("header {name}: {wanted}"),
        )
    }

    pub(crate) fn length_is(&self, wanted: usize) -> Result<&Self, Failure> {
        self.header_is("Content-Length", &wanted.to_string())
    }

    pub(crate) fn body_is(&self, wanted: &[u8]) -> Result<&Self, Failure> {
        self.require(
            self.answer.body == wanted,
            format_args!("a body of exactly the {} wanted bytes", wanted.len()),
        )
    }

    /// `Docker-Content-Digest` is there and is the digest that the client uses.
    pub(crate) fn digest_is(&self, wanted: &Digest) -> Result<&Self, Failure> {
        self.header_is("Docker-Content-Digest", wanted.as_str())
    }

    /// Where a header that holds a URL leads, as a target on this registry.
    pub(crate) fn location(&self) -> Result<String, Failure> {
        let location = self.header("Location")?;
        self.resolve(location)
            .ok_or_else(|| self.failure("a Location on this registry"))
    }

    /// The target of the next page, when a `Link` header names one.
    pub(crate) fn next_page(&self) -> Result<Option<String>, Failure> {
        let Some(link) = self.answer.header("Link") else {
            return Ok(None);
        };
        let url = link
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .filter(|(_, tail)| {
                let tail = tail.replace(' ', "").to_ascii_lowercase();
                tail.contains(";rel=\"next\"") || tail.contains(";rel=next")
            })
            .and_then(|(url, _)| self.resolve(url))
            .ok_or_else(|| self.failure("Link: <URL>; rel=\"next\" on this registry"))?;
        Ok(Some(url))
    }

    fn resolve(&self, location: &str) -> Option<String> {
        if let Some(rest) = location.strip_prefix("http://") {
            let path = rest.strip_prefix(&self.authority)?;
            return path.starts_with('/').then(|| path.to_owned());
        }
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(location.to_owned());
        }
        if location.is_empty() || location.contains("://") || location.starts_with("//") {
            return None;
        }
        let path = self.target.split('?').next().unwrap_or_default();
        if location.starts_with('?') {
            return Some(format!("{path}{location}"));
        }
        let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
        Some(format!("{folder}{location}"))
    }

    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.answer.body).map_err(|_| self.failure("a JSON body"))
    }

    /// A refusal in the form of the specification's section "Error Codes".
    ///
    /// The first error has one of `codes`, and the body says that it is JSON.
    pub(crate) fn refused(&self, status: u16, codes: &[&str]) -> Outcome {
        self.status(status)?;
        let kind = self.header("Content-Type")?;
        self.require(
            kind.starts_with("application/json"),
            "an error body of type application/json",
        )?;
        let document = self.json()?;
        let code = document.pointer("/errors/0/code").and_then(Value::as_str);
        self.require(
            code.is_some_and(|code| codes.contains(&code)),
            format_args!("error code {}", codes.join(" or ")),
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(headers: &[(&str, &str)], body: &str) -> Exchange {
        let answer = Answer {
            status: 404,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.as_bytes().to_vec(),
        };
        Exchange::new(&Request::get("/v2/a/b?x=1"), answer, "h:1")
    }

    #[test]
    fn locations_are_resolved_on_this_registry_only() {
        for (location, target) in [
            ("http://h:1/v2/x?y=z", Some("/v2/x?y=z")),
            ("/v2/x", Some("/v2/x")),
            ("c", Some("/v2/a/c")),
            ("?n=2", Some("/v2/a/b?n=2")),
            ("http://other:1/v2/x", None),
            ("http://h:12/v2/x", None),
            ("//other/v2", None),
        ] {
            let found = exchange(&[("Location", location)], "").location();
            assert_eq!(found.ok().as_deref(), target, "{location}");
        }
    }

    #[test]
    fn next_page_needs_its_relation() {
        let link = |value| exchange(&[("Link", value)], "").next_page();
        assert_eq!(
            link("</v2/a?last=b>; rel=\"next\""),
            Ok(Some("/v2/a?last=b".to_owned()))
        );
        assert!(link("</v2/a>").is_err());
        assert_eq!(exchange(&[], "").next_page(), Ok(None));
    }

    #[test]
    fn refusal_must_have_its_status_type_and_code() {
        let json = [("Content-Type", "application/json")];
        let body = r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#;
        assert_eq!(exchange(&json, body).refused(404, &["BLOB_UNKNOWN"]), Ok(()));
        assert!(exchange(&json, body).refused(404, &["OTHER"]).is_err());
        assert!(exchange(&json, body).refused(400, &["BLOB_UNKNOWN"]).is_err());
        assert!(exchange(&json, "{}").refused(404, &["BLOB_UNKNOWN"]).is_err());
        assert!(exchange(&[], body).refused(404, &["BLOB_UNKNOWN"]).is_err());
    }
}
