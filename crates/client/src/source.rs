use std::io::{self, Read};

use modelkeep_core::{
    ByteRange, Descriptor,
    content::{Result, Source},
    media::is_manifest,
};

use crate::{
    Error, Registry,
    http::{Response, Url},
    retry::Attempts,
};

impl Source for Registry {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let what = blob.digest.to_string();
        let not_found = || modelkeep_core::content::Error::NotFound {
            what: what.clone(),
            place: format!("{}/{}", self.host(), self.name),
        };
        let manifest = is_manifest(&blob.media_type);
        let mut reader = Remote {
            registry: self,
            url: if manifest {
                self.manifest(&blob.digest)
            } else {
                self.blob(&blob.digest)
            },
            accept: manifest.then(|| blob.media_type.clone()),
            at: range.offset,
            end: range.end().ok_or_else(not_found)?,
            size: blob.size,
            response: None,
            attempts: Attempts::new(self.settings.patience),
        };
        match reader.begin() {
            Ok(()) => Ok(Box::new(reader)),
            Err(Error::Status { status: 404, .. }) => Err(not_found()),
            Err(error) => Err(error.while_doing(format!("read {what}"))),
        }
    }
}

/// A range of a blob as it comes. What breaks off is asked for again from where it broke.
struct Remote<'a> {
    registry: &'a Registry,
    url: Url,
    accept: Option<String>,
    /// Position in the blob of the next byte.
    at: u64,
    end: u64,
    size: u64,
    response: Option<Response>,
    attempts: Attempts,
}

impl Remote<'_> {
    fn begin(&mut self) -> std::result::Result<(), Error> {
        while self.response.is_none() && self.at < self.end {
            match self.request() {
                Ok(response) => self.response = Some(response),
                Err(error) => self.attempts.again(error)?,
            }
        }
        Ok(())
    }

    fn request(&self) -> std::result::Result<Response, Error> {
        let mut request = self.registry.request("GET", &self.url);
        request
            .headers
            .extend(self.accept.clone().map(|accept| ("Accept", accept)));
        let whole = self.at == 0 && self.end >= self.size;
        if !whole {
            request
                .headers
                .push(("Range", format!("bytes={}-{}", self.at, self.end - 1)));
        }
        let mut response = self.registry.call_once(&request, &[])?;
        let protocol = |response: &Response, reason: &str| Error::Protocol {
            host: response.host(),
            request: response.name.clone(),
            reason: reason.to_owned(),
        };
        if let (Some(accept), Some(sent)) = (&self.accept, response.head.get("content-type")) {
            let sent = sent.split(';').next().unwrap_or_default().trim();
            if sent != accept {
                let reason = format!(
                    "it is {}, not {accept}",
                    sent.chars().take(100).collect::<String>()
                );
                return Err(protocol(&response, &reason));
            }
        }
        match response.head.status {
            206 => {
                let begins = response.head.get("content-range").and_then(first_byte);
                if begins.is_some_and(|first| first != self.at) {
                    return Err(protocol(&response, "it is another part of the blob"));
                }
            }
            // It knows no ranges: what was not asked for is passed over.
            _ => {
                let host = response.host();
                let failed = |source| Error::Connection { host, source };
                let passed = io::copy(&mut (&mut response).take(self.at), &mut io::sink()).map_err(failed)?;
                if passed < self.at {
                    return Err(Error::Connection {
                        host: response.host(),
                        source: io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended too early"),
                    });
                }
            }
        }
        Ok(response)
    }
}

/// The first position in `bytes 5-9/100`.
fn first_byte(range: &str) -> Option<u64> {
    range
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split('-')
        .next()?
        .parse()
        .ok()
}

impl Read for Remote<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let length = left.min(into.len());
        if length == 0 {
            return Ok(0);
        }
        loop {
            self.begin().map_err(io::Error::other)?;
            let Some(response) = &mut self.response else {
                return Ok(0);
            };
            let error = match response.read(&mut into[..length]) {
                Ok(came) if came > 0 => {
                    self.at += came as u64;
                    self.attempts.progress();
                    return Ok(came);
                }
                Ok(_) => io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended too early"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let host = response.host();
            self.response = None;
            let failed = Error::Connection { host, source: error };
            self.attempts.again(failed).map_err(io::Error::other)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_range_is_read() {
        assert_eq!(first_byte("bytes 5-9/100"), Some(5));
        assert_eq!(first_byte("bytes 5-9/*"), Some(5));
        for text in ["", "5-9", "bytes */100", "bytes x-9/100"] {
            assert_eq!(first_byte(text), None, "{text}");
        }
    }
}
