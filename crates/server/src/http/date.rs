//! The `Date` field, formatted once a second.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// A cached IMF-fixdate (RFC 9110 section 5.6.7).
#[derive(Debug, Default)]
pub(crate) struct DateCache {
    second: Option<i64>,
    text: String,
}

impl DateCache {
    /// The present second's date.
    pub(crate) fn now(&mut self) -> &str {
        let now = Timestamp::now();
        if self.second != Some(now.as_second()) {
            self.text = imf_fixdate(now);
            self.second = Some(now.as_second());
        }
        &self.text
    }
}

fn imf_fixdate(now: Timestamp) -> String {
    let printer = rfc2822::DateTimePrinter::new();
    let text = printer.timestamp_to_rfc9110_string(&now);
    text.expect("the clock is before the year 10000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        for (second, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            assert_eq!(imf_fixdate(Timestamp::from_second(second).unwrap()), text);
        }
    }
}
