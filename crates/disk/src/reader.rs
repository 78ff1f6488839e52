use std::{fs::File, io, os::unix::fs::FileExt};

use modelkeep_core::ALIGNMENT;

use crate::direct;

/// Reads a large file at given offsets, past the page cache where buffer and offset are aligned.
///
/// To take a gigabyte into the page cache can cost more processor time than to hash it, and pushes out what others
/// use; a direct read costs about as much as a direct write. Nothing is read ahead, though, and what is in the cache
/// is not taken from there: it is for bytes that are read once.
#[derive(Debug)]
pub struct Reader {
    file: File,
    direct: Option<File>,
}

impl Reader {
    /// A reader of `file`, of which about `length` bytes will be read.
    #[must_use]
    pub fn new(file: File, length: u64) -> Self {
        Self {
            direct: direct::reopen(&file, length, direct::Access::Read),
            file,
        }
    }

    /// Reads at `offset` into `buffer`, and says how many bytes: 0 at the end of the file only.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let whole = buffer.len() - buffer.len() % ALIGNMENT;
        if let (Some(file), true) = (&self.direct, whole > 0 && direct::is_aligned(offset, buffer)) {
            match file.read_at(&mut buffer[..whole], offset) {
                // Some file systems let O_DIRECT be set and refuse it here.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                result => return result,
            }
        }
        self.file.read_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use modelkeep_core::Buffer;

    use crate::Writer;

    fn read_all(reader: &mut Reader, mut offset: u64, buffer: &mut [u8]) -> Vec<u8> {
        let mut found = Vec::new();
        loop {
            let length = reader.read_at(offset, buffer).unwrap();
            if length == 0 {
                return found;
            }
            found.extend(&buffer[..length]);
            offset += length as u64;
        }
    }

    #[test]
    fn a_file_reads_the_same_in_and_out_of_the_cache() {
        let directory = tempfile::tempdir().unwrap();
        let size = (3 << 20) + 4097;
        let mut expected = Buffer::new(size);
        for (n, byte) in expected.iter_mut().enumerate() {
            *byte = (n % 251) as u8;
        }
        let (direct, cached) = (directory.path().join("direct"), directory.path().join("cached"));
        let file = File::create(&direct).unwrap();
        Writer::new(&file, size as u64)
            .unwrap()
            .write_at(0, &expected)
            .unwrap();
        file.sync_all().unwrap();
        fs::write(&cached, &expected[..]).unwrap();
        for path in [direct, cached] {
            let mut reader = Reader::new(File::open(path).unwrap(), size as u64);
            let mut buffer = Buffer::new(1 << 20);
            for (offset, skipped, length) in
                [(0, 0, 1 << 20), (4096, 0, 1 << 20), (7, 0, 9999), (0, 1, 70_000)]
            {
                let found = read_all(&mut reader, offset, &mut buffer[skipped..length]);
                assert!(
                    found == expected[offset as usize..],
                    "{offset} {skipped} {length}"
                );
            }
        }
    }
}
