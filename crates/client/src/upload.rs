//! A blob on its way into a registry: in one request, or in chunks, and on from where an earlier one broke off.

use std::{fs::File, io};

use modelkeep_core::{
    ByteRange, Descriptor, Digest, Hashed, RepoName,
    content::{self, Arrival, Expect, Result, Sink},
};

use crate::{
    Error, Registry,
    http::{Reach, Response, Upload, Url},
    open::{Open, Record},
    registry::reach,
};

/// A blob that is being sent. The bytes go from the caller's memory, or from a file, into the connection.
///
/// When it is dropped unfinished, what the registry has stays there: whoever comes next with the same key goes on.
pub struct BlobUpload<'a> {
    registry: &'a Registry,
    url: Url,
    reach: Reach,
    size: u64,
    /// The next byte that the registry needs.
    at: u64,
    /// Whether an earlier attempt began it.
    is_resumed: bool,
    /// A request, and how much of it is still to be sent.
    request: Option<(Box<Upload>, u64)>,
    /// Length of the last request.
    asked: u64,
    open: Option<(Open, Record)>,
}

/// What became of a blob that is to be written.
#[expect(clippy::large_enum_variant, reason = "a handful of uploads exist")]
pub enum Begun<'a> {
    /// The registry took it over from another repository.
    Mounted,
    /// It is to be sent.
    Upload(BlobUpload<'a>),
}

impl Registry {
    /// Begins to send a blob of `size` bytes, or goes on with it: an upload with the same `key` that was not finished,
    /// by whatever process, continues where the registry says that it is. A key stands for the same bytes always; when
    /// it does not, the registry refuses the digest in the end, and the next attempt begins anew.
    ///
    /// # Errors
    /// [`Error::TooLarge`] before anything is sent; what the registry says.
    pub fn begin_blob(&self, size: u64, key: Option<&Digest>) -> Result<BlobUpload<'_>> {
        match self.begin(size, key, None)? {
            Begun::Upload(upload) => Ok(upload),
            Begun::Mounted => Err(Error::Protocol {
                host: self.host(),
                request: "POST".to_owned(),
                reason: "it took over what nobody named".to_owned(),
            }
            .while_doing(format!("begin an upload to {}", self.host()))),
        }
    }

    /// As [`Registry::begin_blob`]; what is not begun yet is first asked to be taken over from another repository of
    /// the same registry. Whether that happens is the registry's affair.
    ///
    /// # Errors
    /// As [`Registry::begin_blob`].
    pub fn mount_or_begin(
        &self,
        blob: &Descriptor,
        key: Option<&Digest>,
        from: &RepoName,
    ) -> Result<Begun<'_>> {
        self.begin(blob.size, key, Some((&blob.digest, from)))
    }

    fn begin(
        &self,
        size: u64,
        key: Option<&Digest>,
        mount: Option<(&Digest, &RepoName)>,
    ) -> Result<Begun<'_>> {
        self.check_size("layer", size, self.limits().layer_bytes)?;
        let begun = self.resume(size, key).and_then(|(resumed, open)| match resumed {
            Some(upload) => Ok(Begun::Upload(upload)),
            None => self.begin_anew(size, open, mount),
        });
        begun.map_err(|error| error.while_doing(format!("begin an upload to {}", self.host())))
    }

    fn begin_anew(
        &self,
        size: u64,
        mut open: Option<Open>,
        mount: Option<(&Digest, &RepoName)>,
    ) -> std::result::Result<Begun<'_>, Error> {
        let Some((url, reach)) = self.open_upload(mount)? else {
            return Ok(Begun::Mounted);
        };
        let record = Record::new(self.repository(), size, url.whole());
        if let Some(open) = &mut open
            && url.origin == *self.origin()
        {
            // Elsewhere, an address may be a signed one, which is a secret.
            open.write(&record);
        }
        Ok(Begun::Upload(BlobUpload {
            registry: self,
            url,
            reach,
            size,
            at: 0,
            is_resumed: false,
            request: None,
            asked: 0,
            open: open.map(|open| (open, record)),
        }))
    }

    /// The upload that is remembered for `key`, if the registry still has something of it, and the place where one is
    /// remembered.
    #[allow(clippy::type_complexity, reason = "both halves have one user")]
    fn resume(
        &self,
        size: u64,
        key: Option<&Digest>,
    ) -> std::result::Result<(Option<BlobUpload<'_>>, Option<Open>), Error> {
        let (Some(directory), Some(key)) = (&self.settings.uploads, key) else {
            return Ok((None, None));
        };
        let Some(mut open) = Open::at(directory, &self.repository(), key) else {
            return Ok((None, None));
        };
        let Some(mut record) = open.read() else {
            return Ok((None, Some(open)));
        };
        let url = Url::parse(&record.url).ok().filter(|url| {
            url.origin == *self.origin() && record.size == size && record.repository == self.repository()
        });
        let Some(url) = url else {
            return Ok((None, Some(open)));
        };
        let found = self.how_far(url, record.at)?.filter(|(_, _, at)| *at <= size);
        if found.as_ref().is_none_or(|(_, _, at)| *at <= record.at) {
            // It kept nothing of what was sent last: a break shall cost less next time.
            self.chunks.shrink();
        }
        let Some((url, reach, at)) = found else {
            open.forget();
            return Ok((None, Some(open)));
        };
        record.url = url.whole();
        record.at = at;
        open.write(&record);
        let upload = BlobUpload {
            registry: self,
            url,
            reach,
            size,
            at,
            is_resumed: true,
            request: None,
            asked: 0,
            open: Some((open, record)),
        };
        Ok((Some(upload), None))
    }

    /// Asks how far an upload has come (distribution-spec, "Pushing a blob in chunks"). `None` when the registry does
    /// not know it any more. One that has nothing may have something in a moment: what a dead process sent is still
    /// being stored, and whoever sends from the beginning is told so.
    fn how_far(&self, url: Url, known: u64) -> std::result::Result<Option<(Url, Reach, u64)>, Error> {
        let response = match self.call(&self.request("GET", &url), &[400, 404, 405, 410, 416, 501]) {
            Ok(response) => response,
            Err(error @ (Error::Authentication { .. } | Error::GaveUp { .. })) => return Err(error),
            Err(_) => return Ok(None),
        };
        let at = match (response.head.status, has(&response)) {
            (200..300 | 416, has) => has,
            // Where it cannot be asked, what was acknowledged is tried; 416 says better.
            (405 | 501, _) => Some(known).filter(|known| *known > 0),
            _ => None,
        };
        let moved = self.location(&url, &response)?.unwrap_or(url);
        let reach = reach(&response, Reach::Anywhere);
        response.discard();
        Ok(at.map(|at| (moved, reach, at)))
    }

    /// Opens an upload, and gives its address; `None` when the blob was mounted instead.
    pub(crate) fn open_upload(
        &self,
        mount: Option<(&Digest, &RepoName)>,
    ) -> std::result::Result<Option<(Url, Reach)>, Error> {
        let plain = self.url("blobs/uploads/");
        let mounting = mount
            .filter(|(_, from)| **from != self.name)
            .map(|(digest, from)| {
                let url = plain
                    .clone()
                    .with_query("mount", &digest.to_string())
                    .with_query("from", from.as_str());
                (url, digest, from)
            });
        if let Some((url, digest, from)) = mounting {
            let asked = self.request("POST", &url);
            // Whoever may not read there, or is not known there, sends the blob.
            if let Ok(response) = self.reading_too(from).call_once(&asked, &[]) {
                if response.head.status == 201 {
                    self.stored(&response, digest)?;
                    response.discard();
                    return Ok(None);
                }
                if let Some(to) = self.location(&url, &response)? {
                    return Ok(Some(self.opened(to, response)));
                }
            }
        }
        self.pace.wait();
        let response = self.call(&self.request("POST", &plain), &[])?;
        let to = self.location(&plain, &response)?;
        let to = to.ok_or_else(|| Error::Protocol {
            host: response.host(),
            request: response.name.clone(),
            reason: "it names no address for the upload".to_owned(),
        })?;
        Ok(Some(self.opened(to, response)))
    }

    fn opened(&self, to: Url, response: Response) -> (Url, Reach) {
        let least = response.head.get("oci-chunk-min-length");
        if let Some(least) = least.and_then(|least| least.trim().parse::<u64>().ok()) {
            self.chunks.want(least);
        }
        let reach = reach(&response, Reach::Anywhere);
        response.discard();
        (to, reach)
    }
}

/// How many bytes an answer says that an upload has. `0-0` is none, or one.
fn has(response: &Response) -> Option<u64> {
    let range = response.head.get("range")?.trim();
    let range = range
        .strip_prefix("bytes")
        .map_or(range, |rest| rest.trim_start_matches(['=', ' ']));
    let (first, last) = range.split_once('-')?;
    match (
        first.trim().parse::<u64>().ok()?,
        last.trim().parse::<u64>().ok()?,
    ) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

impl<'a> BlobUpload<'a> {
    /// What the registry has already, in bytes from the beginning: the next one to write.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Sends the next bytes.
    ///
    /// # Errors
    /// What the registry says, [`Error::Interrupted`] and lost connections among it, after which it may be begun again.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|error| self.while_sending(error))
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> std::result::Result<(), Error> {
        while !bytes.is_empty() {
            let now = usize::try_from(self.room()?)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (piece, rest) = bytes.split_at(now);
            self.send(now as u64, |upload| upload.write(piece))?;
            bytes = rest;
        }
        Ok(())
    }

    /// Sends the next bytes out of a file: `length` bytes from `offset` on. Without TLS the system moves them.
    ///
    /// # Errors
    /// As [`BlobUpload::write`]; also when the file is shorter.
    pub fn write_file(&mut self, file: &File, offset: u64, length: u64) -> Result<()> {
        self.write_all_of(file, offset, length)
            .map_err(|error| self.while_sending(error))
    }

    fn write_all_of(&mut self, file: &File, offset: u64, length: u64) -> std::result::Result<(), Error> {
        let end = offset.saturating_add(length);
        let mut at = offset;
        while at < end {
            let now = self.room()?.min(end - at);
            self.send(now, |upload| upload.write_file(file, at, now))?;
            at += now;
        }
        Ok(())
    }

    fn while_sending(&self, error: Error) -> content::Error {
        error.while_doing(format!("send a layer to {}", self.registry.host()))
    }

    /// As a sink. What the registry has already may be written to it, and is passed over.
    #[must_use]
    pub fn into_sink(self, expect: &Expect<'_>) -> Box<dyn Sink + 'a> {
        Box::new(BlobSink {
            upload: self,
            arrival: Arrival::new(expect),
            next: 0,
        })
    }

    /// Opens the next request if there is none, and says how many bytes it still takes.
    fn room(&mut self) -> std::result::Result<u64, Error> {
        if let Some((_, left)) = &self.request
            && *left > 0
        {
            return Ok(*left);
        }
        self.end_request()?;
        let registry = self.registry;
        let length = (self.size - self.at).min(registry.chunks.size());
        let mut request = registry.request("PATCH", &self.url);
        request
            .headers
            .push(("Content-Type", "application/octet-stream".to_owned()));
        if self.at > 0 || length < self.size {
            let range = format!("{}-{}", self.at, self.at + length - 1);
            request.headers.push(("Content-Range", range));
        }
        request.headers.extend(registry.authorization(&self.url)?);
        request.reach = self.reach;
        self.asked = length;
        self.request = Some((Box::new(registry.http.begin(&request, length)?), length));
        Ok(length)
    }

    fn send(
        &mut self,
        length: u64,
        write: impl FnOnce(&mut Upload) -> io::Result<()>,
    ) -> std::result::Result<(), Error> {
        let Some((upload, left)) = &mut self.request else {
            return Ok(());
        };
        let Err(source) = write(upload) else {
            *left -= length;
            self.at += length;
            return Ok(());
        };
        let answer = self.request.take().map(|(upload, _)| upload);
        let closed = matches!(
            source.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
        );
        // A registry that refuses says why before it closes the connection. To one that waits, nothing is said.
        match answer.filter(|_| closed).map(|upload| upload.finish()) {
            Some(Ok(response)) if response.head.status >= 300 => Err(self.refused(response)),
            _ => Err(Error::Connection {
                host: self.url.origin.authority(),
                source,
            }),
        }
    }

    /// Reads the answer to the request whose bytes are all sent.
    fn end_request(&mut self) -> std::result::Result<(), Error> {
        let Some((upload, _)) = self.request.take() else {
            return Ok(());
        };
        let response = upload.finish()?;
        // ECR says 201 where the specification says 202, and its `Range` stays at the first chunk: all that was sent
        // is known here, so neither matters.
        if !(200..300).contains(&response.head.status) {
            return Err(self.refused(response));
        }
        if let Some(moved) = self.registry.location(&self.url, &response)? {
            self.url = moved;
            self.reach = reach(&response, self.reach);
        }
        response.discard();
        self.note(self.at);
        Ok(())
    }

    /// Remembers that the registry has the first `at` bytes.
    fn note(&mut self, at: u64) {
        if let Some((open, record)) = &mut self.open
            && self.url.origin == *self.registry.origin()
        {
            record.at = at;
            record.url = self.url.whole();
            open.write(record);
        }
    }

    /// What is to be done about a refusal in the middle.
    fn refused(&mut self, response: Response) -> Error {
        let registry = self.registry;
        let interrupted = |reason| Error::Interrupted {
            host: registry.host(),
            reason,
        };
        match response.head.status {
            401 if self.url.origin == *registry.origin() => match registry.token_expired(&response) {
                Ok(true) => interrupted("the token had expired"),
                Ok(false) => registry.refusal(response),
                Err(error) => error,
            },
            413 if registry.chunks.shrink_below(self.asked) => interrupted("it takes smaller requests only"),
            416 => match has(&response) {
                Some(at) if at <= self.size => {
                    self.note(at);
                    interrupted("it goes on at another place")
                }
                _ => registry.refusal(response),
            },
            _ => registry.refusal(response),
        }
    }

    /// Closes the upload: the registry has all bytes, and makes the blob.
    ///
    /// # Errors
    /// What the registry says; [`Error::Interrupted`] when an upload that was gone on with was of something else.
    pub fn finish(self, digest: &Digest) -> Result<()> {
        let doing = format!("finish {digest} at {}", self.registry.host());
        self.close(digest).map_err(|error| error.while_doing(doing))
    }

    fn close(mut self, digest: &Digest) -> std::result::Result<(), Error> {
        self.end_request()?;
        let finished = self.registry.finish_upload(self.url, self.reach, digest, &[]);
        let open = self.open.map(|(open, _)| open);
        match finished {
            Ok(()) => {
                open.into_iter().for_each(Open::remove);
                Ok(())
            }
            Err(Error::Status {
                host,
                status: 400 | 404 | 416,
                ..
            }) if self.is_resumed => {
                open.into_iter().for_each(Open::remove);
                Err(Error::Interrupted {
                    host,
                    reason: "what it had of an earlier upload was something else",
                })
            }
            Err(error) => {
                if matches!(error, Error::Status { .. } | Error::Stored { .. }) {
                    open.into_iter().for_each(Open::remove);
                }
                Err(error)
            }
        }
    }
}

/// A blob that is sent as it is written.
struct BlobSink<'a> {
    upload: BlobUpload<'a>,
    arrival: Arrival,
    /// The position that is to be written next.
    next: u64,
}

impl Sink for BlobSink<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.arrival.add(ByteRange { offset, length })?;
        if offset != self.next {
            let error = Error::Order {
                at: self.next,
                offset,
            };
            return Err(self.upload.while_sending(error));
        }
        let has = self.upload.offset().saturating_sub(offset).min(length);
        let lacking = &bytes[usize::try_from(has).unwrap_or(bytes.len())..];
        self.upload.write(lacking)?;
        self.next += length;
        Ok(())
    }

    fn commit(self: Box<Self>, hashed: &Hashed) -> Result<()> {
        self.arrival.finish(hashed)?;
        self.upload.finish(hashed.digest())
    }
}

impl Registry {
    /// Takes a blob over from another repository of the same registry. `false` when the registry does not do that:
    /// then the blob is to be uploaded.
    ///
    /// # Errors
    /// What the registry says to an upload.
    pub fn mount(&self, blob: &Descriptor, from: &RepoName) -> Result<bool> {
        let opened = self.open_upload(Some((&blob.digest, from)));
        opened
            .map(|upload| upload.is_none())
            .map_err(|error| error.while_doing(format!("take {} over from {from}", blob.digest)))
    }
}
