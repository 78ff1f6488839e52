use std::io::Write;

use flate2::{Compression, write::DeflateEncoder};

use super::*;

/// Writes archives, right and wrong ones.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

struct Lie {
    local_name: Option<&'static str>,
    flags: u16,
    crc: Option<u32>,
    attributes: u32,
}

const HONEST: Lie = Lie {
    local_name: None,
    flags: 0,
    crc: None,
    attributes: 0,
};

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

impl Writer {
    fn add(&mut self, name: &str, content: &[u8], deflated: bool, lie: &Lie) {
        let packed = if deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let offset = self.bytes.len() as u32;
        let method: u16 = if deflated { 8 } else { 0 };
        let sum = lie.crc.unwrap_or_else(|| crc(content));
        let common = |name: &str| {
            let mut fields = Vec::new();
            for field in [20, lie.flags, method, 0, 0] {
                fields.extend_from_slice(&field.to_le_bytes());
            }
            for field in [sum, packed.len() as u32, content.len() as u32] {
                fields.extend_from_slice(&field.to_le_bytes());
            }
            fields.extend_from_slice(&(name.len() as u16).to_le_bytes());
            fields.extend_from_slice(&[0, 0]);
            fields
        };
        let local_name = lie.local_name.unwrap_or(name);
        self.bytes.extend_from_slice(b"PK\x03\x04");
        self.bytes.extend_from_slice(&common(local_name));
        self.bytes.extend_from_slice(local_name.as_bytes());
        self.bytes.extend_from_slice(&packed);
        self.directory.extend_from_slice(b"PK\x01\x02\x14\x03");
        self.directory.extend_from_slice(&common(name));
        self.directory.extend_from_slice(&[0; 6]);
        self.directory.extend_from_slice(&lie.attributes.to_le_bytes());
        self.directory.extend_from_slice(&offset.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let start = self.bytes.len() as u32;
        let length = self.directory.len() as u32;
        self.bytes.append(&mut self.directory);
        self.bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend_from_slice(&self.count.to_le_bytes());
        self.bytes.extend_from_slice(&self.count.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&start.to_le_bytes());
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes
    }
}

fn with(lie: &Lie) -> Vec<Problem> {
    let mut writer = Writer::default();
    writer.add("a/data.pkl", b"hello", false, lie);
    read(&writer.finish(), &Limits::default()).unwrap().problems
}

#[test]
fn members_are_read_stored_and_deflated() {
    let mut writer = Writer::default();
    let long = vec![b'x'; 100_000];
    writer.add("stored", b"hello", false, &HONEST);
    writer.add("deflated", &long, true, &HONEST);
    let bytes = writer.finish();
    let archive = read(&bytes, &Limits::default()).unwrap();
    assert_eq!(archive.problems, []);
    for (name, content) in [("stored", b"hello".as_slice()), ("deflated", &long)] {
        let member = archive.member(name).unwrap();
        let opened = member.open(&bytes).unwrap();
        assert_eq!(opened.size(), content.len() as u64);
        let mut into = vec![0; content.len()];
        opened.read_at(0, &mut into).unwrap();
        assert_eq!(into, content);
        assert!(member.is_whole(&opened).unwrap());
    }
}

#[test]
fn what_readers_disagree_about_is_a_problem() {
    let name = || "a/data.pkl".to_owned();
    let mismatch = Problem::Mismatch {
        name: name(),
        what: "name",
    };
    assert_eq!(
        with(&Lie {
            local_name: Some("other"),
            ..HONEST
        }),
        [mismatch]
    );
    assert_eq!(with(&Lie { flags: 1, ..HONEST }), [Problem::Encrypted(name())]);
    assert_eq!(
        with(&Lie {
            attributes: 0o120_777 << 16,
            ..HONEST
        }),
        [Problem::Symlink(name())]
    );
    assert_eq!(
        with(&Lie {
            crc: Some(7),
            ..HONEST
        }),
        []
    );
    let mut writer = Writer::default();
    writer.add("same", b"1", false, &HONEST);
    writer.add("same", b"2", false, &HONEST);
    writer.add("../up", b"3", false, &HONEST);
    let mut bytes = writer.finish();
    let archive = read(&bytes, &Limits::default()).unwrap();
    assert_eq!(
        archive.problems,
        [
            Problem::Escape("../up".to_owned()),
            Problem::Duplicate("same".to_owned())
        ]
    );
    bytes.splice(0..0, *b"junk");
    let problems = read(&bytes, &Limits::default()).unwrap().problems;
    assert_eq!(problems[0], Problem::Prefix(4));
}

#[test]
fn a_wrong_crc_shows_when_the_member_is_read() {
    let mut writer = Writer::default();
    writer.add(
        "a",
        b"hello",
        true,
        &Lie {
            crc: Some(7),
            ..HONEST
        },
    );
    let bytes = writer.finish();
    let archive = read(&bytes, &Limits::default()).unwrap();
    let content = archive.members[0].open(&bytes).unwrap();
    assert!(!archive.members[0].is_whole(&content).unwrap());
}

#[test]
fn an_archive_cut_anywhere_is_an_error_or_has_its_problem() {
    let mut writer = Writer::default();
    writer.add("a", b"hello", true, &HONEST);
    writer.add("b", b"there", false, &HONEST);
    let bytes = writer.finish();
    for length in 0..bytes.len() {
        assert!(
            read(&bytes[..length].to_vec(), &Limits::default()).is_err(),
            "{length}"
        );
    }
    for start in 1..bytes.len() - 22 {
        if let Ok(archive) = read(&bytes[start..].to_vec(), &Limits::default()) {
            assert_ne!(archive.problems, [], "{start}");
        }
    }
}

#[test]
fn members_that_share_bytes_are_seen() {
    let mut writer = Writer::default();
    writer.add("a", b"hello", false, &HONEST);
    let entry = writer.directory.clone();
    writer.directory.extend_from_slice(&entry);
    writer.count = 2;
    let problems = read(&writer.finish(), &Limits::default()).unwrap().problems;
    assert_eq!(
        problems,
        [
            Problem::Duplicate("a".to_owned()),
            Problem::Overlap("a".to_owned())
        ]
    );
}
