//! Lines for the log, in logfmt: `key=value`, values in quotes where they need them.

use std::fmt::{self, Display, Write};

use jiff::Timestamp;

/// Takes finished lines, without the line's end.
pub(crate) type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A line in the making.
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new(level: Level, message: &str) -> Self {
        let mut line = Self(String::with_capacity(256));
        let now = Timestamp::now();
        let _ = write!(line.0, "time={now:.3} level={}", level.as_str());
        line.add_text("msg", message)
    }

    /// Adds a value. Whatever could end the line or a value is escaped.
    pub(crate) fn add(mut self, key: &str, value: impl Display) -> Self {
        for part in [" ", key, "="] {
            self.0.push_str(part);
        }
        let start = self.0.len();
        let _ = write!(self.0, "{value}");
        self.quote_where_needed(start);
        self
    }

    /// Adds a text: what [`Line::add`] does, for less.
    pub(crate) fn add_text(mut self, key: &str, value: &str) -> Self {
        for part in [" ", key, "=", value] {
            self.0.push_str(part);
        }
        self.quote_where_needed(self.0.len() - value.len());
        self
    }

    fn quote_where_needed(&mut self, start: usize) {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' && byte != b'=';
        if self.0.len() == start || !self.0.bytes().skip(start).all(plain) {
            let value = self.0.split_off(start);
            let _ = write!(self.0, "{}", Quoted(&value));
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_line_or_pose_as_another_key() {
        let line = Line::new(Level::Info, "request")
            .add("target", "/v2/\nlevel=error")
            .add("who", "ada")
            .add("error", "a \"b\"")
            .add("none", "");
        let text = line.as_str();
        assert!(
            text.contains(r#" level=info msg=request target="/v2/\nlevel=error" who=ada"#),
            "{text}"
        );
        assert!(text.ends_with(r#" error="a \"b\"" none="""#), "{text}");
        assert!(!text.contains('\n'));
    }
}
