use modelkeep_core::{
    ByteRange, Descriptor, Digest, Hashed, Hasher, Limits, RepoName,
    content::{self, Arrival, Expect, Need, Result, Sink, Target},
    media::is_manifest,
};

use crate::{
    Error, Registry,
    http::{Reach, Upload, Url},
    registry::reach,
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
        self.check_size("layer", expect.size(), self.limits().layer_bytes)?;
        let (url, reach) = self
            .open_upload()
            .map_err(|error| error.while_doing(format!("begin an upload to {}", self.host())))?;
        Ok(Box::new(BlobSink {
            registry: self,
            url,
            reach,
            upload: None,
            size: expect.size(),
            at: 0,
            arrival,
        }))
    }

    fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, bytes);
        let doing = || format!("write {} to {}", descriptor.digest, self.host());
        if self.need(&descriptor)? == Need::Nothing {
            return Ok(descriptor);
        }
        if is_manifest(media_type) {
            self.send_manifest(&descriptor.digest, media_type, bytes)
                .map_err(|error| error.while_doing(doing()))?;
            return Ok(descriptor);
        }
        let (url, reach) = self.open_upload().map_err(|error| error.while_doing(doing()))?;
        self.finish_upload(url, reach, &descriptor.digest, bytes)
            .map_err(|error| error.while_doing(doing()))?;
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
        Ok(response.head.status != 404)
    }

    fn check_size(&self, what: &'static str, size: u64, limit: u64) -> Result<()> {
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

    /// Opens an upload, and gives its address (distribution-spec, "Pushing blobs").
    fn open_upload(&self) -> std::result::Result<(Url, Reach), Error> {
        let url = self.url("blobs/uploads/");
        let request = self.request("POST", &url);
        let response = self.call(&request, &[])?;
        let location = self.location(&url, &response)?;
        let location = location.ok_or_else(|| Error::Protocol {
            host: response.host(),
            request: response.name.clone(),
            reason: "it names no address for the upload".to_owned(),
        });
        let reach = reach(&response, Reach::Anywhere);
        response.discard();
        Ok((location?, reach))
    }

    /// Closes an upload whose bytes were sent, or come with this request.
    fn finish_upload(
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

    /// Takes a blob over from another repository of the same registry. `false` when the registry does not do that:
    /// then the blob is to be uploaded.
    ///
    /// # Errors
    /// What the registry says.
    pub fn mount(&self, blob: &Descriptor, from: &RepoName) -> Result<bool> {
        let url = self
            .url("blobs/uploads/")
            .with_query("mount", &blob.digest.to_string())
            .with_query("from", from.as_str());
        let mounted = self.call(&self.request("POST", &url), &[]).and_then(|response| {
            let mounted = response.head.status == 201;
            if mounted {
                self.stored(&response, &blob.digest)?;
            }
            response.discard();
            Ok(mounted)
        });
        mounted.map_err(|error| error.while_doing(format!("take {} over from {from}", blob.digest)))
    }
}

/// A blob that is sent as it is written: the bytes go from the caller's memory into the connection.
struct BlobSink<'a> {
    registry: &'a Registry,
    url: Url,
    reach: Reach,
    /// Begun with the first byte.
    upload: Option<Upload>,
    size: u64,
    at: u64,
    arrival: Arrival,
}

impl BlobSink<'_> {
    fn send(&mut self, bytes: &[u8]) -> std::result::Result<(), Error> {
        let registry = self.registry;
        if self.upload.is_none() {
            let mut request = registry.request("PATCH", &self.url);
            request
                .headers
                .push(("Content-Type", "application/octet-stream".to_owned()));
            request.headers.extend(registry.authorization(&self.url)?);
            request.reach = self.reach;
            self.upload = Some(registry.http.begin(&request, self.size)?);
        }
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let Err(source) = upload.write(bytes) else {
            return Ok(());
        };
        // A registry that refuses says why before it closes the connection.
        match self.upload.take().map(Upload::finish) {
            Some(Ok(response)) if response.head.status >= 300 => Err(registry.refusal(response)),
            _ => Err(Error::Connection {
                host: self.url.origin.authority(),
                source,
            }),
        }
    }

    fn finish(mut self, digest: &Digest) -> std::result::Result<(), Error> {
        if let Some(upload) = self.upload.take() {
            let response = upload.finish()?;
            // ECR says 201 where the specification says 202, and its `Range` stays at the first piece: all that was
            // sent is known here, so neither matters.
            if !(200..300).contains(&response.head.status) {
                return Err(self.registry.refusal(response));
            }
            if let Some(moved) = self.registry.location(&self.url, &response)? {
                self.url = moved;
                self.reach = reach(&response, self.reach);
            }
            response.discard();
        }
        self.registry.finish_upload(self.url, self.reach, digest, &[])
    }
}

impl Sink for BlobSink<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.arrival.add(ByteRange { offset, length })?;
        let doing = format!("send a layer to {}", self.registry.host());
        if offset != self.at {
            let error = Error::Order { at: self.at, offset };
            return Err(error.while_doing(doing));
        }
        if length > 0 {
            self.send(bytes).map_err(|error| error.while_doing(doing))?;
        }
        self.at += length;
        Ok(())
    }

    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()> {
        self.arrival.finish(hashed)?;
        let doing = format!("finish {} at {}", hashed.digest(), self.registry.host());
        self.finish(hashed.digest())
            .map_err(|error| error.while_doing(doing))
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
