use std::io::Read;

use super::*;

/// Name, kind and size of the entries of an archive, as the `tar` crate reads them.
fn entries(bytes: impl Read) -> Vec<(String, ::tar::EntryType, u64, u64)> {
    let mut archive = ::tar::Archive::new(bytes);
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(header.uid().unwrap(), 0);
        assert_eq!(header.mtime().unwrap(), 0);
        assert_eq!(header.groupname().unwrap(), Some(""));
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        found.push((name, header.entry_type(), entry.size(), entry.raw_file_position()));
    }
    found
}

#[test]
fn names_of_every_length_are_read_back() {
    for length in (1..130).chain([250, 400, 985, 990, 995, 1000, 1024]) {
        for letter in ["a", "é"] {
            let name = format!("m/{}", letter.repeat(length));
            let mut bytes = directory(&name);
            bytes.extend(file(&name, FileMode::Plain, 3, bytes.len() as u64));
            bytes.extend(b"abc");
            bytes.extend(tail(3));
            bytes.extend(END);
            assert_eq!(bytes.len() % 512, 0);
            let found = entries(&bytes[..]);
            assert_eq!(found[0].0, format!("{name}/"));
            assert_eq!((&found[1].0, found[1].2), (&name, 3));
            assert!(found[0].1.is_dir() && found[1].1.is_file());
        }
    }
}

#[test]
fn the_mode_is_all_that_makes_a_file_executable() {
    let mode = |bytes: &[u8]| {
        let mut archive = ::tar::Archive::new(bytes);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        entry.header().mode().unwrap()
    };
    let plain = file("m/a", FileMode::Plain, 3, 0);
    let executable = file("m/a", FileMode::Executable, 3, 0);
    assert_eq!((mode(&plain), mode(&executable)), (0o644, 0o755));
    assert_eq!(plain.len(), executable.len());
}

#[test]
fn large_files_begin_at_a_page_wherever_their_header_is() {
    for name in [
        "models/a".to_owned(),
        "é".repeat(60),
        "n".repeat(101),
        "n".repeat(1000),
    ] {
        for size in [ALIGN_FROM, HUGE] {
            for offset in (0..3 * 4096).step_by(512) {
                let head = file(&name, FileMode::Plain, size, offset);
                assert_eq!((offset + head.len() as u64) % 4096, 0, "{name} at {offset}");
                assert!(head.len() <= 3 * 4096);
                let mut archive = ::tar::Archive::new(&head[..]);
                let first = archive.entries().unwrap().next().unwrap().unwrap();
                assert_eq!(
                    (first.path_bytes().as_ref(), first.size()),
                    (name.as_bytes(), size)
                );
            }
        }
    }
    assert_eq!(
        file("a", FileMode::Plain, ALIGN_FROM, 3584).len(),
        512,
        "no padding where none is due"
    );
}

#[test]
fn small_files_are_not_padded() {
    assert_eq!(file("a", FileMode::Plain, ALIGN_FROM - 1, 0).len(), 512);
}

#[test]
fn the_member_after_a_file_of_more_than_8_gib_is_found() {
    /// Zeros and a few headers: an archive of more than 8 GiB that is on no disk.
    struct Sparse {
        parts: Vec<(u64, Vec<u8>)>,
        at: u64,
    }
    impl Read for Sparse {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            into.fill(0);
            for (start, part) in &self.parts {
                for (n, byte) in part.iter().enumerate() {
                    let place = start + n as u64;
                    if place >= self.at && place < self.at + into.len() as u64 {
                        into[(place - self.at) as usize] = *byte;
                    }
                }
            }
            self.at += into.len() as u64;
            Ok(into.len())
        }
    }
    impl std::io::Seek for Sparse {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            match to {
                std::io::SeekFrom::Start(at) => self.at = at,
                std::io::SeekFrom::Current(by) => self.at = self.at.checked_add_signed(by).unwrap(),
                std::io::SeekFrom::End(_) => unreachable!("the end is nowhere"),
            }
            Ok(self.at)
        }
    }
    let size = HUGE + 5;
    let head = file("models/huge", FileMode::Plain, size, 0);
    let second = head.len() as u64 + size + tail(size).len() as u64;
    let parts = vec![
        (0, head),
        (second, file("models/next", FileMode::Plain, 1, second)),
    ];
    let mut archive = ::tar::Archive::new(Sparse { parts, at: 0 });
    let found: Vec<_> = archive
        .entries_with_seek()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().into_owned(), entry.size())
        })
        .collect();
    assert_eq!(found, [("models/huge".into(), size), ("models/next".into(), 1)]);
}
