use std::collections::BTreeSet;

use modelkeep_core::{
    Descriptor, Digest, Limits, Tag,
    content::{self, Names, Result},
    media,
    name::Target as Named,
};
use serde::Deserialize;

use crate::{Error, Registry, http::Response};

/// Tags that are asked for at once: ECR gives no more.
const PAGE: u32 = 1000;
/// Most bytes of a page.
const PAGE_BYTES: u64 = 4 << 20;
/// Most tags of a repository that are listed.
const TAGS: usize = 200_000;
/// What a manifest may be.
pub(crate) const MANIFESTS: [&str; 4] = [
    media::OCI_MANIFEST,
    media::OCI_INDEX,
    media::DOCKER_MANIFEST,
    media::DOCKER_MANIFEST_LIST,
];

impl Names for Registry {
    fn resolve(&self, tag: &Tag) -> Result<Option<Descriptor>> {
        self.look_up(&Named::Tag(tag.clone()))
    }

    fn tags(&self) -> Result<Vec<Tag>> {
        match self.all_tags() {
            Ok(tags) => Ok(tags.into_iter().collect()),
            Err(Error::Status { status: 404, .. }) => Err(content::Error::NotFound {
                what: format!("the repository {}", self.name),
                place: self.host(),
            }),
            Err(error) => Err(error.while_doing(format!(
                "list the tags of {}, by which its history is found",
                self.name
            ))),
        }
    }
}

impl Registry {
    /// The manifest that a tag or a digest names.
    ///
    /// # Errors
    /// What the registry says; [`content::Error::Malformed`] when it is no image and no index.
    pub fn look_up(&self, target: &Named) -> Result<Option<Descriptor>> {
        let name = match target {
            Named::Tag(tag) => tag.to_string(),
            Named::Digest(digest) => digest.to_string(),
        };
        let found = self.head_or_get(&name);
        let found = found.map_err(|error| error.while_doing(format!("look {name} up in {}", self.host())))?;
        if let (Some(found), Named::Digest(digest)) = (&found, target)
            && found.digest != *digest
        {
            return Err(content::Error::damaged(name, digest, &found.digest));
        }
        Ok(found)
    }

    fn head_or_get(&self, name: &str) -> std::result::Result<Option<Descriptor>, Error> {
        let url = self.manifest(&name);
        let mut request = self.request("HEAD", &url);
        request.headers.push(("Accept", MANIFESTS.join(", ")));
        let head = self.call(&request, &[404, 405])?;
        if head.head.status == 404 {
            return Ok(None);
        }
        let media_type = content_type(&head);
        let digest = head
            .head
            .get("docker-content-digest")
            .and_then(|digest| digest.parse().ok());
        let size = head.head.length().ok().flatten().filter(|&size| size > 0);
        if let (200, Some(media_type), Some(digest), Some(size)) =
            (head.head.status, media_type, digest, size)
        {
            return Ok(Some(Descriptor::plain(&media_type, digest, size)));
        }
        // Some registries say less on HEAD: the manifest itself says everything.
        request.method = "GET";
        let response = self.call(&request, &[404])?;
        if response.head.status == 404 {
            return Ok(None);
        }
        let protocol = |reason: &str| Error::Protocol {
            host: self.host(),
            request: request.name(),
            reason: reason.to_owned(),
        };
        let media_type = content_type(&response).ok_or_else(|| protocol("it has no Content-Type"))?;
        let told = response
            .head
            .get("docker-content-digest")
            .and_then(|d| d.parse::<Digest>().ok());
        let bytes = response.small_body(Limits::default().manifest_bytes)?;
        let algorithm = told.map_or(modelkeep_core::Algorithm::Sha256, |digest| digest.algorithm());
        let digest = Digest::of_with(algorithm, &bytes);
        Ok(Some(Descriptor::plain(&media_type, digest, bytes.len() as u64)))
    }

    fn all_tags(&self) -> std::result::Result<BTreeSet<Tag>, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags = BTreeSet::new();
        let mut url = self.url(&format!("tags/list?n={PAGE}"));
        loop {
            let response = self.call(&self.request("GET", &url), &[])?;
            let protocol = |reason: String| Error::Protocol {
                host: self.host(),
                request: format!("GET {}", url.path()),
                reason,
            };
            let next = response.head.get("link").and_then(next_link);
            let next = next.map(|next| url.join(next)).transpose()?;
            let body = response.small_body(PAGE_BYTES)?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| protocol(format!("it is no list of tags: {error}")))?;
            let before = tags.len();
            // What is no tag was not made by anybody's client, and cannot be asked for.
            tags.extend(
                page.tags
                    .into_iter()
                    .flatten()
                    .filter_map(|tag| tag.parse::<Tag>().ok()),
            );
            if tags.len() > TAGS {
                return Err(protocol(format!("it has more than {TAGS} tags")));
            }
            match next {
                None => return Ok(tags),
                Some(_) if tags.len() == before => {
                    return Err(protocol("it goes on with pages that hold nothing new".to_owned()));
                }
                Some(next) if next.origin != *self.origin() => {
                    return Err(protocol("its next page lies at another host".to_owned()));
                }
                Some(next) => url = next,
            }
        }
    }
}

pub(crate) fn content_type(response: &Response) -> Option<String> {
    let value = response.head.get("content-type")?;
    let value = value.split(';').next().unwrap_or_default().trim();
    (!value.is_empty()).then(|| value.to_owned())
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
