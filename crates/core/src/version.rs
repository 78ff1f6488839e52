use std::cmp::Ordering;

use crate::Tag;

/// A tag read as a semantic version: `1.2.3-rc.1`, with an optional `v`, and with the minor or patch number left
/// out (`1.0`), as people tag models. Build metadata cannot occur: tags have no `+`.
///
/// Ordered by precedence (SemVer 2.0.0, section 11); a missing number counts as 0.
#[derive(Clone, Debug)]
pub struct SemVer {
    prefix: &'static str,
    major: u64,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: Option<String>,
}

/// Which number the next version raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bump {
    /// `1.2.3` to `1.2.4`.
    Patch,
    /// `1.2.3` to `1.3.0`.
    Minor,
    /// `1.2.3` to `2.0.0`.
    Major,
}

impl SemVer {
    /// Reads `tag`, or `None` if it is no semantic version.
    #[must_use]
    pub fn parse(tag: &Tag) -> Option<Self> {
        let text = tag.as_str();
        let (prefix, rest) = match text.strip_prefix('v') {
            Some(rest) => ("v", rest),
            None => ("", text),
        };
        let (numbers, pre) = match rest.split_once('-') {
            Some((numbers, pre)) => (numbers, Some(pre)),
            None => (rest, None),
        };
        if pre.is_some_and(|pre| pre.split('.').any(str::is_empty)) {
            return None;
        }
        let mut parts = numbers.split('.').map(number);
        let version = Self {
            prefix,
            major: parts.next()??,
            minor: match parts.next() {
                Some(part) => Some(part?),
                None => None,
            },
            patch: match parts.next() {
                Some(part) => Some(part?),
                None => None,
            },
            pre: pre.map(str::to_owned),
        };
        parts.next().is_none().then_some(version)
    }

    /// The first version of a repository that has none: `0.1.0`, `1.0.0` for a major step.
    #[must_use]
    pub fn first(bump: Bump) -> Self {
        let (major, minor, patch) = match bump {
            Bump::Patch => (0, 0, 1),
            Bump::Minor => (0, 1, 0),
            Bump::Major => (1, 0, 0),
        };
        Self {
            prefix: "",
            major,
            minor: Some(minor),
            patch: Some(patch),
            pre: None,
        }
    }

    /// The version after this one, written with as many numbers as this one has, or one more if the step needs it.
    /// `None` when a number is as large as it can be.
    #[must_use]
    pub fn next(&self, bump: Bump) -> Option<Self> {
        let minor = self.minor.unwrap_or(0);
        let patch = self.patch.unwrap_or(0);
        // A pre-release is before its own release: 1.2.0-rc.1 is followed by 1.2.0, whatever smaller step is asked.
        let released = self.pre.is_some()
            && match bump {
                Bump::Patch => true,
                Bump::Minor => patch == 0,
                Bump::Major => patch == 0 && minor == 0,
            };
        let mut next = self.clone();
        next.pre = None;
        if released {
            return Some(next);
        }
        match bump {
            Bump::Patch => {
                next.minor = Some(minor);
                next.patch = Some(patch.checked_add(1)?);
            }
            Bump::Minor => {
                next.minor = Some(minor.checked_add(1)?);
                next.patch = self.patch.map(|_| 0);
            }
            Bump::Major => {
                next.major = self.major.checked_add(1)?;
                next.minor = self.minor.map(|_| 0);
                next.patch = self.patch.map(|_| 0);
            }
        }
        Some(next)
    }

    /// The version as a tag.
    #[must_use]
    pub fn to_tag(&self) -> Tag {
        let mut text = format!("{}{}", self.prefix, self.major);
        for part in [self.minor, self.patch].into_iter().flatten() {
            text.push_str(&format!(".{part}"));
        }
        if let Some(pre) = &self.pre {
            text.push('-');
            text.push_str(pre);
        }
        text.parse()
            .expect("numbers, dots and a parsed suffix make a tag")
    }

    /// The step that raises the last number that is written: patch for `1.2.3`, minor for `1.2`, major for `1`.
    #[must_use]
    pub fn last_number(&self) -> Bump {
        match (self.minor, self.patch) {
            (_, Some(_)) => Bump::Patch,
            (Some(_), None) => Bump::Minor,
            (None, None) => Bump::Major,
        }
    }

    fn numbers(&self) -> (u64, u64, u64) {
        (self.major, self.minor.unwrap_or(0), self.patch.unwrap_or(0))
    }
}

/// A decimal number without leading zeros.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

impl Ord for SemVer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers()
            .cmp(&other.numbers())
            .then_with(|| match (&self.pre, &other.pre) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                (Some(a), Some(b)) => compare_pre(a, b),
            })
    }
}

fn compare_pre(a: &str, b: &str) -> Ordering {
    let mut a = a.split('.');
    let mut b = b.split('.');
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl PartialOrd for SemVer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SemVer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SemVer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> SemVer {
        SemVer::parse(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn precedence_is_that_of_the_specification() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0",
            "v1.1",
            "1.1.1",
            "1.10",
            "2",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.0"), version("v1.0.0"));
    }

    #[test]
    fn the_next_version_is_written_like_the_last() {
        for (last, bump, next) in [
            ("1.0", Bump::Minor, "1.1"),
            ("1.9", Bump::Minor, "1.10"),
            ("1.0", Bump::Patch, "1.0.1"),
            ("v1", Bump::Major, "v2"),
            ("1.2.3", Bump::Major, "2.0.0"),
            ("1.2.0-rc.1", Bump::Patch, "1.2.0"),
            ("1.2.0-rc.1", Bump::Minor, "1.2.0"),
            ("1.2.0-rc.1", Bump::Major, "2.0.0"),
        ] {
            assert_eq!(version(last).next(bump).unwrap().to_tag().as_str(), next);
        }
        assert_eq!(SemVer::first(Bump::Minor).to_tag().as_str(), "0.1.0");
    }

    #[test]
    fn other_tags_are_no_semantic_versions() {
        for tag in [
            "latest",
            "1.0.0.0",
            "01.0",
            "1.x",
            "v",
            "1.0-",
            "1.0-a..b",
            "99999999999999999999",
        ] {
            assert!(SemVer::parse(&tag.parse().unwrap()).is_none(), "{tag}");
        }
    }
}
