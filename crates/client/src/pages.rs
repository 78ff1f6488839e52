//! Lists that come in pages.

use serde::de::DeserializeOwned;

use crate::{
    Error, Registry,
    http::{Response, Url},
};

/// Most bytes of a page.
pub(crate) const PAGE_BYTES: u64 = 4 << 20;

/// What is listed.
pub(crate) struct List {
    /// As errors call it.
    pub(crate) what: &'static str,
    /// Most entries that are taken.
    pub(crate) most: usize,
}

impl Registry {
    /// Reads a list from `url` on. `ask` gets the answer with a page, `None` where the registry keeps no such list; `take`
    /// takes the page, and says how many entries there are by then. Gives whether there is a list.
    pub(crate) fn pages<P: DeserializeOwned>(
        &self,
        list: &List,
        mut url: Url,
        ask: impl Fn(&Url) -> Result<Option<Response>, Error>,
        mut take: impl FnMut(P) -> usize,
    ) -> Result<bool, Error> {
        let List { what, most } = list;
        let mut before = 0;
        loop {
            let Some(response) = ask(&url)? else {
                return Ok(false);
            };
            let protocol = |reason: String| Error::Protocol {
                host: self.host(),
                request: format!("GET {}", url.path()),
                reason,
            };
            let next = response.head.get("link").and_then(next_link);
            let next = next.map(|next| url.join(next)).transpose()?;
            let body = response.small_body(PAGE_BYTES)?;
            let page: P = serde_json::from_slice(&body)
                .map_err(|error| protocol(format!("it is no list of {what}: {error}")))?;
            let count = take(page);
            if count > *most {
                return Err(protocol(format!("it has more than {most} {what}")));
            }
            match next {
                None => return Ok(true),
                Some(_) if count == before => {
                    return Err(protocol("it goes on with pages that hold nothing new".to_owned()));
                }
                Some(next) if next.origin != *self.origin() => {
                    return Err(protocol("its next page lies at another host".to_owned()));
                }
                Some(next) => url = next,
            }
            before = count;
        }
    }
}

/// The address of the next page (RFC 8288): `<ADDRESS>; rel="next"`.
pub(crate) fn next_link(link: &str) -> Option<&str> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return false;
        };
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    });
    next.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        assert_eq!(
            next_link(r#"</v2/a/tags/list?n=2&last=b>; rel="next""#),
            Some("/v2/a/tags/list?n=2&last=b")
        );
        assert_eq!(next_link("<x>;rel=next"), Some("x"));
        for link in ["", "<x>", r#"<x>; rel="prev""#, "x; rel=next", "<x; rel=next"] {
            assert_eq!(next_link(link), None, "{link}");
        }
    }
}
