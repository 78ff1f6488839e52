//! Compressed bytes as if they were a file.

use std::{
    cell::RefCell,
    io::{self, Read},
};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::{Bytes, Part};

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// A bare stream of DEFLATE (RFC 1951), as in ZIP archives.
    Deflate,
    /// RFC 1950
    Zlib,
    /// RFC 1952
    Gzip,
}

/// Up to here no ratio is too good.
const UNSUSPECTED: u64 = 256 << 20;
/// Bytes out of one byte in, past which what is large is no model. DEFLATE gives 1032 at most.
const MOST_RATIO: u64 = 200;

/// Whether so little is to become so much that only a bomb does.
#[must_use]
pub fn is_bomb(packed: u64, size: u64) -> bool {
    size > UNSUSPECTED && size / packed.max(1) > MOST_RATIO
}

/// What compressed bytes expand to. It is read forward best: going back begins again.
pub struct Inflated<'a> {
    packed: Part<'a>,
    coding: Coding,
    size: u64,
    state: RefCell<State<'a>>,
}

struct State<'a> {
    decoder: Box<dyn Read + 'a>,
    at: u64,
    /// How many bytes may still be inflated: to go back again and again is no way to read a file.
    left: u64,
}

impl<'a> Inflated<'a> {
    /// `packed` expands to `size` bytes, its header says. If it does not, reading fails there.
    #[must_use]
    pub fn new(packed: Part<'a>, coding: Coding, size: u64) -> Self {
        Self {
            packed,
            coding,
            size,
            state: RefCell::new(State {
                decoder: decoder(packed, coding),
                at: 0,
                left: size.saturating_mul(4).saturating_add(64 << 20),
            }),
        }
    }

    /// As [`Inflated::new`], for what does not say its size: it is inflated once to find out. `None` for a bomb.
    ///
    /// # Errors
    /// What is damaged, or cannot be read.
    pub fn measured(packed: Part<'a>, coding: Coding) -> io::Result<Option<Self>> {
        let mut decoder = decoder(packed, coding);
        let mut buffer = vec![0; 32 << 10];
        let mut size = 0;
        loop {
            match decoder.read(&mut buffer)? {
                0 => return Ok(Some(Self::new(packed, coding, size))),
                came => size += came as u64,
            }
            if is_bomb(packed.size(), size) {
                return Ok(None);
            }
        }
    }
}

impl Bytes for Inflated<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut state = self.state.borrow_mut();
        if offset < state.at {
            state.decoder = decoder(self.packed, self.coding);
            state.at = 0;
        }
        let ahead = offset - state.at;
        let work = ahead + into.len() as u64;
        let too_often = || io::Error::other("it would have to be inflated too often");
        state.left = state.left.checked_sub(work).ok_or_else(too_often)?;
        let skipped = io::copy(&mut state.decoder.by_ref().take(ahead), &mut io::sink());
        // After an error the position is unknown: the next read begins again.
        state.at = u64::MAX;
        if skipped? < ahead {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        state.decoder.read_exact(into)?;
        state.at = offset + into.len() as u64;
        Ok(())
    }
}

fn decoder(packed: Part<'_>, coding: Coding) -> Box<dyn Read + '_> {
    let run = Run { bytes: packed, at: 0 };
    match coding {
        Coding::Deflate => Box::new(DeflateDecoder::new(run)),
        Coding::Zlib => Box::new(ZlibDecoder::new(run)),
        Coding::Gzip => Box::new(MultiGzDecoder::new(run)),
    }
}

/// [`Bytes`] from their beginning to their end.
pub(crate) struct Run<B> {
    bytes: B,
    at: u64,
}

impl<B: Bytes> Run<B> {
    pub(crate) fn new(bytes: B) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<B: Bytes> Read for Run<B> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.size() - self.at).unwrap_or(usize::MAX);
        let count = left.min(into.len());
        self.bytes.read_at(self.at, &mut into[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn any_run_of_what_is_compressed_can_be_read() {
        let all: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let packed = gzip(&all);
        let part = Part::of(&packed, 0, packed.size()).unwrap();
        let inflated = Inflated::measured(part, Coding::Gzip).unwrap().unwrap();
        assert_eq!(inflated.size(), all.size());
        for (offset, length) in [(0, 10), (200_000, 100_000), (5, 70_000), (300_000, 0)] {
            let mut into = vec![0; length];
            inflated.read_at(offset as u64, &mut into).unwrap();
            assert_eq!(into, all[offset..offset + length]);
        }
        assert!(inflated.read_at(299_999, &mut [0; 2]).is_err());
        assert!(inflated.read_at(u64::MAX, &mut [0; 2]).is_err());
    }

    #[test]
    fn what_would_have_to_be_inflated_again_and_again_is_given_up() {
        let packed = gzip(&vec![7; 1 << 20]);
        let part = Part::of(&packed, 0, packed.size()).unwrap();
        let inflated = Inflated::measured(part, Coding::Gzip).unwrap().unwrap();
        let last = |_| {
            inflated
                .read_at((1 << 20) - 1, &mut [0])
                .and_then(|()| inflated.read_at(0, &mut [0]))
        };
        assert!((0..200).map(last).any(|result| result.is_err()));
    }

    #[test]
    fn a_size_that_is_a_lie_is_an_error() {
        let packed = gzip(b"little");
        let part = Part::of(&packed, 0, packed.size()).unwrap();
        let inflated = Inflated::new(part, Coding::Gzip, 1000);
        assert!(inflated.read_at(0, &mut [0; 100]).is_err());
        assert!(inflated.read_at(0, &mut [0; 6]).is_ok());
        assert!(is_bomb(1 << 20, 300 << 20) && !is_bomb(2 << 20, 300 << 20) && !is_bomb(1, 1 << 20));
    }
}
