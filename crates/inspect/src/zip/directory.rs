//! The central directory, at the end of the archive.

use super::{FORMAT, IN_EXTRA, Member};
use crate::{Bytes, Error, Reader, Result};

const ENTRY: u32 = 0x0201_4b50;
const END: [u8; 4] = [b'P', b'K', 5, 6];
const END_LENGTH: u64 = 22;
const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_LENGTH: u64 = 20;
const WIDE_END: u32 = 0x0606_4b50;
const WIDE_END_LENGTH: u64 = 56;
const WIDE_EXTRA: u16 = 1;
const SYMLINK: u32 = 0o120_000;

/// Where the directory is.
pub(super) struct Directory {
    pub(super) start: u64,
    pub(super) entries: u64,
    /// Bytes before what offsets count from.
    pub(super) prefix: u64,
}

/// Finds the directory by the record at the end.
pub(super) fn find(bytes: &dyn Bytes) -> Result<Directory> {
    let size = bytes.size();
    let mut reader = Reader::new(bytes, FORMAT);
    let tail_length = size.min(END_LENGTH + u64::from(u16::MAX));
    reader.seek(size - tail_length);
    let tail = reader.take(tail_length)?;
    let last = tail.len().checked_sub(END_LENGTH as usize);
    let at = last.and_then(|last| {
        (0..=last).rev().find(|&at| {
            let comment = u16::from_le_bytes([tail[at + 20], tail[at + 21]]);
            tail[at..].starts_with(&END) && at + END_LENGTH as usize + usize::from(comment) <= tail.len()
        })
    });
    let Some(at) = at else {
        return Err(Error::malformed(FORMAT, size, "there is no directory at the end"));
    };
    let end = size - tail_length + at as u64;
    let field = |from: usize| u16::from_le_bytes([tail[at + from], tail[at + from + 1]]);
    let wide_field = |from: usize| u64::from(field(from)) | u64::from(field(from + 2)) << 16;
    let mut entries = u64::from(field(10));
    let mut length = wide_field(12);
    let mut offset = wide_field(16);
    let mut records = end;
    if let Some(wide) = find_wide(&mut reader, end)? {
        (entries, length, offset) = (wide.entries, wide.length, wide.offset);
        records = wide.at;
    }
    let wrong = |problem| Error::malformed(FORMAT, end, problem);
    let start = records
        .checked_sub(length)
        .ok_or_else(|| wrong("the directory would be longer than the file"))?;
    let prefix = start
        .checked_sub(offset)
        .ok_or_else(|| wrong("the directory does not lie where its end says"))?;
    Ok(Directory {
        start,
        entries,
        prefix,
    })
}

struct Wide {
    at: u64,
    entries: u64,
    length: u64,
    offset: u64,
}

/// The record with fields of 64 bits, if there is one before the end.
fn find_wide(reader: &mut Reader<'_>, end: u64) -> Result<Option<Wide>> {
    let Some(locator) = end.checked_sub(LOCATOR_LENGTH) else {
        return Ok(None);
    };
    reader.seek(locator);
    if u32::from_le_bytes(reader.array()?) != LOCATOR {
        return Ok(None);
    }
    // It lies just before; where the locator says is not asked, because a prefix makes that wrong.
    let Some(at) = locator.checked_sub(WIDE_END_LENGTH) else {
        return Err(reader.malformed("the record of 64 bits is missing"));
    };
    reader.seek(at);
    if u32::from_le_bytes(reader.array()?) != WIDE_END {
        return Err(reader.malformed("the record of 64 bits is missing"));
    }
    reader.skip(28)?;
    let entries = u64::from_le_bytes(reader.array()?);
    let length = u64::from_le_bytes(reader.array()?);
    let offset = u64::from_le_bytes(reader.array()?);
    Ok(Some(Wide {
        at,
        entries,
        length,
        offset,
    }))
}

/// The next entry of the directory.
pub(super) fn entry(reader: &mut Reader<'_>, prefix: u64) -> Result<Member> {
    if u32::from_le_bytes(reader.array()?) != ENTRY {
        return Err(reader.malformed("an entry of the directory is missing"));
    }
    let fixed: [u8; 42] = reader.array()?;
    let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
    let (name_length, extra_length, comment_length) = (u16_at(24), u16_at(26), u16_at(28));
    let name = reader.take(name_length.into())?;
    let extra_end = reader.position() + u64::from(extra_length);
    let (mut packed, mut size, mut header) = (u32_at(16).into(), u32_at(20).into(), u32_at(38).into());
    let mut rest = wide(reader, extra_end)?;
    for field in [&mut size, &mut packed, &mut header] {
        if *field == IN_EXTRA {
            *field = rest.next().unwrap_or(IN_EXTRA);
        }
    }
    reader.seek(extra_end);
    reader.skip(comment_length.into())?;
    let header = prefix
        .checked_add(header)
        .ok_or_else(|| reader.malformed("a member lies beyond 64 bits"))?;
    Ok(Member {
        name: String::from_utf8_lossy(&name).into_owned(),
        method: u16_at(6),
        crc: u32_at(12),
        packed,
        size,
        header,
        data: None,
        is_symlink: (u32_at(34) >> 16) & 0o170_000 == SYMLINK,
        flags: u16_at(4),
    })
}

/// The numbers of 64 bits of the extra field that ends at `end`; none if it has none.
pub(super) fn wide(reader: &mut Reader<'_>, end: u64) -> Result<std::vec::IntoIter<u64>> {
    let mut numbers = Vec::new();
    while reader.position() + 4 <= end {
        let kind = u16::from_le_bytes(reader.array()?);
        let length = u64::from(u16::from_le_bytes(reader.array()?));
        if kind == WIDE_EXTRA && reader.position() + length <= end {
            for _ in 0..length / 8 {
                numbers.push(u64::from_le_bytes(reader.array()?));
            }
            break;
        }
        reader.skip(length.min(end - reader.position()))?;
    }
    Ok(numbers.into_iter())
}
