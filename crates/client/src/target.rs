use modelkeep_core::{
    ByteRange, Descriptor, Digest, Hashed, Hasher, Limits,
    content::{self, Arrival, Expect, Need, Result, Sink, Target},
    media::is_manifest,
};

use crate::{
    Error, Registry,
    http::{Reach, Url},
};

impl Target for Registry {
    fn limits(&self) -> Limits {
        self.limits()
    }

    fn need(&self, blob: &Descriptor) -> Result<Need> {
        let has = self.has(blob);
        let has =
            has.map_err(|error| error.while_doing(format!("ask {} for {}", self.host(), blob.digest)))?;
        Ok(if has { Need::Nothing } else { Need::From(0) })
    }

    fn begin<'a>(&'a self, expect: Expect<'_>) -> Result<Box<dyn Sink + 'a>> {
        let arrival = Arrival::new(&expect);
        if let Expect::Known(manifest) = expect
            && is_manifest(&manifest.media_type)
        {
            self.check_size("manifest", manifest.size, self.limits().manifest_bytes)?;
            return Ok(Box::new(ManifestSink {
                registry: self,
                media_type: manifest.media_type.clone(),
                bytes: Vec::new(),
                arrival,
            }));
        }
        let key = match &expect {
            Expect::Known(blob) => Some(blob.digest.clone()),
            Expect::Unknown { .. } => None,
        };
        Ok(self.begin_blob(expect.size(), key.as_ref())?.into_sink(&expect))
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, bytes);
        let doing = || format!("write {} to {}", descriptor.digest, self.host());
        if is_manifest(media_type) {
            // To ask whether it is there would cost as much as to send it.
            self.send_manifest(&descriptor.digest, media_type, bytes)
                .map_err(|error| error.while_doing(doing()))?;
            return Ok(descriptor);
        }
        if self.need(&descriptor)? == Need::Nothing {
            return Ok(descriptor);
        }
        let opened = self
            .open_upload(None)
            .map_err(|error| error.while_doing(doing()))?;
        if let Some((url, reach)) = opened {
            self.finish_upload(url, reach, &descriptor.digest, bytes)
                .map_err(|error| error.while_doing(doing()))?;
        }
        Ok(descriptor)
    }
}

impl Registry {
    fn has(&self, blob: &Descriptor) -> std::result::Result<bool, Error> {
        let manifest = is_manifest(&blob.media_type);
        let url = if manifest {
            self.manifest(&blob.digest)
        } else {
            self.blob(&blob.digest)
        };
        let mut request = self.request("HEAD", &url);
        if manifest {
            request.headers.push(("Accept", blob.media_type.clone()));
        }
        let response = self.call(&request, &[404])?;
        // A descriptor that lies about the size is not of this blob.
        let length = response.head.length().ok().flatten();
        let differs = blob.size > 0 && length.is_some_and(|length| length > 0 && length != blob.size);
        Ok(response.head.status != 404 && !differs)
    }

    pub(crate) fn check_size(&self, what: &'static str, size: u64, limit: u64) -> Result<()> {
        if size <= limit {
            return Ok(());
        }
        let error = Error::TooLarge {
            host: self.host(),
            what,
            size,
            limit,
        };
        Err(error.while_doing(format!("begin an upload to {}", self.host())))
    }

    /// Closes an upload whose bytes were sent, or come with this request.
    pub(crate) fn finish_upload(
        &self,
        url: Url,
        reach: Reach,
        digest: &Digest,
        bytes: &[u8],
    ) -> std::result::Result<(), Error> {
        let url = url.with_query("digest", &digest.to_string());
        let mut request = self.request("PUT", &url);
        request
            .headers
            .push(("Content-Type", "application/octet-stream".to_owned()));
        request.body = bytes;
        request.reach = reach;
        self.pace.wait();
        match self.call(&request, &[]) {
            Ok(response) => {
                let stored = self.stored(&response, digest);
                response.discard();
                stored
            }
            Err(error) => {
                // An answer that was lost leaves the blob, and no upload that could be closed once more.
                let blob = Descriptor::plain("", digest.clone(), 0);
                match error {
                    Error::Status { status: 404, .. } | Error::GaveUp { .. } if self.has(&blob)? => Ok(()),
                    error => Err(error),
                }
            }
        }
    }
}

/// A manifest that is being written. It is sent whole.
struct ManifestSink<'a> {
    registry: &'a Registry,
    media_type: String,
    bytes: Vec<u8>,
    arrival: Arrival,
}

impl Sink for ManifestSink<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.arrival.add(ByteRange { offset, length })?;
        // `begin` has refused what is large, and nothing lies past the end.
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(bytes.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()> {
        self.arrival.finish(hashed)?;
        let mut hasher = Hasher::new(hashed.digest().algorithm());
        hasher.update(&self.bytes);
        let found = hasher.finish();
        if found.digest() != hashed.digest() {
            return Err(content::Error::damaged(
                "the manifest",
                hashed.digest(),
                found.digest(),
            ));
        }
        let doing = format!("write {} to {}", hashed.digest(), self.registry.host());
        self.registry
            .send_manifest(hashed.digest(), &self.media_type, &self.bytes)
            .map_err(|error| error.while_doing(doing))
    }
}
