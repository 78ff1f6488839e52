use std::collections::BTreeSet;

use modelkeep_core::{
    Descriptor, Digest, Limits, Tag,
    content::{self, Names, Result},
    media,
    name::Target as Named,
};
use serde::Deserialize;

use crate::{Error, Registry, http::Response, pages::List};

/// Tags that are asked for at once: ECR gives no more.
const PAGE: u32 = 1000;
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
        let list = List {
            what: "tags",
            most: TAGS,
        };
        self.pages(
            &list,
            self.url(&format!("tags/list?n={PAGE}")),
            |url| Ok(Some(self.call(&self.request("GET", url), &[])?)),
            |page: Page| {
                // What is no tag was not made by anybody's client, and cannot be asked for.
                let found = page.tags.into_iter().flatten();
                tags.extend(found.filter_map(|tag| tag.parse::<Tag>().ok()));
                tags.len()
            },
        )?;
        Ok(tags)
    }
}

pub(crate) fn content_type(response: &Response) -> Option<String> {
    let value = response.head.get("content-type")?;
    let value = value.split(';').next().unwrap_or_default().trim();
    (!value.is_empty()).then(|| value.to_owned())
}
