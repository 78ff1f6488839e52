use std::{fs::File, io, os::unix::fs::FileExt};

/// The bytes of one file, any run of which can be read. A file on the disk is one, a slice is one, and so is a range of
/// a blob on a registry.
pub trait Bytes {
    /// How many there are.
    fn size(&self) -> u64;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before `into` is full; whatever keeps it from being read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

impl Bytes for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let run = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(into.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(run);
        Ok(())
    }
}

impl Bytes for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, into)
    }
}

/// A regular file; it may not change its length while it is read.
pub struct Disk {
    file: File,
    size: u64,
}

impl Disk {
    /// Takes a file that is open for reading.
    ///
    /// # Errors
    /// When the operating system does not tell its size.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Bytes for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
}

/// A run of another file, such as a member of an archive that is stored as it is.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    whole: &'a dyn Bytes,
    offset: u64,
    size: u64,
}

impl<'a> Part<'a> {
    /// `size` bytes of `whole` from `offset` on; `None` when they do not all lie in it.
    #[must_use]
    pub fn of(whole: &'a dyn Bytes, offset: u64, size: u64) -> Option<Self> {
        let end = offset.checked_add(size)?;
        (end <= whole.size()).then_some(Self { whole, offset, size })
    }
}

impl Bytes for Part<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match offset.checked_add(into.len() as u64) {
            // Cannot overflow: the part lies inside the whole.
            Some(end) if end <= self.size => self.whole.read_at(self.offset + offset, into),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &dyn Bytes, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut into = vec![0; length];
        bytes.read_at(offset, &mut into).ok().map(|()| into)
    }

    #[test]
    fn no_source_gives_bytes_that_it_does_not_have() {
        let slice = b"0123456789".to_vec();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &slice).unwrap();
        let disk = Disk::new(file).unwrap();
        let part = Part::of(&slice, 0, 10).unwrap();
        for bytes in [&slice as &dyn Bytes, &disk, &part] {
            assert_eq!(bytes.size(), 10);
            assert_eq!(read(bytes, 3, 4).unwrap(), b"3456");
            assert_eq!(read(bytes, 10, 0).unwrap(), b"");
            for (offset, length) in [(7, 4), (11, 1), (u64::MAX, 1)] {
                assert_eq!(read(bytes, offset, length), None, "{offset}");
            }
        }
    }

    #[test]
    fn a_part_lies_in_its_whole_and_ends_where_it_ends() {
        let slice = b"0123456789".to_vec();
        let part = Part::of(&slice, 2, 5).unwrap();
        assert_eq!(read(&part, 0, 5).unwrap(), b"23456");
        assert_eq!(read(&part, 1, 5), None);
        for (offset, size) in [(6, 5), (11, 0), (u64::MAX, 2), (2, u64::MAX)] {
            assert!(Part::of(&slice, offset, size).is_none());
        }
    }
}
