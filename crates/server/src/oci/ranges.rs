//! Ranges: of what is read (RFC 9110, section 14), and of what is uploaded (distribution-spec, "Pushing a blob in
//! chunks").

use modelkeep_core::ByteRange;

/// What a `Range` field asks of content of a certain size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nothing that is understood here: other units, several ranges, no range at all. All of it is the answer.
    Whole,
    Part(ByteRange),
    /// No byte that there is; also a range that ends before it begins, which others ignore.
    Nothing,
}

/// Reads a `Range` field.
pub(super) fn wanted(field: &str, size: u64) -> Wanted {
    let Some((unit, range)) = field.split_once('=') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = range.split_once('-') else {
        return Wanted::Whole;
    };
    match (number(first), number(last)) {
        (Number::None, Number::Some(suffix)) => part(size.saturating_sub(suffix), size, size),
        (Number::Some(first), Number::None) => part(first, size, size),
        (Number::Some(first), Number::Some(last)) => part(first, last.saturating_add(1), size),
        _ => Wanted::Whole,
    }
}

fn part(offset: u64, end: u64, size: u64) -> Wanted {
    let end = end.min(size);
    if offset >= end {
        return Wanted::Nothing;
    }
    Wanted::Part(ByteRange {
        offset,
        length: end - offset,
    })
}

enum Number {
    None,
    Some(u64),
    Malformed,
}

/// A number of any length; what is beyond 64 bits is beyond everything.
fn number(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        Number::None
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Number::Some(text.parse().unwrap_or(u64::MAX))
    } else {
        Number::Malformed
    }
}

/// The place of a chunk, as its `Content-Range` says: `FIRST-LAST`. Some clients write it as HTTP has it, with a unit
/// in front and a size behind.
pub(super) fn chunk(field: &str) -> Option<ByteRange> {
    let field = field.trim();
    let field = field.strip_prefix("bytes ").unwrap_or(field);
    let field = field.split_once('/').map_or(field, |(range, _)| range);
    let (first, last) = field.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return None;
    }
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some(ByteRange {
        offset: first,
        length: last.checked_sub(first)?.checked_add(1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(offset: u64, length: u64) -> Wanted {
        Wanted::Part(ByteRange { offset, length })
    }

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        for (field, wanted_part) in [
            ("bytes=500-1499", bytes(500, 1000)),
            ("bytes=500-", bytes(500, 1548)),
            ("bytes=-500", bytes(1548, 500)),
            ("bytes=-5000", bytes(0, 2048)),
            ("bytes=2000-5000", bytes(2000, 48)),
            ("Bytes = 0 - 0", bytes(0, 1)),
            ("bytes=0-99999999999999999999999", bytes(0, 2048)),
            ("bytes=500-0", Wanted::Nothing),
            ("bytes=2048-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("pages=1-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(field, 2048), wanted_part, "{field}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Nothing);
    }

    #[test]
    fn chunks_say_where_they_lie() {
        let range = |offset, length| Some(ByteRange { offset, length });
        assert_eq!(chunk("0-511"), range(0, 512));
        assert_eq!(chunk("bytes 5-5/*"), range(5, 1));
        for wrong in [
            "",
            "5",
            "9-0",
            "a-b",
            "-1",
            "1-",
            "+1-2",
            "0-18446744073709551615",
            "0-18446744073709551616",
        ] {
            assert_eq!(chunk(wrong), None, "{wrong}");
        }
    }
}
