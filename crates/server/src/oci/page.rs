//! Lists by the page: `n`, `last`, and the link to the next (distribution-spec, "Listing Tags").

use std::fmt::Write;

use crate::{
    http::{Request, Response},
    reply::Fault,
};

/// The page that a request asks for.
#[derive(Debug)]
pub(super) struct Page {
    /// How many at most.
    pub(super) most: usize,
    /// After what.
    pub(super) last: Option<String>,
}

impl Page {
    /// A page of at most `usual` when the request says no number, and never of more than `most`.
    pub(super) fn of(request: &Request<'_>, usual: usize, most: usize) -> Result<Self, Fault> {
        let number = match request.query_value("n") {
            None => usual,
            Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().unwrap_or(usize::MAX)
            }
            Some(_) => return Err(Fault::bad("UNSUPPORTED", "n must be a number")),
        };
        let last = request.query_value("last").filter(|last| !last.is_empty());
        Ok(Self {
            most: number.min(most),
            last: last.map(|last| last.into_owned()),
        })
    }
}

/// Links the page after `last`: the same request from there on.
pub(super) fn link_next(response: Response, path: &str, parameters: &[(&str, &str)]) -> Response {
    let mut target = String::from(path);
    for (place, (name, value)) in parameters.iter().enumerate() {
        let separator = if place == 0 { '?' } else { '&' };
        let _ = write!(target, "{separator}{name}=");
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
                target.push(char::from(byte));
            } else {
                let _ = write!(target, "%{byte:02X}");
            }
        }
    }
    response.field("Link", format_args!("<{target}>; rel=\"next\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;

    #[test]
    fn a_link_escapes_what_would_end_a_parameter() {
        let response = link_next(
            Response::new(Status::OK),
            "/v2/a/referrers/b",
            &[("artifactType", "x/y+z&n=1>\r\n"), ("last", "sha256:0")],
        );
        assert_eq!(
            response.get("Link"),
            Some("</v2/a/referrers/b?artifactType=x/y%2Bz%26n%3D1%3E%0D%0A&last=sha256:0>; rel=\"next\"")
        );
    }
}
