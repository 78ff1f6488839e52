//! What other files say: config, card, tokenizer, figures.

pub(crate) mod card;
pub(crate) mod config;
pub(crate) mod figures;
pub(crate) mod mlmodel;
pub(crate) mod tokenizer;

use serde_json::{Map, Value};

/// Characters of a short text that is kept.
const LONGEST: usize = 200;

/// A text under a key, if it is a short one without control characters.
pub(crate) fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).and_then(kept)
}

pub(crate) fn kept(text: &str) -> Option<String> {
    let text = text.trim();
    let right = !text.is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    right.then(|| text.to_owned())
}

/// The texts under a key that holds one or a list of them.
pub(crate) fn texts(object: &Map<String, Value>, key: &str) -> Vec<String> {
    match object.get(key) {
        Some(Value::String(text)) => kept(text).into_iter().collect(),
        Some(Value::Array(list)) => {
            let texts = list.iter().filter_map(Value::as_str).filter_map(kept);
            texts.take(100).collect()
        }
        _ => Vec::new(),
    }
}

/// The scalars of a value, by the names on the way to them with dots in between.
pub(crate) fn flatten(value: &Value, most: usize) -> Vec<(String, Value)> {
    fn walk(name: &str, value: &Value, most: usize, flat: &mut Vec<(String, Value)>) {
        let join = |key: &str| {
            if name.is_empty() {
                key.to_owned()
            } else {
                format!("{name}.{key}")
            }
        };
        if flat.len() >= most {
            return;
        }
        match value {
            Value::Object(map) if !map.is_empty() => {
                map.iter()
                    .for_each(|(key, value)| walk(&join(key), value, most, flat));
            }
            Value::Array(list) if !list.is_empty() => {
                let numbered = list.iter().enumerate();
                numbered.for_each(|(n, value)| walk(&join(&n.to_string()), value, most, flat));
            }
            scalar => flat.push((name.to_owned(), scalar.clone())),
        }
    }
    let mut flat = Vec::new();
    walk("", value, most, &mut flat);
    flat
}
