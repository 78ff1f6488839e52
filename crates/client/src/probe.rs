//! What a registry can do, found out by asking it.

use std::time::{Duration, Instant};

use modelkeep_core::{Descriptor, Digest, Tag, content::Result, name::Target};
use serde::Deserialize;

use crate::{
    Error, Registry,
    pages::{PAGE_BYTES, next_link},
};

/// Refusals of something that the registry does not do, or not for us.
const REFUSALS: [u16; 11] = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 501];

/// What a registry said when it was greeted.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// From the request to the answer.
    pub took: Duration,
    /// Its clock, as the header `Date` has it (RFC 9110, section 5.6.7).
    pub date: Option<String>,
}

/// A page of tags, as it came.
#[derive(Clone, Debug)]
pub struct TagPage {
    /// The tags, in the order in which they came.
    pub tags: Vec<String>,
    /// Whether there are more.
    pub goes_on: bool,
}

/// Whom a registry takes us for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It did not ask.
    Anybody,
    /// It asked, and lets in whoever shows nothing.
    Anonymous,
    /// It asked, and was shown credentials.
    Known,
}

impl Registry {
    /// Asks for nothing but an answer (distribution-spec, "Determining Support").
    ///
    /// # Errors
    /// What keeps the registry from answering, or from letting us in.
    pub fn greet(&self) -> Result<Greeting> {
        let began = Instant::now();
        let response = self.call(&self.request("GET", &self.base), &[]);
        let response = response.map_err(|error| error.while_doing(format!("greet {}", self.host())))?;
        let took = began.elapsed();
        let date = response.head.get("date").map(str::to_owned);
        response.discard();
        Ok(Greeting { took, date })
    }

    /// A page of at most `most` tags; none when the repository is not there.
    ///
    /// # Errors
    /// What the registry says.
    pub fn tag_page(&self, most: u32) -> Result<TagPage> {
        let page = self.read_tag_page(most);
        page.map_err(|error| error.while_doing(format!("list the tags of {}", self.repository())))
    }

    fn read_tag_page(&self, most: u32) -> std::result::Result<TagPage, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let url = self.url(&format!("tags/list?n={most}"));
        let request = self.request("GET", &url);
        let response = self.call(&request, &[404])?;
        if response.head.status == 404 {
            response.discard();
            return Ok(TagPage {
                tags: Vec::new(),
                goes_on: false,
            });
        }
        let goes_on = response.head.get("link").and_then(next_link).is_some();
        let body = response.small_body(PAGE_BYTES)?;
        let page: Page = serde_json::from_slice(&body).map_err(|error| Error::Protocol {
            host: self.host(),
            request: request.name(),
            reason: format!("it is no list of tags: {error}"),
        })?;
        Ok(TagPage {
            tags: page.tags.unwrap_or_default(),
            goes_on,
        })
    }

    /// Whether the registry lists referrers itself (distribution-spec, "Listing Referrers").
    ///
    /// # Errors
    /// What keeps the registry from answering.
    pub fn lists_referrers(&self, subject: &Digest) -> Result<bool> {
        let listed = self.listed_referrers(subject);
        let listed = listed.map_err(|error| error.while_doing(format!("list what refers to {subject}")))?;
        Ok(listed.is_some())
    }

    /// Whether a part of a blob that is there is sent alone.
    ///
    /// # Errors
    /// What keeps the registry from answering.
    pub fn sends_ranges(&self, blob: &Descriptor) -> Result<bool> {
        let url = self.blob(&blob.digest);
        let mut request = self.request("GET", &url);
        request.headers.push(("Range", "bytes=0-0".to_owned()));
        let response = self.call(&request, &[416]);
        let response =
            response.map_err(|error| error.while_doing(format!("read a part of {}", blob.digest)))?;
        // A whole blob may follow, which nobody wants: the connection goes with it.
        Ok(response.head.status == 206)
    }

    /// Whether the registry takes a blob over from another repository: tried with one of this repository itself.
    ///
    /// # Errors
    /// What keeps the registry from answering.
    pub fn mounts(&self, blob: &Digest) -> Result<bool> {
        let mounted = self.mount_itself(blob);
        mounted.map_err(|error| error.while_doing(format!("mount {blob} in {}", self.repository())))
    }

    fn mount_itself(&self, blob: &Digest) -> std::result::Result<bool, Error> {
        let url = self.url("blobs/uploads/");
        let url = url.with_query("mount", &blob.to_string());
        let url = url.with_query("from", self.name.as_str());
        let response = self.call(&self.request("POST", &url), &REFUSALS)?;
        let (status, upload) = (response.head.status, self.location(&url, &response)?);
        response.discard();
        if let (202, Some(upload)) = (status, upload) {
            // It began an upload instead, which nobody goes on with.
            self.call(&self.request("DELETE", &upload), &REFUSALS)?.discard();
        }
        Ok(status == 201)
    }

    /// Deletes a tag or a manifest; `false` when the registry does not do that, or not for us.
    ///
    /// # Errors
    /// What keeps the registry from answering.
    pub fn delete(&self, what: &Target) -> Result<bool> {
        let name = match what {
            Target::Tag(tag) => tag.to_string(),
            Target::Digest(digest) => digest.to_string(),
        };
        let url = self.manifest(&name);
        match self.call(&self.request("DELETE", &url), &REFUSALS) {
            Ok(response) => {
                let done = (200..300).contains(&response.head.status);
                response.discard();
                Ok(done)
            }
            Err(Error::Authentication { .. }) => Ok(false),
            Err(error) => Err(error.while_doing(format!("delete {name} from {}", self.repository()))),
        }
    }

    /// Points `tag` at a manifest; `false` when the registry refuses that.
    ///
    /// # Errors
    /// What keeps the registry from answering, or from letting us write.
    pub fn overwrite(&self, tag: &Tag, media_type: &str, bytes: &[u8]) -> Result<bool> {
        match self.put_manifest(tag, media_type, bytes) {
            Ok(_) => Ok(true),
            Err(error) => match Error::behind(&error) {
                Some(Error::Status {
                    status: 400..=499, ..
                }) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Whom the registry takes us for, as far as it has asked.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.auth.identity()
    }
}
