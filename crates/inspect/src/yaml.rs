//! YAML of foreign files, within limits: a document becomes the JSON value that it stands for.
//!
//! The parser gives events, one after the other, and never builds anything itself, so that what is deep, long, or made
//! of aliases of aliases ends here, before it takes memory.

use std::{cell::Cell, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::{Map, Number, Value};

use crate::{Error, Limits, Result};

/// Longest text that is parsed, in bytes.
pub(crate) const MOST_BYTES: u64 = 2 << 20;
/// Most characters that are read for the next event. The parser takes up to 180 bytes of memory for each.
const MOST_AT_ONCE: u64 = 256 << 10;
/// Most values that a document stands for, with those of aliases.
const MOST_VALUES: u64 = 100_000;

/// The first document of `text`; null when there is none.
pub(crate) fn parse(text: &str, format: &'static str, limits: &Limits) -> Result<Value> {
    document(text, format, limits).map_err(|error| match error {
        // The parser counts characters.
        Error::Malformed {
            format,
            offset,
            problem,
        } => {
            let at = usize::try_from(offset)
                .ok()
                .and_then(|n| text.char_indices().nth(n));
            Error::malformed(format, at.map_or(text.len(), |(at, _)| at) as u64, problem)
        }
        error => error,
    })
}

fn document(text: &str, format: &'static str, limits: &Limits) -> Result<Value> {
    Error::bound(format, "bytes of YAML", text.len() as u64, MOST_BYTES)?;
    let mut document = Document {
        format,
        depth: limits.depth,
        values: 0,
        open: Vec::new(),
        anchors: HashMap::new(),
    };
    // The parser keeps all of `[a, b, …]` until it ends, for it might be a key. So it is given no more than it may keep.
    let given = Cell::new(0);
    let chars = text.chars().take_while(|_| {
        given.set(given.get() + 1);
        given.get() <= MOST_AT_ONCE
    });
    let mut parser = Parser::new_from_iter(chars);
    loop {
        given.set(0);
        let event = parser.next_event();
        Error::bound(format, "characters in one value", given.get(), MOST_AT_ONCE)?;
        let (event, span) = match event {
            Some(Ok(event)) => event,
            Some(Err(error)) => return Err(scan_error(format, &error)),
            None => return Ok(Value::Null),
        };
        let at = span.start.index() as u64;
        let whole = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = if tag.is_some() || style != ScalarStyle::Plain {
                    Value::String(text.into_owned())
                } else {
                    plain(&text)
                };
                document.add(value, anchor, at)?
            }
            Event::Alias(anchor) => document.alias(anchor, at)?,
            Event::SequenceStart(anchor, _) => {
                document.begin(Open::List(Vec::new()), anchor, at)?;
                None
            }
            Event::MappingStart(anchor, _) => {
                document.begin(Open::Map(Map::new(), None), anchor, at)?;
                None
            }
            Event::SequenceEnd | Event::MappingEnd => document.end(at)?,
            _ => None,
        };
        if let Some(whole) = whole {
            return Ok(whole);
        }
    }
}

fn scan_error(format: &'static str, error: &ScanError) -> Error {
    Error::malformed(format, error.marker().index() as u64, error.info().to_owned())
}

/// A list or mapping whose end has not come.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

struct Document {
    format: &'static str,
    depth: usize,
    values: u64,
    open: Vec<(Open, usize)>,
    anchors: HashMap<usize, Value>,
}

impl Document {
    fn begin(&mut self, open: Open, anchor: usize, at: u64) -> Result<()> {
        if self.open.len() == self.depth {
            return Err(Error::malformed(self.format, at, "it is nested too deep"));
        }
        self.open.push((open, anchor));
        Ok(())
    }

    fn end(&mut self, at: u64) -> Result<Option<Value>> {
        let (open, anchor) = self.open.pop().expect("the parser ends what it began");
        let value = match open {
            Open::List(list) => Value::Array(list),
            Open::Map(map, _) => Value::Object(map),
        };
        self.add(value, anchor, at)
    }

    fn alias(&mut self, anchor: usize, at: u64) -> Result<Option<Value>> {
        let Some(value) = self.anchors.get(&anchor) else {
            return Err(Error::malformed(
                self.format,
                at,
                "an alias stands inside what it names",
            ));
        };
        // Counted before it is copied, and not again by `add`.
        self.values += count(value).saturating_sub(1);
        self.bound()?;
        if self.open.len() + height(value) > self.depth {
            return Err(Error::malformed(self.format, at, "it is nested too deep"));
        }
        let value = value.clone();
        self.add(value, 0, at)
    }

    /// Puts a value where it belongs; gives it back when it is the whole document.
    fn add(&mut self, value: Value, anchor: usize, at: u64) -> Result<Option<Value>> {
        self.values += 1;
        self.bound()?;
        if anchor > 0 {
            // A copy: what an anchor costs, it costs twice.
            self.values += count(&value);
            self.bound()?;
            self.anchors.insert(anchor, value.clone());
        }
        let format = self.format;
        match self.open.last_mut() {
            None => return Ok(Some(value)),
            Some((Open::List(list), _)) => list.push(value),
            Some((Open::Map(map, key), _)) => match key.take() {
                None => {
                    *key = Some(
                        name(value)
                            .ok_or_else(|| Error::malformed(format, at, "a key is a list or a mapping"))?,
                    )
                }
                Some(key) => {
                    if map.insert(key, value).is_some() {
                        return Err(Error::malformed(format, at, "a key is there twice"));
                    }
                }
            },
        }
        Ok(None)
    }

    fn bound(&self) -> Result<()> {
        Error::bound(self.format, "values", self.values, MOST_VALUES)
    }
}

fn count(value: &Value) -> u64 {
    match value {
        Value::Array(list) => 1 + list.iter().map(count).sum::<u64>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<u64>(),
        // A long text is as dear as many short ones.
        Value::String(text) => 1 + text.len() as u64 / 64,
        _ => 1,
    }
}

/// How deep a value goes. It is never deeper than the limit, or it would not be here.
fn height(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(height).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(height).max().unwrap_or(0),
        _ => 0,
    }
}

fn name(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => Some("null".to_owned()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a scalar without quotes is: the core schema of YAML 1.2, where `no` is a word.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
    {
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value> {
        parse(text, "YAML", &Limits::default())
    }

    #[test]
    fn a_document_is_the_value_that_it_stands_for() {
        let text = "a: 1\nb: [x, 'no', no, ~, true, -2.5, 1e3, 0x1f, 1.2.3]\nc: &c\n  d: |\n    one\n    two\ne: *c\n1: one\n";
        assert_eq!(
            read(text).unwrap(),
            json!({"a": 1, "b": ["x", "no", "no", null, true, -2.5, 1000.0, "0x1f", "1.2.3"],
                "c": {"d": "one\ntwo\n"}, "e": {"d": "one\ntwo\n"}, "1": "one"})
        );
        assert_eq!(read("").unwrap(), Value::Null);
        assert_eq!(read("plain").unwrap(), json!("plain"));
        assert_eq!(
            read("a: .inf\nb: 1e999").unwrap(),
            json!({"a": ".inf", "b": "1e999"})
        );
    }

    #[test]
    fn a_document_that_would_be_too_much_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..30 {
            let names = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{names}]\n"));
        }
        assert!(matches!(read(&bomb), Err(Error::TooMuch { .. })));
        let long = format!(
            "a: &a {}\nb: [{}]",
            "x".repeat(1 << 20),
            vec!["*a"; 1000].join(",")
        );
        assert!(matches!(read(&long), Err(Error::TooMuch { .. })));
        assert!(matches!(
            read(&"- x\n".repeat(200_000)),
            Err(Error::TooMuch { .. })
        ));
        assert!(matches!(read(&"x".repeat(3 << 20)), Err(Error::TooMuch { .. })));
        let mut chain = format!("a0: &a0 {}{}\n", "[".repeat(40), "]".repeat(40));
        chain.push_str(&format!("a1: &a1 {}*a0{}\n", "[".repeat(40), "]".repeat(40)));
        assert!(matches!(read(&chain), Err(Error::Malformed { .. })));
        for wide in ["[", "[\n", "{"] {
            let text = format!("{wide}{}", "a, \n".repeat(400_000));
            assert!(matches!(read(&text), Err(Error::TooMuch { .. })));
        }
        assert!(
            read(&format!(
                "a: [{}a]\nb: '{}'",
                "a, ".repeat(80_000),
                "x".repeat(200_000)
            ))
            .is_ok()
        );
        for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
            assert!(matches!(read(&deep), Err(Error::Malformed { .. })));
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_byte() {
        let found = read("é: {[a]: b}");
        assert!(
            matches!(found, Err(Error::Malformed { offset: 7, .. })),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "a: b: c",
            "a: 1\na: 2",
            "[1",
            "? [a]\n: b",
            "a: *nothing",
            "&a [*a]",
            "\t- a: %",
            "a: \"\\q\"",
        ] {
            assert!(
                matches!(read(text), Err(Error::Malformed { .. })),
                "{text}: {:?}",
                read(text)
            );
        }
    }
}
