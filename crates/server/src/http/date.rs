//! The `Date` field, formatted once a second.

use std::time::{SystemTime, UNIX_EPOCH};

/// A cached IMF-fixdate (RFC 9110 section 5.6.7).
#[derive(Debug, Default)]
pub(crate) struct DateCache {
    second: Option<u64>,
    text: String,
}

impl DateCache {
    /// The present second's date.
    pub(crate) fn now(&mut self) -> &str {
        let second = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if self.second != Some(second) {
            self.text = imf_fixdate(second);
            self.second = Some(second);
        }
        &self.text
    }
}

/// A moment of the proleptic Gregorian calendar, UTC.
struct Civil {
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
    /// Of the day: hour, minute, second.
    time: (u64, u64, u64),
    /// Days since Thursday 1970-01-01.
    days: u64,
}

impl Civil {
    /// `second` counts from 1970-01-01 00:00:00 UTC.
    fn of(second: u64) -> Self {
        let days = second / 86_400;
        let rest = second % 86_400;
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        // 400 years have 146,097 days: no count of seconds makes the loop below long.
        let (mut year, mut day) = (1970 + days / 146_097 * 400, days % 146_097);
        while day >= 365 + u64::from(leap(year)) {
            day -= 365 + u64::from(leap(year));
            year += 1;
        }
        let february = 28 + u64::from(leap(year));
        let mut month = 0;
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        while day >= lengths[month] {
            day -= lengths[month];
            month += 1;
        }
        let time = (rest / 3600, rest / 60 % 60, rest % 60);
        Self {
            year,
            month: month as u64 + 1,
            day: day + 1,
            time,
            days,
        }
    }
}

fn imf_fixdate(second: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let Civil {
        year,
        month,
        day,
        time: (hour, minute, second),
        days,
    } = Civil::of(second);
    let weekday = DAYS[(days % 7) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// As RFC 3339 writes it; `second` counts from 1970-01-01 00:00:00 UTC.
pub(crate) fn rfc3339(second: u64) -> String {
    let Civil {
        year,
        month,
        day,
        time: (hour, minute, second),
        ..
    } = Civil::of(second);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ];
        for (second, text) in cases {
            assert_eq!(imf_fixdate(second), text);
        }
    }

    #[test]
    fn dates_are_written_as_json_documents_want_them() {
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_735_689_599), "2024-12-31T23:59:59Z");
    }
}
