//! The members of a layer: POSIX.1-2001 tar (ustar with pax extended headers), and nothing of GNU's own.
//!
//! Every field is fixed but name and size: owner 0 without a name, mode 0644 or 0755, time 0. What ustar cannot say
//! (names that are long or not ASCII, sizes of 8 GiB and more) stands in a pax header.

pub(crate) mod read;

use modelkeep_core::ALIGNMENT;

use crate::scan::FileMode;

/// Bytes of a tar block.
pub(crate) const BLOCK: u64 = 512;
/// The end of an archive: two blocks of zeros.
pub(crate) const END: [u8; 1024] = [0; 1024];
/// Files from this size on begin at a multiple of [`ALIGNMENT`] in their layer; for smaller ones the padding would
/// be more than a few percent.
pub(crate) const ALIGN_FROM: u64 = 64 << 10;
/// Number of the rules by which bytes become layers. It is part of every cache key, so that a change of the rules
/// never meets layers of the old ones.
pub(crate) const FORMAT: u32 = 1;

const LONGEST_NAME: usize = 100;
/// The first size that does not fit into the eleven octal digits of ustar.
const HUGE: u64 = 1 << 33;
const ALIGN: usize = ALIGNMENT;
const BLOCK_BYTES: usize = BLOCK as usize;

/// The header of a directory; `name` has no slash at its end.
pub(crate) fn directory(name: &str) -> Vec<u8> {
    let name = format!("{name}/");
    let mut head = Vec::new();
    if !fits(&name) {
        pax(&mut head, &record("path", &name));
    }
    head.extend_from_slice(&ustar(&name, Kind::Directory, 0));
    head
}

/// Everything before the bytes of a file whose header begins at `offset` in the layer, a multiple of [`BLOCK`].
///
/// Files of [`ALIGN_FROM`] bytes and more get a `comment` record that is as long as it takes to put their first byte
/// at a multiple of [`ALIGNMENT`].
pub(crate) fn file(name: &str, mode: FileMode, size: u64, offset: u64) -> Vec<u8> {
    let mut records = Vec::new();
    if !fits(name) {
        records.extend_from_slice(&record("path", name));
    }
    if size >= HUGE {
        records.extend_from_slice(&record("size", &size.to_string()));
    }
    if size >= ALIGN_FROM {
        pad(&mut records, offset);
    }
    let mut head = Vec::new();
    if !records.is_empty() {
        pax(&mut head, &records);
    }
    head.extend_from_slice(&ustar(name, Kind::File(mode), size));
    head
}

/// Zeros that fill the last block of a file of `size` bytes.
pub(crate) fn tail(size: u64) -> &'static [u8] {
    let past = size % BLOCK;
    let missing = if past == 0 { 0 } else { BLOCK - past };
    &END[..usize::try_from(missing).expect("less than a block")]
}

#[derive(Clone, Copy)]
enum Kind {
    File(FileMode),
    Directory,
    Pax,
}

fn fits(name: &str) -> bool {
    name.len() <= LONGEST_NAME && name.is_ascii()
}

/// Adds the `comment` record that fills `records` until the bytes of the file are aligned.
fn pad(records: &mut Vec<u8>, offset: u64) {
    let within = usize::try_from(offset % ALIGN as u64).expect("less than the alignment");
    if records.is_empty() && (within + BLOCK_BYTES).is_multiple_of(ALIGN) {
        return;
    }
    // The header of the pax member, its records, and the header of the file lie before the bytes.
    let fixed = within + 2 * BLOCK_BYTES;
    let shortest = COMMENT_SHORTEST + records.len();
    let mut room = (ALIGN - fixed % ALIGN) % ALIGN;
    while room < shortest {
        room += ALIGN;
    }
    let length = room - records.len();
    let start = format!("{length} comment=");
    records.extend_from_slice(start.as_bytes());
    records.resize(room - 1, b' ');
    records.push(b'\n');
}

/// The shortest `comment` record with two digits of length: `12 comment=` and the end of the line.
const COMMENT_SHORTEST: usize = 12;

/// A pax record: `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

fn pax(head: &mut Vec<u8>, records: &[u8]) {
    let size = records.len() as u64;
    head.extend_from_slice(&ustar("PaxHeader", Kind::Pax, size));
    head.extend_from_slice(records);
    head.extend_from_slice(tail(size));
}

fn ustar(name: &str, kind: Kind, size: u64) -> [u8; BLOCK_BYTES] {
    let mut header = [0; BLOCK_BYTES];
    let (mode, flag) = match kind {
        Kind::File(FileMode::Plain) => (0o644, b'0'),
        Kind::File(FileMode::Executable) => (0o755, b'0'),
        Kind::Directory => (0o755, b'5'),
        Kind::Pax => (0o644, b'x'),
    };
    put(&mut header, 0, &short_name(name));
    put(&mut header, 100, octal::<7>(mode).as_bytes());
    put(&mut header, 108, octal::<7>(0).as_bytes());
    put(&mut header, 116, octal::<7>(0).as_bytes());
    // A size that does not fit stands in the pax header, which wins.
    let small = if size < HUGE { size } else { 0 };
    put(&mut header, 124, octal::<11>(small).as_bytes());
    put(&mut header, 136, octal::<11>(0).as_bytes());
    header[156] = flag;
    put(&mut header, 257, b"ustar\x0000");
    put(&mut header, 329, octal::<7>(0).as_bytes());
    put(&mut header, 337, octal::<7>(0).as_bytes());
    // The checksum is taken with spaces in its own place.
    header[148..156].fill(b' ');
    let sum = header.iter().map(|&byte| u64::from(byte)).sum();
    put(&mut header, 148, octal::<6>(sum).as_bytes());
    header[154] = 0;
    header
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

fn octal<const DIGITS: usize>(number: u64) -> String {
    format!("{number:0DIGITS$o}")
}

/// What of `name` fits into ustar. Where that is not all, the pax header has the name, and this is for readers that
/// know no pax; it must not end with a slash, which some take for the mark of a directory.
fn short_name(name: &str) -> Vec<u8> {
    if fits(name) {
        return name.as_bytes().to_vec();
    }
    let plain = name.bytes().map(|byte| if byte.is_ascii() { byte } else { b'_' });
    let mut short: Vec<u8> = plain.take(LONGEST_NAME).collect();
    if let Some(last) = short.last_mut().filter(|last| **last == b'/') {
        *last = b'_';
    }
    short
}

#[cfg(test)]
mod tests;
