use crate::{Bytes, Error, Result};

/// Most bytes that are read at once.
const WINDOW: u64 = 64 << 10;
/// Bytes that are read first, and after each jump.
const FIRST: u64 = 4 << 10;

/// Reads a file forward from some place, through a window of 64 KiB. What it cannot give is an [`Error`] that names the
/// format and the byte.
pub struct Reader<'a> {
    bytes: &'a dyn Bytes,
    format: &'static str,
    /// Where the next byte is.
    at: u64,
    window: Vec<u8>,
    /// Where the first byte of the window is.
    start: u64,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes` at their beginning; `format` is what errors call the file.
    #[must_use]
    pub fn new(bytes: &'a dyn Bytes, format: &'static str) -> Self {
        Self {
            bytes,
            format,
            at: 0,
            window: Vec::new(),
            start: 0,
        }
    }

    /// Where the next byte is.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// How many bytes come still.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.bytes.size().saturating_sub(self.at)
    }

    /// Goes to any place, also past the end, where nothing can be read.
    pub fn seek(&mut self, position: u64) {
        self.at = position;
    }

    /// The file.
    pub(crate) fn bytes(&self) -> &'a dyn Bytes {
        self.bytes
    }

    /// Passes over bytes without reading them.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there are not as many.
    pub fn skip(&mut self, count: u64) -> Result<()> {
        if count > self.left() {
            return Err(self.cut_off(count));
        }
        self.at += count;
        Ok(())
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there are not as many; [`Error::Read`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        self.fill(&mut array)?;
        Ok(array)
    }

    /// The next byte.
    ///
    /// # Errors
    /// As [`Reader::array`].
    pub fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next `count` bytes. The caller has made sure that it can hold as many; more than the file has are never
    /// allocated.
    ///
    /// # Errors
    /// As [`Reader::array`].
    pub fn take(&mut self, count: u64) -> Result<Vec<u8>> {
        let length = usize::try_from(count).ok().filter(|_| count <= self.left());
        let mut bytes = vec![0; length.ok_or_else(|| self.cut_off(count))?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// Fills `into` with the next bytes.
    ///
    /// # Errors
    /// As [`Reader::array`].
    pub fn fill(&mut self, into: &mut [u8]) -> Result<()> {
        let count = into.len() as u64;
        if count > self.left() {
            return Err(self.cut_off(count));
        }
        if count > WINDOW {
            self.read(self.at, into)?;
        } else if count > 0 {
            if self.at < self.start || self.at + count > self.start + self.window.len() as u64 {
                let mut window = std::mem::take(&mut self.window);
                let reached = self.start + window.len() as u64;
                let ahead = if (self.start..=reached).contains(&self.at) {
                    2 * window.len() as u64
                } else {
                    FIRST
                };
                // No longer than the window: fits.
                window.resize(self.left().min(ahead.clamp(FIRST, WINDOW).max(count)) as usize, 0);
                self.read(self.at, &mut window)?;
                self.window = window;
                self.start = self.at;
            }
            let from = (self.at - self.start) as usize;
            into.copy_from_slice(&self.window[from..from + into.len()]);
        }
        self.at += count;
        Ok(())
    }

    /// What is wrong with the file, here.
    pub fn malformed(&self, problem: impl Into<std::borrow::Cow<'static, str>>) -> Error {
        Error::malformed(self.format, self.at, problem)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.bytes
            .read_at(offset, into)
            .map_err(|source| Error::Read { offset, source })
    }

    fn cut_off(&self, wanted: u64) -> Error {
        self.malformed(format!("{wanted} bytes are needed and {} are left", self.left()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_order_whatever_is_asked_at_once() {
        let all: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let mut reader = Reader::new(&all, "test");
        let mut came = Vec::new();
        for count in [1, 0, 7, 65_536, 65_537, 3, 40_000].into_iter().cycle() {
            let count = reader.left().min(count);
            came.extend(reader.take(count).unwrap());
            if reader.left() == 0 {
                break;
            }
        }
        assert_eq!(came, all);
        reader.seek(5);
        assert_eq!(reader.array::<2>().unwrap(), [5, 6]);
        reader.skip(3).unwrap();
        assert_eq!((reader.byte().unwrap(), reader.position()), (10, 11));
    }

    #[test]
    fn nothing_is_allocated_for_bytes_that_are_not_there() {
        let bytes = vec![0_u8; 10];
        let mut reader = Reader::new(&bytes, "test");
        for result in [
            reader.take(u64::MAX).err(),
            reader.take(11).err(),
            reader.skip(u64::MAX).err(),
        ] {
            assert!(matches!(result, Some(Error::Malformed { offset: 0, .. })));
        }
        reader.seek(u64::MAX);
        assert!(reader.byte().is_err());
        assert!(reader.take(0).is_ok());
    }
}
