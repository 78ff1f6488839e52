use modelkeep_core::Buffer;

/// Bytes of one write. A multiple of the alignment, so that every write but the last can be direct.
pub(crate) const BUFFER: usize = 1 << 20;
/// Most bytes that are read at once: they are hashed next, and should still be in the processor's cache.
pub(crate) const READ: usize = 256 << 10;

/// Takes bytes and the offset they belong at.
type Write<'a, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'a;

/// Collects bytes of any number into writes of [`BUFFER`] bytes from aligned memory to aligned offsets; only the last
/// one may be shorter.
pub(crate) struct Stream<'a, E> {
    buffer: Buffer,
    filled: usize,
    written: u64,
    write: &'a mut Write<'a, E>,
}

impl<'a, E> Stream<'a, E> {
    /// `expected` is the number of bytes to come, or more.
    pub(crate) fn new(expected: u64, write: &'a mut Write<'a, E>) -> Self {
        let length = usize::try_from(expected).map_or(BUFFER, |expected| expected.clamp(1, BUFFER));
        Self {
            buffer: Buffer::new(length),
            filled: 0,
            written: 0,
            write,
        }
    }

    /// Free room to read at most `most` bytes into, never empty unless `most` is 0; [`Stream::advance`] says how many
    /// came.
    pub(crate) fn room(&mut self, most: u64) -> &mut [u8] {
        let free = self.buffer.len() - self.filled;
        let length = usize::try_from(most).unwrap_or(READ).min(READ).min(free);
        &mut self.buffer[self.filled..self.filled + length]
    }

    pub(crate) fn advance(&mut self, bytes: usize) -> Result<(), E> {
        self.filled += bytes;
        if self.filled == self.buffer.len() {
            self.flush()?;
        }
        Ok(())
    }

    pub(crate) fn put(&mut self, mut bytes: &[u8]) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = self.room(bytes.len() as u64);
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            self.advance(now.len())?;
            bytes = later;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> Result<(), E> {
        if self.filled > 0 {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), E> {
        (self.write)(self.written, &self.buffer[..self.filled])?;
        self.written += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_whole_and_aligned_but_the_last() {
        let mut writes = Vec::new();
        let mut write = |offset: u64, bytes: &[u8]| {
            assert_eq!(bytes.as_ptr().addr() % 4096, 0);
            writes.push((offset, bytes.to_vec()));
            Ok::<(), ()>(())
        };
        let all: Vec<u8> = (0..(2 << 20) + 700).map(|n: usize| (n % 251) as u8).collect();
        let mut stream = Stream::new(all.len() as u64, &mut write);
        for piece in all.chunks(100_003) {
            stream.put(piece).unwrap();
        }
        stream.finish().unwrap();
        let places: Vec<(u64, usize)> = writes.iter().map(|(at, bytes)| (*at, bytes.len())).collect();
        assert_eq!(places, [(0, BUFFER), (1 << 20, BUFFER), (2 << 20, 700)]);
        assert!(writes.into_iter().flat_map(|(_, bytes)| bytes).eq(all));
    }
}
