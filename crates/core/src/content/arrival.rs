use std::collections::BTreeMap;

use super::{Error, Expect, Result};
use crate::{ByteRange, Digest, Hashed};

/// What a [`Sink`](super::Sink) remembers of a blob that is arriving, so that it can hold whoever writes to the
/// contract: every byte exactly once, and in the end what was expected.
#[derive(Debug)]
pub struct Arrival {
    digest: Option<Digest>,
    size: u64,
    /// First byte and end of each run that has come. Whoever writes in order has one.
    runs: BTreeMap<u64, u64>,
}

impl Arrival {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(expect: &Expect<'_>) -> Self {
        Self {
            digest: match expect {
                Expect::Known(descriptor) => Some(descriptor.digest.clone()),
                Expect::Unknown { .. } => None,
            },
            size: expect.size(),
            runs: BTreeMap::new(),
        }
    }

    /// Takes note of bytes, before they are written.
    ///
    /// # Errors
    /// [`Error::Damaged`] when one of them lies past the end, or has come before.
    pub fn add(&mut self, range: ByteRange) -> Result<()> {
        let end = range.end().filter(|&end| end <= self.size).ok_or_else(|| {
            self.wrong(format!(
                "{} bytes at {}, past its end",
                range.length, range.offset
            ))
        })?;
        if range.length == 0 {
            return Ok(());
        }
        let (mut start, mut stop) = (range.offset, end);
        // Runs never overlap, so the last one that begins before `end` is the one that could.
        if let Some((&first, &last)) = self.runs.range(..end).next_back() {
            if last > start {
                return Err(self.wrong(format!("the bytes at {start} a second time")));
            }
            if last == start {
                start = first;
            }
        }
        if let Some(last) = self.runs.remove(&end) {
            stop = last;
        }
        self.runs.insert(start, stop);
        Ok(())
    }

    /// Whether all that came, and was hashed, is what was expected.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not.
    pub fn finish(&self, hashed: &Hashed) -> Result<()> {
        let whole = match self.size {
            0 => self.runs.is_empty(),
            size => self.runs.len() == 1 && self.runs.get(&0) == Some(&size),
        };
        if !whole {
            let bytes: u64 = self.runs.iter().map(|(start, end)| end - start).sum();
            return Err(self.wrong(format!("{bytes} bytes")));
        }
        if hashed.size() != self.size {
            return Err(self.wrong(format!("{} bytes that were hashed", hashed.size())));
        }
        match &self.digest {
            Some(expected) if expected != hashed.digest() => {
                Err(Error::damaged("what arrived", expected, hashed.digest()))
            }
            _ => Ok(()),
        }
    }

    fn wrong(&self, found: String) -> Error {
        let what = match &self.digest {
            Some(digest) => digest.to_string(),
            None => "what arrived".to_owned(),
        };
        Error::Damaged {
            what,
            expected: format!("{} bytes", self.size),
            found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Hasher};

    fn arrival(ranges: &[(u64, u64)]) -> Result<Arrival> {
        let mut arrival = Arrival::new(&Expect::Unknown { size: 10 });
        for &(offset, length) in ranges {
            arrival.add(ByteRange { offset, length })?;
        }
        Ok(arrival)
    }

    fn hashed(length: usize) -> Hashed {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&vec![0; length]);
        hasher.finish()
    }

    #[test]
    fn bytes_may_come_in_any_order() {
        for order in [
            [(0, 4), (4, 4), (8, 2)],
            [(8, 2), (0, 4), (4, 4)],
            [(4, 4), (8, 2), (0, 4)],
        ] {
            assert!(arrival(&order).unwrap().finish(&hashed(10)).is_ok());
        }
    }

    #[test]
    fn no_byte_comes_twice_or_past_the_end() {
        for ranges in [
            &[(0, 4), (3, 1)][..],
            &[(2, 4), (0, 10)],
            &[(2, 4), (4, 6)],
            &[(2, 4), (2, 4)],
            &[(0, 2), (4, 2), (1, 4)],
            &[(8, 3)],
            &[(u64::MAX, 2)],
        ] {
            assert!(arrival(ranges).is_err(), "{ranges:?}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for ranges in [&[][..], &[(0, 9)], &[(0, 4), (5, 5)], &[(1, 9)]] {
            assert!(
                arrival(ranges).unwrap().finish(&hashed(10)).is_err(),
                "{ranges:?}"
            );
        }
        assert!(arrival(&[(0, 10)]).unwrap().finish(&hashed(9)).is_err());
    }
}
