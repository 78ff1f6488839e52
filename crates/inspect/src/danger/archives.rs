//! Archives, and what is compressed.

use super::{Kind, Scanner, Severity};
use crate::{
    Bytes, Error, Part, Result,
    inflate::{Coding, Inflated},
    zip,
};

/// What is packed in a way that is not ZIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// Looked into.
    Stream(Coding),
    /// Not looked into.
    Opaque(&'static str),
}

impl Packed {
    /// What a file is by its first bytes.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        Some(match head {
            [0x1f, 0x8b, ..] => Self::Stream(Coding::Gzip),
            // RFC 1950: method 8, window up to 32 KiB, no dictionary, and a check that is right one time in 31.
            &[
                method @ (0x08 | 0x18 | 0x28 | 0x38 | 0x48 | 0x58 | 0x68 | 0x78),
                flags,
                ..,
            ] if flags & 0x20 == 0 && (u16::from(method) << 8 | u16::from(flags)).is_multiple_of(31) => {
                Self::Stream(Coding::Zlib)
            }
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Self::Opaque("7z archive"),
            [b'R', b'a', b'r', b'!', 0x1a, 0x07, ..] => Self::Opaque("RAR archive"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Opaque("xz stream"),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Self::Opaque("bzip2 stream"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Opaque("LZ4 stream"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Opaque("Zstandard stream"),
            [b'L', b'Z', b'I', b'P', ..] => Self::Opaque("lzip stream"),
            // LZMA alone: properties, a dictionary of a power of two, and a size.
            [0x5d, 0, 0, _, _, ..] if head.len() >= 13 => Self::Opaque("LZMA stream"),
            head if head.get(257..262) == Some(b"ustar") => Self::Opaque("tar archive"),
            _ => return None,
        })
    }
}

impl Scanner<'_> {
    pub(super) fn archive(&mut self, name: &str, bytes: &dyn Bytes) -> Result<()> {
        let archive = match zip::read(bytes, self.limits) {
            Ok(archive) => archive,
            Err(error @ Error::Read { .. }) => return Err(error),
            Err(error) => {
                self.dangerous("malformed", error.to_string());
                return Ok(());
            }
        };
        if !self.place.is_empty() {
            self.report(
                Severity::Info,
                "archive",
                format!("{name:?} is an archive in an archive"),
            );
        }
        for problem in &archive.problems {
            let technique = match problem {
                zip::Problem::Bomb { .. } => "archive-bomb",
                zip::Problem::Escape(_) | zip::Problem::Symlink(_) => "leads-out",
                _ => "archive-tricks",
            };
            self.dangerous(technique, problem.to_string());
        }
        let is_script = archive.members.iter().any(|member| {
            let inner = member.name.split_once('/').map_or("", |(_, inner)| inner);
            inner.starts_with("code/") && member.name.ends_with(".py")
        });
        if is_script {
            self.suspicious(
                "code",
                "a program of TorchScript: loading it makes code that a call runs",
            );
        }
        // The same bytes could be shown again and again.
        let is_overlapping = |problem: &zip::Problem| matches!(problem, zip::Problem::Overlap(_));
        if archive.problems.iter().any(is_overlapping) {
            return Ok(());
        }
        for member in &archive.members {
            if member.is_directory() {
                continue;
            }
            if member.method != 0 && !self.may_expand(member.size) {
                return Ok(());
            }
            let Some(content) = member.open(bytes) else {
                continue;
            };
            self.member(member, &content, is_script)?;
        }
        Ok(())
    }

    fn member(&mut self, member: &zip::Member, content: &zip::Content<'_>, is_script: bool) -> Result<()> {
        let before = self.findings.len();
        // One finding for all of a script's sources is enough.
        if is_script && Kind::of(&member.name) == Kind::Code {
            return Ok(());
        }
        self.look_inside(&member.name, &member.name, content)?;
        // A wrong CRC makes some readers refuse what others load. Weights are not read for it.
        let has_findings = self.findings.len() > before;
        let is_pickle = Kind::of(&member.name) == Kind::Pickle;
        if (has_findings || is_pickle)
            && content.size() <= 64 << 20
            && !member.is_whole(content).unwrap_or(true)
        {
            self.dangerous(
                "archive-tricks",
                format!("{:?} has another CRC than its header says", member.name),
            );
        }
        Ok(())
    }

    pub(super) fn packed(&mut self, name: &str, kind: Kind, packed: Packed, bytes: &dyn Bytes) -> Result<()> {
        let coding = match packed {
            Packed::Stream(coding) => coding,
            Packed::Opaque(what) => {
                let detail = format!("a {what}, which is not looked into");
                if kind == Kind::Pickle || !self.place.is_empty() {
                    self.dangerous("opaque-archive", detail);
                } else {
                    self.suspicious("opaque-archive", detail);
                }
                return Ok(());
            }
        };
        let Some(part) = Part::of(bytes, 0, bytes.size()) else {
            return Ok(());
        };
        match Inflated::measured(part, coding) {
            Ok(Some(inflated)) if self.may_expand(inflated.size()) => {
                self.look_inside("decompressed", name, &inflated)
            }
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                self.dangerous("archive-bomb", "it would expand more than 200 times");
                Ok(())
            }
            // Two bytes that look compressed: another format then, or the raw numbers of something.
            Err(_) if coding == Coding::Zlib && kind != Kind::Pickle => self.pickles(false, bytes),
            Err(error) => {
                self.dangerous("damaged", format!("it cannot be decompressed: {error}"));
                // It may be a pickle all the same.
                self.pickles(false, bytes)
            }
        }
    }
}
