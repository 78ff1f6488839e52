use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use modelkeep_core::{
    ByteRange, Descriptor,
    content::{Result, Source},
    media::is_manifest,
};

use crate::{
    Error, Registry,
    ahead::{Fetched, PART, Part},
    http::{Reach, Response, Url},
    retry::Attempts,
};

/// Bytes by which it is found out how fast one connection is.
const FIRST: u64 = 8 << 20;
/// Bytes that are asked for at once on a connection that is fast.
const SEGMENT: u64 = 256 << 20;
/// Below this many bytes a second, one connection is not what the line has: storage services limit each, and so does
/// a long way.
const SLOW: f64 = (64 << 20) as f64;
/// Parts of one blob that are on the way at once.
const WIDTH: usize = 8;

impl Source for Registry {
    fn open<'a>(&'a self, blob: &Descriptor, range: ByteRange) -> Result<Box<dyn Read + Send + 'a>> {
        let what = blob.digest.to_string();
        let not_found = || modelkeep_core::content::Error::NotFound {
            what: what.clone(),
            place: format!("{}/{}", self.host(), self.name),
        };
        let manifest = is_manifest(&blob.media_type);
        let end = range.end().ok_or_else(not_found)?;
        if end > blob.size {
            return Err(not_found());
        }
        let mut reader = Remote {
            registry: self.clone(),
            place: Arc::new(Place {
                url: if manifest {
                    self.manifest(&blob.digest)
                } else {
                    self.blob(&blob.digest)
                },
                accept: manifest.then(|| blob.media_type.clone()),
                size: blob.size,
                moved: Mutex::default(),
            }),
            at: range.offset,
            end,
            stream: None,
            ahead: VecDeque::new(),
            fetched: None,
            speed: Speed::Unknown {
                bytes: 0,
                waited: Duration::ZERO,
            },
            attempts: Attempts::new(self.settings.patience),
        };
        match reader.begin() {
            Ok(()) => Ok(Box::new(reader)),
            Err(Error::Status { status: 404, .. }) => Err(not_found()),
            Err(error) => Err(error.while_doing(format!("read {what}"))),
        }
    }
}

/// Where a blob is.
pub(crate) struct Place {
    url: Url,
    accept: Option<String>,
    size: u64,
    /// Where the registry sent us for it. Such addresses serve for minutes.
    moved: Mutex<Option<(Url, Reach)>>,
}

/// An answer with bytes of a blob.
pub(crate) struct Bytes {
    pub(crate) answer: Response,
    /// Whether it is the part that was asked for; else it begins at the beginning.
    pub(crate) is_part: bool,
}

impl Place {
    /// Asks for `at..end`.
    pub(crate) fn request(
        &self,
        registry: &Registry,
        at: u64,
        end: u64,
    ) -> std::result::Result<Bytes, Error> {
        let response = self.answer(registry, at, end)?;
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
        let is_part = response.head.status == 206;
        if is_part {
            let begins = response.head.get("content-range").and_then(first_byte);
            if begins.is_some_and(|first| first != at) {
                return Err(protocol(&response, "it is another part of the blob"));
            }
        }
        Ok(Bytes {
            answer: response,
            is_part,
        })
    }

    fn answer(&self, registry: &Registry, at: u64, end: u64) -> std::result::Result<Response, Error> {
        let moved = || self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let known = moved().clone();
        if let Some((url, reach)) = known {
            let mut request = registry.request("GET", &url);
            request.reach = reach;
            self.headers(&mut request.headers, at, end);
            match registry.call_once(&request, &[]) {
                // Expired, or another storage has it now: the registry knows.
                Err(Error::Status {
                    status: 400 | 401 | 403 | 404 | 410,
                    ..
                }) => *moved() = None,
                answer => return answer,
            }
        }
        let mut request = registry.request("GET", &self.url);
        self.headers(&mut request.headers, at, end);
        let (response, to) = registry.follow(&request)?;
        *moved() = to;
        registry.accepted(response, &[])
    }

    fn headers(&self, headers: &mut Vec<(&str, String)>, at: u64, end: u64) {
        headers.extend(self.accept.clone().map(|accept| ("Accept", accept)));
        if at > 0 || end < self.size {
            headers.push(("Range", format!("bytes={at}-{}", end - 1)));
        }
    }

    /// What a part fails with when the registry sends the whole blob instead.
    pub(crate) fn no_ranges(&self, response: &Response) -> Error {
        Error::Interrupted {
            host: response.host(),
            reason: "it sends no parts of a blob",
        }
    }
}

/// What is known of how fast one connection is.
enum Speed {
    Unknown {
        bytes: u64,
        waited: Duration,
    },
    /// As fast as we hash: one connection costs the least.
    Fast,
    /// Several are to share the work, so many at once.
    Slow {
        width: usize,
    },
}

/// A range of a blob as it comes. What breaks off is asked for again from where it broke.
struct Remote {
    registry: Registry,
    place: Arc<Place>,
    /// Position in the blob of the next byte.
    at: u64,
    end: u64,
    /// What comes straight into the reader's memory, and up to which position.
    stream: Option<(Response, u64)>,
    /// What comes meanwhile, in order.
    ahead: VecDeque<Part>,
    fetched: Option<Fetched>,
    speed: Speed,
    attempts: Attempts,
}

impl Remote {
    /// Makes sure that the next byte is on its way.
    fn begin(&mut self) -> std::result::Result<(), Error> {
        while self.stream.is_none() && self.fetched.is_none() && self.at < self.end {
            self.look_ahead();
            // What broke off in the middle ends where the next part begins.
            let begins = self.ahead.front().map_or(self.end, |part| part.begin);
            let (failed, end) = match self.ahead.pop_front_if(|part| part.begin == self.at) {
                Some(part) => {
                    let end = part.end;
                    (part.join().map(|fetched| self.fetched = Some(fetched)).err(), end)
                }
                None => {
                    let end = self.segment().min(begins);
                    (self.stream(end).err(), end)
                }
            };
            if let Some(error) = failed {
                self.attempts.again(error)?;
                self.narrow();
                // This one by itself; those after it are on their way.
                if let Err(error) = self.stream(end) {
                    self.ahead.clear();
                    self.attempts.again(error)?;
                    continue;
                }
            }
            self.look_ahead();
        }
        Ok(())
    }

    /// Where the next request on this connection ends.
    fn segment(&self) -> u64 {
        let length = match self.speed {
            Speed::Unknown { .. } if self.end - self.at < 2 * FIRST => u64::MAX,
            Speed::Unknown { .. } => FIRST,
            Speed::Fast => SEGMENT,
            Speed::Slow { .. } => PART,
        };
        self.at.saturating_add(length).min(self.end)
    }

    /// Asks for bytes from here on, which are then read as they come.
    fn stream(&mut self, end: u64) -> std::result::Result<(), Error> {
        let mut bytes = self.place.request(&self.registry, self.at, end)?;
        if bytes.is_part || (self.at == 0 && end == self.place.size) {
            self.stream = Some((bytes.answer, end));
            return Ok(());
        }
        // It knows no ranges: what was not asked for is passed over, and all the rest comes on this connection.
        let answer = &mut bytes.answer;
        let host = answer.host();
        let failed = |source| Error::Connection {
            host: host.clone(),
            source,
        };
        let passed = io::copy(&mut answer.take(self.at), &mut io::sink()).map_err(failed)?;
        if passed < self.at {
            return Err(failed(too_early()));
        }
        self.ahead.clear();
        self.speed = Speed::Fast;
        self.stream = Some((bytes.answer, self.end));
        Ok(())
    }

    /// Begins to fetch what comes later, as far as there is room for it.
    fn look_ahead(&mut self) {
        let Speed::Slow { width } = self.speed else {
            return;
        };
        let here = match (&self.stream, &self.fetched) {
            (Some((_, end)), _) => *end,
            (None, Some(fetched)) => self.at + fetched.left(),
            (None, None) => self.at,
        };
        let mut at = self.ahead.back().map_or(here, |part| part.end);
        while at < self.end && self.ahead.len() < width {
            let end = at.saturating_add(PART).min(self.end);
            let Some(permit) = self.registry.ahead.permit() else {
                return;
            };
            let Some(part) = Part::begin(&self.registry, &self.place, at, end, permit) else {
                return;
            };
            self.ahead.push_back(part);
            at = end;
        }
    }

    /// Fewer connections at once, because one failed.
    fn narrow(&mut self) {
        if let Speed::Slow { width } = &mut self.speed {
            *width = (*width / 2).max(1);
        }
    }

    fn measure(&mut self, came: u64, took: Duration) {
        let Speed::Unknown { bytes, waited } = &mut self.speed else {
            return;
        };
        *bytes += came;
        *waited += took;
        if *bytes >= FIRST {
            let is_slow = (*bytes as f64) < SLOW * waited.as_secs_f64();
            self.speed = if is_slow {
                Speed::Slow { width: WIDTH }
            } else {
                Speed::Fast
            };
        }
    }
}

fn too_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended too early")
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

impl Read for Remote {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() || self.at == self.end {
            return Ok(0);
        }
        loop {
            self.begin().map_err(io::Error::other)?;
            if let Some(fetched) = &mut self.fetched {
                let came = fetched.read(into);
                if came > 0 {
                    self.at += came as u64;
                    self.attempts.progress();
                    return Ok(came);
                }
                self.fetched = None;
                continue;
            }
            let Some((response, end)) = &mut self.stream else {
                return Ok(0);
            };
            let length = usize::try_from(*end - self.at)
                .unwrap_or(usize::MAX)
                .min(into.len());
            let began = Instant::now();
            let error = match response.read(&mut into[..length]) {
                Ok(came) if came > 0 => {
                    self.at += came as u64;
                    if self.at == *end {
                        self.stream = None;
                    }
                    self.attempts.progress();
                    self.measure(came as u64, began.elapsed());
                    return Ok(came);
                }
                Ok(_) => too_early(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let host = response.host();
            self.stream = None;
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
