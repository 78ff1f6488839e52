//! How old a history may be that is believed.
//!
//! A registry that shows a history as it was once shows nothing that is wrong. Whoever does not want to be kept in the
//! past says how old the newest entry may be, and whoever publishes makes a checkpoint now and then.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use modelkeep_ledger::History;

use crate::error::{Exit, Failure};

/// How far ahead of ours the clock of a publisher may be.
const SLACK: SignedDuration = SignedDuration::from_mins(10);

/// The longest that the newest entry of a history may be ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxAge {
    count: u32,
    unit: char,
}

/// A history that may have been kept from going on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Stale {
    #[error("{place} has no history: nothing says how old it is, and max_age is {max_age}")]
    Nothing { place: String, max_age: MaxAge },
    #[error("the newest entry in the history of {place} is of {time}, and max_age is {max_age}")]
    Old {
        place: String,
        time: String,
        max_age: MaxAge,
    },
    #[error("the newest entry in the history of {place} says that it is of {time}, which is yet to come")]
    Future { place: String, time: String },
}

impl MaxAge {
    fn duration(self) -> SignedDuration {
        let seconds = match self.unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => 7 * 86_400,
        };
        SignedDuration::from_secs(i64::from(self.count) * seconds)
    }

    /// Whether `history`, which lies at `place`, is young enough.
    pub(crate) fn check(self, history: &History, place: &str, now: Timestamp) -> Result<(), Stale> {
        let (place, max_age) = (place.to_owned(), self);
        let Some(time) = history.time() else {
            return Err(Stale::Nothing { place, max_age });
        };
        let said = time.to_owned();
        match time.parse::<Timestamp>() {
            Ok(time) if now.duration_until(time) > SLACK => Err(Stale::Future { place, time: said }),
            Ok(time) if time.duration_until(now) <= self.duration() => Ok(()),
            // What is no time is not fresh.
            _ => Err(Stale::Old {
                place,
                time: said,
                max_age,
            }),
        }
    }
}

impl FromStr for MaxAge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no age: write a number and s, m, h, d or w, as 30d");
        let unit = text.chars().last().filter(|unit| "smhdw".contains(*unit));
        let unit = unit.ok_or_else(wrong)?;
        let digits = text.strip_suffix(unit).unwrap_or_default();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match digits.parse() {
            Ok(count) if is_number && count > 0 => Ok(Self { count, unit }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit)
    }
}

impl From<Stale> for Failure {
    fn from(error: Stale) -> Self {
        let hint = match &error {
            Stale::Future { .. } => {
                "whoever made it has a clock that is wrong; a checkpoint by the right one settles it"
            }
            _ => {
                "whoever has a key of the history makes a checkpoint; or allow more with MODELKEEP_MAX_AGE, and less is known"
            }
        };
        Self::new(Exit::Policy, error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn history(time: &str) -> History {
        let manifest = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
        let entry = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"1.0","digest":{{"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}}}],"predicateType":"https://modelkeep.dev/history/v1","predicate":{{"height":1,"time":"{time}","author":"a","op":"publish","manifest":{manifest}}}}}"#
        );
        History::verify(&[entry.into_bytes()]).unwrap()
    }

    #[test]
    fn ages_are_read_as_they_are_printed() {
        for (text, seconds) in [
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("12h", 43_200),
            ("5m", 300),
            ("1s", 1),
        ] {
            let age: MaxAge = text.parse().unwrap();
            assert_eq!(
                (age.to_string(), age.duration().as_secs()),
                (text.to_owned(), seconds)
            );
        }
        for text in [
            "",
            "d",
            "30",
            "-1d",
            "+1d",
            "1.5d",
            "0d",
            "30 d",
            "1y",
            "99999999999d",
            "1é",
        ] {
            assert!(text.parse::<MaxAge>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_frozen_history_is_refused_by_the_age_of_its_newest_entry() {
        let age: MaxAge = "30d".parse().unwrap();
        let check = |at: &str| age.check(&history(at), "a/b", time("2026-11-23T10:00:00Z"));
        assert_eq!(check("2026-11-22T10:00:00Z"), Ok(()));
        assert_eq!(check("2026-10-24T10:00:00Z"), Ok(()));
        assert!(matches!(check("2026-10-24T09:59:59Z"), Err(Stale::Old { .. })));
        assert!(matches!(check("yesterday"), Err(Stale::Old { .. })));
        let nothing = age.check(&History::default(), "a/b", time("2026-11-23T10:00:00Z"));
        assert!(matches!(nothing, Err(Stale::Nothing { .. })));
    }

    #[test]
    fn a_time_that_is_yet_to_come_does_not_count_as_fresh() {
        let age: MaxAge = "30d".parse().unwrap();
        let check = |at: &str| age.check(&history(at), "a/b", time("2026-11-23T10:00:00Z"));
        assert_eq!(check("2026-11-23T10:10:00Z"), Ok(()));
        assert!(matches!(check("2026-11-23T10:10:01Z"), Err(Stale::Future { .. })));
        assert!(matches!(check("9999-01-01T00:00:00Z"), Err(Stale::Future { .. })));
    }
}
