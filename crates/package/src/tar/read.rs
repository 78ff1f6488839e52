//! Reading foreign archives: which members there are, and where their bytes lie. Nothing is ever unpacked.

use std::io::{self, ErrorKind, Read};

use super::BLOCK;

/// Most bytes of the headers that say more about the next member.
const EXTENSION: u64 = 64 << 10;
/// Most members of an archive.
const MEMBERS: usize = 100_000;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name, as it is written but for `./` in front.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Where its bytes begin.
    pub(crate) offset: u64,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of so many bytes.
    File(u64),
    /// Another name for a member: beside itself if it is a symlink, from the root if it is not.
    Link { to: String, symbolic: bool },
    /// A directory.
    Directory,
    /// What a model cannot have, in words.
    Other(&'static str),
}

/// What members are read from.
pub(crate) trait Input: Read {
    /// Passes over bytes.
    fn pass(&mut self, bytes: u64) -> io::Result<()>;
}

/// Bytes that come one after the other.
pub(crate) struct Stream<R>(pub(crate) R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: Read> Input for Stream<R> {
    fn pass(&mut self, bytes: u64) -> io::Result<()> {
        match io::copy(&mut (&mut self.0).take(bytes), &mut io::sink())? {
            passed if passed < bytes => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Reads an archive from its beginning to its end.
pub(crate) struct Members<R> {
    input: R,
    most: usize,
    /// Where the input is.
    at: u64,
    /// What of this member has not been read, and what fills its last block.
    left: u64,
    fill: u64,
    count: usize,
}

impl<R: Input> Members<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            most: MEMBERS,
            at: 0,
            left: 0,
            fill: 0,
            count: 0,
        }
    }

    /// As [`Members::new`], where the caller keeps no more of the members than it can hold.
    pub(crate) fn unbounded(input: R) -> Self {
        Self {
            most: usize::MAX,
            ..Self::new(input)
        }
    }

    /// The next member; what of the one before was not read is passed over.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut said = Said::default();
        loop {
            self.pass()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            self.count += 1;
            if self.count > self.most {
                return Err(wrong("it has too many members"));
            }
            let flag = header[156];
            let size = match (flag, said.size) {
                (b'x' | b'g' | b'L' | b'K', _) | (_, None) => number(&header[124..136])?,
                (_, Some(size)) => size,
            };
            let holds_bytes = !matches!(flag, b'1'..=b'6');
            self.left = if holds_bytes { size } else { 0 };
            self.fill = (BLOCK - self.left % BLOCK) % BLOCK;
            match flag {
                b'x' => said.read(&self.extension()?)?,
                b'g' => {
                    let mut of_all = Said::default();
                    of_all.read(&self.extension()?)?;
                    // Readers do not agree on what the name of all members is.
                    if of_all != Said::default() {
                        return Err(wrong("a header gives all members one name or size"));
                    }
                }
                b'L' => said.path = Some(text(&self.extension()?)),
                b'K' => said.link = Some(text(&self.extension()?)),
                _ => {
                    let name = said.path.take().unwrap_or_else(|| name(&header));
                    let link = said.link.take().unwrap_or_else(|| text(&header[157..257]));
                    let kind = match flag {
                        _ if said.is_sparse => Kind::Other("a sparse file"),
                        0 | b'0' | b'7' if !name.ends_with('/') => Kind::File(size),
                        0 | b'0' | b'7' | b'5' => Kind::Directory,
                        b'1' | b'2' => Kind::Link {
                            to: link,
                            symbolic: flag == b'2',
                        },
                        b'3' | b'4' => Kind::Other("a device"),
                        b'6' => Kind::Other("a pipe"),
                        b'S' => Kind::Other("a sparse file"),
                        _ => Kind::Other("of a type that only some programs know"),
                    };
                    return Ok(Some(Member {
                        name: plain(&name),
                        kind,
                        offset: self.at,
                    }));
                }
            }
        }
    }

    fn pass(&mut self) -> io::Result<()> {
        let rest = self.left.checked_add(self.fill);
        let end = rest.and_then(|rest| self.at.checked_add(rest));
        self.at = end.ok_or_else(|| wrong("a member is larger than any file"))?;
        self.input.pass(self.left + self.fill)?;
        (self.left, self.fill) = (0, 0);
        Ok(())
    }

    /// The next header; `None` at the end of the archive.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK as usize]>> {
        let mut header = [0; BLOCK as usize];
        self.input.read_exact(&mut header)?;
        self.at += BLOCK;
        if header.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        // The checksum is taken with spaces in its own place.
        let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let found = sum(&header) - sum(&header[148..156]) + 8 * u64::from(b' ');
        if number(&header[148..156])? != found {
            return Err(wrong("it is no tar archive, or damaged"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self) -> io::Result<Vec<u8>> {
        if self.left > EXTENSION {
            return Err(wrong("the header of a member is too long"));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads the bytes of the member that [`Members::next`] gave.
impl<R: Input> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let came = self.input.read(&mut into[..most])?;
        if came == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= came as u64;
        self.at += came as u64;
        Ok(came)
    }
}

/// What a pax header, or one of GNU's, says about the next member.
#[derive(Default, PartialEq, Eq)]
struct Said {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    is_sparse: bool,
}

impl Said {
    /// Reads pax records: `LENGTH KEY=VALUE\n`.
    fn read(&mut self, mut records: &[u8]) -> io::Result<()> {
        let malformed = || wrong("the header of a member is malformed");
        while !records.is_empty() {
            let space = records
                .iter()
                .position(|&byte| byte == b' ')
                .ok_or_else(malformed)?;
            let length = std::str::from_utf8(&records[..space])
                .ok()
                .and_then(|digits| digits.parse::<usize>().ok())
                .filter(|&length| length > space + 1)
                .ok_or_else(malformed)?;
            let record = records.get(space + 1..length - 1).ok_or_else(malformed)?;
            let equals = record
                .iter()
                .position(|&byte| byte == b'=')
                .ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                // What comes after a zero, some readers take and some do not.
                b"path" | b"linkpath" if value.contains(&0) => return Err(malformed()),
                b"path" => self.path = Some(text(value)),
                b"linkpath" => self.link = Some(text(value)),
                b"size" => self.size = Some(text(value).parse().map_err(|_| malformed())?),
                _ if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
            records = records.get(length..).ok_or_else(malformed)?;
        }
        Ok(())
    }
}

/// Text up to the first zero.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn name(header: &[u8; BLOCK as usize]) -> String {
    let name = text(&header[..100]);
    match text(&header[345..500]) {
        prefix if header[257..263] == *b"ustar\0" && !prefix.is_empty() => format!("{prefix}/{name}"),
        _ => name,
    }
}

fn plain(name: &str) -> String {
    name.strip_prefix("./").unwrap_or(name).to_owned()
}

/// Octal digits, or GNU's binary form of what they cannot hold.
fn number(field: &[u8]) -> io::Result<u64> {
    let malformed = || wrong("a number in the header of a member is malformed");
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len() - 8);
        // That of eight bytes, the checksum, has no room for it.
        if high.first() != Some(&0x80) || high[1..].iter().any(|&byte| byte != 0) {
            return Err(malformed());
        }
        return Ok(low.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)));
    }
    let digits = text(field);
    let digits = digits.trim_matches(' ');
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| malformed())
}

fn wrong(reason: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

/// The name that the link `link` in an archive leads to; `None` when that lies outside of it.
pub(crate) fn target(link: &str, to: &str, symbolic: bool) -> Option<String> {
    let mut parts: Vec<&str> = match symbolic {
        true => link.split('/').collect(),
        false => vec![""],
    };
    parts.pop();
    if to.starts_with('/') {
        return None;
    }
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Input for &[u8] {
        fn pass(&mut self, bytes: u64) -> io::Result<()> {
            let rest = usize::try_from(bytes).ok().and_then(|bytes| self.get(bytes..));
            *self = rest.ok_or(ErrorKind::UnexpectedEof)?;
            Ok(())
        }
    }

    fn members(bytes: &[u8]) -> io::Result<Vec<(Member, Vec<u8>)>> {
        let mut members = Members::new(bytes);
        let mut found = Vec::new();
        while let Some(member) = members.next()? {
            let mut content = Vec::new();
            members.read_to_end(&mut content)?;
            found.push((member, content));
        }
        Ok(found)
    }

    fn archive() -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        let long = format!("{}/layer.tar", "d".repeat(180));
        for (name, content) in [("./a", &b"abc"[..]), (&long, b""), ("é/b", &[7; 600])] {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content).unwrap();
        }
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(::tar::EntryType::Symlink);
        header.set_size(0);
        builder
            .append_link(&mut header, "x/l", format!("../{long}"))
            .unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_others_write_is_read() {
        let bytes = archive();
        let found = members(&bytes).unwrap();
        let long = format!("{}/layer.tar", "d".repeat(180));
        let names: Vec<&str> = found.iter().map(|(member, _)| member.name.as_str()).collect();
        assert_eq!(names, ["a", &long, "é/b", "x/l"]);
        assert_eq!(found[2].1, [7; 600]);
        let at = found[2].0.offset as usize;
        assert_eq!(bytes[at..at + 600], [7; 600]);
        let Kind::Link { to, symbolic } = &found[3].0.kind else {
            panic!("{:?}", found[3].0);
        };
        assert_eq!(target("x/l", to, *symbolic), Some(long));
    }

    #[test]
    fn what_we_write_is_read() {
        let mut bytes = super::super::directory("models");
        let head = super::super::file(&"n".repeat(150), crate::scan::FileMode::Plain, 70_000, 512);
        bytes.extend(head);
        let at = bytes.len() as u64;
        bytes.extend([1; 70_000]);
        bytes.extend(super::super::tail(70_000));
        bytes.extend(super::super::END);
        let found = members(&bytes).unwrap();
        assert_eq!(found[0].0.kind, Kind::Directory);
        assert_eq!(found[1].0.name, "n".repeat(150));
        assert_eq!(found[1].0.offset, at);
        assert_eq!(found[1].1.len(), 70_000);
        let huge = super::super::file("huge", crate::scan::FileMode::Plain, 1 << 40, 0);
        let mut huge = Members::new(&huge[..]);
        assert_eq!(huge.next().unwrap().unwrap().kind, Kind::File(1 << 40));
    }

    #[test]
    fn broken_archives_are_refused() {
        let good = archive();
        for cut in [0, 1, 511, 512, 600, 1025, 2000] {
            assert!(members(&good[..cut]).is_err(), "{cut}");
        }
        let changed = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        assert!(members(&changed(0, b'z')).is_err());
        assert!(members(b"<html>".repeat(200).as_slice()).is_err());
        assert!(members(&changed(148, 0x80)).is_err());
        let mut header = ::tar::Header::new_gnu();
        header.set_size(u64::MAX);
        header.set_cksum();
        let mut endless = header.as_bytes().to_vec();
        endless.extend([0; 1024]);
        assert!(members(&endless).is_err());
        for records in ["", "x", "5 a\n", "99 path=x\n", "0 path=x\n", "9 path=x\n7 si"] {
            let mut said = Said::default();
            assert_eq!(
                said.read(records.as_bytes()).is_ok(),
                records.is_empty(),
                "{records}"
            );
        }
    }

    #[test]
    fn a_link_never_leads_out_of_the_archive() {
        assert_eq!(
            target("a/layer.tar", "../b/layer.tar", true).unwrap(),
            "b/layer.tar"
        );
        assert_eq!(
            target("a/layer.tar", "b/layer.tar", false).unwrap(),
            "b/layer.tar"
        );
        assert_eq!(target("a/layer.tar", "./c", true).unwrap(), "a/c");
        for (to, symbolic) in [("/etc/passwd", true), ("../../x", true), ("../x", false)] {
            assert_eq!(target("a/layer.tar", to, symbolic), None, "{to}");
        }
    }
}
