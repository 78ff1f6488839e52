//! ZIP archives: what checkpoints of torch, `.keras` and `.npz` files are.
//!
//! The central directory is what counts; each local header is compared with it, because readers that trust one of them
//! can be shown something else than readers that trust the other (APPNOTE.TXT 6.3.10, 4.3).

mod directory;

use std::io::{self, Read};

use crate::{
    Bytes, Error, Limits, Part, Reader, Result,
    inflate::{Coding, Inflated, Run},
};

pub(crate) const FORMAT: &str = "ZIP archive";
const LOCAL: u32 = 0x0403_4b50;
const ENCRYPTED: u16 = 1;
const SIZES_FOLLOW: u16 = 1 << 3;
/// In the sizes of a header: they are in the extra field.
const IN_EXTRA: u64 = u32::MAX as u64;

/// What an archive holds.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// The members, in the order of the central directory.
    pub members: Vec<Member>,
    /// What no well-meant archive has.
    pub problems: Vec<Problem>,
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// 0: stored as it is. 8: DEFLATE.
    pub method: u16,
    /// CRC-32 of its bytes.
    pub crc: u32,
    /// Its length in the archive.
    pub packed: u64,
    /// Its length.
    pub size: u64,
    /// Where its local header is.
    pub header: u64,
    /// Where its bytes are; `None` when that cannot be told.
    pub data: Option<u64>,
    /// Whether it is a symlink on Unix.
    pub is_symlink: bool,
    flags: u16,
}

/// What is wrong with an archive, though it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Readers disagree about which of them counts.
    #[error("two members are called {0:?}")]
    Duplicate(String),
    /// Central directory and local header disagree.
    #[error("{name:?} has another {what} in its own header than in the directory")]
    Mismatch {
        /// The member.
        name: String,
        /// What differs.
        what: &'static str,
    },
    /// Two members share bytes.
    #[error("{0:?} lies over another member")]
    Overlap(String),
    /// The flag that makes some readers refuse, and that others do not look at.
    #[error("{0:?} is marked as encrypted")]
    Encrypted(String),
    /// A method that is not read.
    #[error("{name:?} is compressed by method {method}, which is not read")]
    Method {
        /// The member.
        name: String,
        /// The number of the method.
        method: u16,
    },
    /// Bytes that belong to no archive.
    #[error("{0} bytes come before the archive")]
    Prefix(u64),
    /// A name that leads out of a directory.
    #[error("the name {0:?} leads out of the directory")]
    Escape(String),
    /// A member that points elsewhere.
    #[error("{0:?} is a symlink")]
    Symlink(String),
    /// Little that becomes much.
    #[error("{name:?} would expand from {packed} to {size} bytes")]
    Bomb {
        /// The member.
        name: String,
        /// Bytes in the archive.
        packed: u64,
        /// Bytes out of it.
        size: u64,
    },
}

/// Reads the directory of an archive, and the headers of its members.
///
/// # Errors
/// [`Error`]: no directory at the end, one that is cut off, or too many members.
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Archive> {
    let directory = directory::find(bytes)?;
    let mut archive = Archive::default();
    if directory.prefix > 0 {
        archive.problems.push(Problem::Prefix(directory.prefix));
    }
    Error::bound(FORMAT, "members", directory.entries, limits.entries.min(100_000))?;
    let mut reader = Reader::new(bytes, FORMAT);
    reader.seek(directory.start);
    let mut names_bytes = 0;
    for _ in 0..directory.entries {
        let member = directory::entry(&mut reader, directory.prefix)?;
        names_bytes += member.name.len() as u64;
        Error::bound(FORMAT, "bytes of names", names_bytes, limits.header_bytes)?;
        archive.members.push(member);
    }
    for at in 0..archive.members.len() {
        check_header(bytes, &mut archive, at)?;
    }
    archive.find_duplicates();
    archive.find_overlaps();
    Ok(archive)
}

/// Whether a file is an archive, by its beginning or its end.
///
/// # Errors
/// When it cannot be read.
pub fn is_archive(bytes: &dyn Bytes) -> Result<bool> {
    match directory::find(bytes) {
        Ok(_) => Ok(true),
        Err(error @ Error::Read { .. }) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Compares a member with its local header, and finds its data.
fn check_header(bytes: &dyn Bytes, archive: &mut Archive, at: usize) -> Result<()> {
    let Archive { members, problems } = archive;
    let member = &mut members[at];
    let name = || member.name.clone();
    let mut mismatch = |what| problems.push(Problem::Mismatch { name: name(), what });
    let mut reader = Reader::new(bytes, FORMAT);
    reader.seek(member.header);
    let Some(mut local) = header_at(&mut reader)? else {
        mismatch("place");
        return Ok(());
    };
    local.extra(&mut reader)?;
    if local.name != member.name {
        mismatch("name");
    }
    if local.method != member.method {
        mismatch("method");
    }
    if (local.flags ^ member.flags) & ENCRYPTED != 0 {
        mismatch("flag");
    }
    let sizes_follow = local.flags & SIZES_FOLLOW != 0;
    let differs = |here: u64, there: u64| here != there && !(sizes_follow && here == 0);
    if differs(local.packed, member.packed) || differs(local.size, member.size) {
        mismatch("size");
    }
    if differs(local.crc.into(), member.crc.into()) {
        mismatch("CRC");
    }
    let data = reader.position();
    let lies_inside = data
        .checked_add(member.packed)
        .is_some_and(|end| end <= bytes.size());
    member.data = Some(data).filter(|_| lies_inside);
    if !lies_inside {
        mismatch("length");
    }
    if (local.flags | member.flags) & ENCRYPTED != 0 {
        problems.push(Problem::Encrypted(name()));
    }
    if !matches!(member.method, 0 | 8) {
        problems.push(Problem::Method {
            name: name(),
            method: member.method,
        });
    }
    if member.method == 0 && member.packed != member.size {
        problems.push(Problem::Mismatch {
            name: name(),
            what: "size",
        });
    }
    if crate::inflate::is_bomb(member.packed, member.size) {
        problems.push(Problem::Bomb {
            name: name(),
            packed: member.packed,
            size: member.size,
        });
    }
    if escapes(&member.name) {
        problems.push(Problem::Escape(name()));
    }
    if member.is_symlink {
        problems.push(Problem::Symlink(name()));
    }
    Ok(())
}

struct Header {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    name: String,
    extra_length: u64,
}

/// The local header at the reader's place; `None` when there is none.
fn header_at(reader: &mut Reader<'_>) -> Result<Option<Header>> {
    if reader.left() < 30 || u32::from_le_bytes(reader.array()?) != LOCAL {
        return Ok(None);
    }
    let fixed: [u8; 26] = reader.array()?;
    let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
    let name_length = u16_at(22).into();
    let extra_length = u16_at(24).into();
    if reader.left() < name_length + extra_length {
        return Ok(None);
    }
    Ok(Some(Header {
        flags: u16_at(2),
        method: u16_at(4),
        crc: u32_at(10),
        packed: u32_at(14).into(),
        size: u32_at(18).into(),
        name: String::from_utf8_lossy(&reader.take(name_length)?).into_owned(),
        extra_length,
    }))
}

impl Header {
    /// Takes sizes of 64 bits from the extra field, and goes behind it.
    fn extra(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        let end = reader.position() + self.extra_length;
        let mut rest = directory::wide(reader, end)?;
        for size in [&mut self.size, &mut self.packed] {
            if *size == IN_EXTRA {
                *size = rest.next().unwrap_or(IN_EXTRA);
            }
        }
        reader.seek(end);
        Ok(())
    }
}

/// Whether a name is absolute, or goes up.
fn escapes(name: &str) -> bool {
    let first = name.as_bytes();
    let has_drive = first.len() >= 2 && first[0].is_ascii_alphabetic() && first[1] == b':';
    has_drive || name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..")
}

impl Archive {
    fn find_duplicates(&mut self) {
        let mut names: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        let mut twice: Vec<&str> = names
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
            .collect();
        twice.dedup();
        self.problems
            .extend(twice.into_iter().map(|name| Problem::Duplicate(name.to_owned())));
    }

    fn find_overlaps(&mut self) {
        let mut places: Vec<(u64, u64, &str)> = self
            .members
            .iter()
            .filter_map(|member| Some((member.header, member.data? + member.packed, member.name.as_str())))
            .collect();
        places.sort_unstable();
        let mut reached = 0;
        for (start, end, name) in places {
            if start < reached {
                self.problems.push(Problem::Overlap(name.to_owned()));
            }
            reached = reached.max(end);
        }
    }

    /// The member of that name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// The bytes of a member.
pub enum Content<'a> {
    /// As they lie in the archive.
    Stored(Part<'a>),
    /// Compressed.
    Inflated(Inflated<'a>),
}

impl Bytes for Content<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Stored(part) => part.size(),
            Self::Inflated(inflated) => inflated.size(),
        }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Stored(part) => part.read_at(offset, into),
            Self::Inflated(inflated) => inflated.read_at(offset, into),
        }
    }
}

impl Member {
    /// Its bytes. `None` when they do not lie in the archive, are compressed by a method that is not read, or are a bomb.
    #[must_use]
    pub fn open<'a>(&self, archive: &'a dyn Bytes) -> Option<Content<'a>> {
        let part = Part::of(archive, self.data?, self.packed)?;
        match self.method {
            0 => Some(Content::Stored(part)),
            8 if !crate::inflate::is_bomb(self.packed, self.size) => {
                Some(Content::Inflated(Inflated::new(part, Coding::Deflate, self.size)))
            }
            _ => None,
        }
    }

    /// Whether its bytes are those of its CRC.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn is_whole(&self, content: &Content<'_>) -> io::Result<bool> {
        struct Shared<'c, 'a>(&'c Content<'a>);
        impl Bytes for Shared<'_, '_> {
            fn size(&self) -> u64 {
                self.0.size()
            }
            fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
                self.0.read_at(offset, into)
            }
        }
        let mut run = Run::new(Shared(content));
        let mut crc = flate2::Crc::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match run.read(&mut buffer)? {
                0 => return Ok(crc.sum() == self.crc),
                came => crc.update(&buffer[..came]),
            }
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.name.ends_with('/')
    }
}

#[cfg(test)]
mod tests;
