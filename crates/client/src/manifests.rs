use std::io::Read as _;

use modelkeep_core::{
    Descriptor, Digest, Tag,
    content::{self, Manifests, Result},
    name::Target as Named,
};

use crate::{
    Error, Registry,
    names::{MANIFESTS, content_type},
    retry::Attempts,
};

impl Manifests for Registry {
    fn read(&self, name: &Named, limit: u64) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let (reference, digest) = match name {
            Named::Tag(tag) => (tag.to_string(), None),
            Named::Digest(digest) => (digest.to_string(), Some(digest)),
        };
        let read = self
            .get_manifest(&reference, limit)
            .map_err(|error| error.while_doing(format!("read {reference} from {}", self.host())))?;
        let Some((media_type, bytes)) = read else {
            return Ok(None);
        };
        if bytes.len() as u64 > limit {
            return Err(content::Error::Malformed {
                what: reference,
                reason: format!("it has more than {limit} bytes"),
            });
        }
        let algorithm = digest.map_or(modelkeep_core::Algorithm::Sha256, Digest::algorithm);
        let found = Digest::of_with(algorithm, &bytes);
        match digest {
            Some(digest) if *digest != found => Err(content::Error::damaged(reference, digest, found)),
            _ => Ok(Some((
                Descriptor::plain(&media_type, found, bytes.len() as u64),
                bytes,
            ))),
        }
    }

    fn find(&self, name: &Named) -> Result<Option<Descriptor>> {
        self.look_up(name)
    }

    fn write(&self, tag: &Tag, media_type: &str, bytes: &[u8]) -> Result<()> {
        let Err(refused) = self.put_manifest(tag, media_type, bytes) else {
            return Ok(());
        };
        // A registry that lets no tag move refuses to have the same written twice, as after an answer that was lost.
        match self.look_up(&Named::Tag(tag.clone())) {
            Ok(Some(found)) if found.digest == Digest::of(bytes) => Ok(()),
            _ => Err(refused),
        }
    }
}

impl Registry {
    /// A manifest and its media type; of one with more than `limit` bytes the beginning. What breaks off is asked for
    /// again.
    fn get_manifest(
        &self,
        reference: &str,
        limit: u64,
    ) -> std::result::Result<Option<(String, Vec<u8>)>, Error> {
        let mut attempts = Attempts::new(self.settings.patience);
        loop {
            match self.get_manifest_once(reference, limit) {
                Ok(read) => return Ok(read),
                Err(error) => attempts.again(error)?,
            }
        }
    }

    fn get_manifest_once(
        &self,
        reference: &str,
        limit: u64,
    ) -> std::result::Result<Option<(String, Vec<u8>)>, Error> {
        let url = self.manifest(&reference);
        let mut request = self.request("GET", &url);
        request.headers.push(("Accept", MANIFESTS.join(", ")));
        let mut response = self.call_once(&request, &[404])?;
        if response.head.status == 404 {
            response.discard();
            return Ok(None);
        }
        let media_type = content_type(&response).ok_or_else(|| Error::Protocol {
            host: self.host(),
            request: request.name(),
            reason: "it has no Content-Type".to_owned(),
        })?;
        let mut bytes = Vec::new();
        let host = response.host();
        (&mut response)
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| Error::Connection { host, source })?;
        Ok(Some((media_type, bytes)))
    }
}
