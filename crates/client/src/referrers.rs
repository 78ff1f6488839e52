//! Which manifests say something about another (distribution-spec, "Listing Referrers" and "Referrers Tag Schema").

use std::collections::BTreeMap;

use modelkeep_core::{
    Descriptor, Digest, Document, Index, Limits, Tag,
    content::{self, Result, Source},
    manifest::to_json,
    media,
};

use crate::{Error, Registry, pages::List};

/// Most referrers of one manifest that are listed.
const REFERRERS: usize = 10_000;
/// What registries say that never heard of lists of referrers.
const NO_LISTS: [u16; 6] = [400, 404, 405, 406, 415, 501];
/// How often the list under the fallback tag is written, when others write it at the same time.
const ATTEMPTS: usize = 4;

/// The tag under which clients keep the list where the registry has none.
fn fallback(subject: &Digest) -> Tag {
    let hex: String = subject.hex().chars().take(64).collect();
    let tag = format!("{}-{hex}", subject.algorithm().as_str());
    tag.parse()
        .expect("an algorithm and hexadecimal digits are a tag")
}

impl Registry {
    /// The manifests that say something about `subject`, as the registry lists them, or as clients do under the
    /// fallback tag.
    ///
    /// # Errors
    /// What the registry says.
    pub fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let listed = self.listed_referrers(subject);
        let listed = listed.map_err(|error| error.while_doing(format!("list what refers to {subject}")))?;
        match listed {
            Some(referrers) => Ok(referrers),
            None => Ok(self.fallback_index(subject)?.manifests),
        }
    }

    /// Sends a manifest that says something about another, and lists it under the fallback tag where the registry
    /// does not list it itself.
    ///
    /// # Errors
    /// What the registry says; [`content::Error::Malformed`] when it says nothing about another.
    pub fn put_referrer(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let plain = Descriptor::of(media_type, bytes);
        let malformed = |reason: String| content::Error::Malformed {
            what: plain.digest.to_string(),
            reason,
        };
        let document = Document::parse(media_type, bytes).map_err(|error| malformed(error.to_string()))?;
        let subject = document
            .subject()
            .ok_or_else(|| malformed("it has no subject".to_owned()))?
            .digest
            .clone();
        let url = self.manifest(&plain.digest);
        let mut request = self.request("PUT", &url);
        request.headers.push(("Content-Type", media_type.to_owned()));
        request.body = bytes;
        let lists = self.call(&request, &[]).and_then(|response| {
            let stored = self.stored(&response, &plain.digest);
            let lists = response.head.get("oci-subject").is_some();
            response.discard();
            stored.map(|()| lists)
        });
        let lists = lists.map_err(|error| error.while_doing(format!("write {}", plain.digest)))?;
        let referrer = document.referrer(plain);
        if !lists {
            self.list_under_tag(&subject, &referrer)?;
        }
        Ok(referrer)
    }

    /// `None` when the registry keeps no such lists.
    pub(crate) fn listed_referrers(
        &self,
        subject: &Digest,
    ) -> std::result::Result<Option<Vec<Descriptor>>, Error> {
        let list = List {
            what: "referrers",
            most: REFERRERS,
        };
        let mut found: Vec<Descriptor> = Vec::new();
        let has_list = self.pages(
            &list,
            self.url(&format!("referrers/{subject}")),
            |url| {
                let mut request = self.request("GET", url);
                request.headers.push(("Accept", media::OCI_INDEX.to_owned()));
                let response = self.call(&request, &NO_LISTS)?;
                let kind = response.head.get("content-type").unwrap_or_default();
                let is_index = kind.split(';').next().unwrap_or_default().trim() == media::OCI_INDEX;
                // Registries that never heard of it answer with any page.
                if response.head.status >= 300 || !is_index {
                    response.discard();
                    return Ok(None);
                }
                Ok(Some(response))
            },
            |page: Index| {
                for referrer in page.manifests {
                    if !found.iter().any(|known| known.digest == referrer.digest) {
                        found.push(referrer);
                    }
                }
                found.len()
            },
        )?;
        Ok(has_list.then_some(found))
    }

    /// The list under the fallback tag; an empty one where there is none.
    fn fallback_index(&self, subject: &Digest) -> Result<Index> {
        let empty = || Index {
            schema_version: 2,
            media_type: Some(media::OCI_INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let tag = fallback(subject);
        let found = self.look_up(&modelkeep_core::name::Target::Tag(tag.clone()))?;
        let Some(found) = found.filter(|found| found.media_type == media::OCI_INDEX) else {
            return Ok(empty());
        };
        let bytes = self.fetch(&found, Limits::default().manifest_bytes)?;
        match Document::parse(&found.media_type, &bytes) {
            Ok(Document::Index(index)) => Ok(index),
            _ => Err(content::Error::Malformed {
                what: tag.to_string(),
                reason: "it is no list of referrers".to_owned(),
            }),
        }
    }

    /// Adds to the list under the fallback tag. No registry writes it for us, so two clients may undo what the other
    /// did: it is looked at again, and written again.
    fn list_under_tag(&self, subject: &Digest, referrer: &Descriptor) -> Result<()> {
        let tag = fallback(subject);
        for _ in 0..ATTEMPTS {
            let mut index = self.fallback_index(subject)?;
            if index
                .manifests
                .iter()
                .any(|known| known.digest == referrer.digest)
            {
                return Ok(());
            }
            index.manifests.push(referrer.clone());
            self.put_manifest(&tag, media::OCI_INDEX, &to_json(&index))?;
        }
        let index = self.fallback_index(subject)?;
        if index
            .manifests
            .iter()
            .any(|known| known.digest == referrer.digest)
        {
            return Ok(());
        }
        Err(content::Error::Malformed {
            what: tag.to_string(),
            reason: "others go on writing it".to_owned(),
        })
    }
}
