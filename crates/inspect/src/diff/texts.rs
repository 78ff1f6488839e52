use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{FileChanges, Subject, keys};
use crate::{
    Bytes, Error, Limits, Result, SurveyError, Vocabulary, is_vocabulary, json,
    text::{card, figures::Figures, flatten},
    yaml,
};

/// Largest text whose keys are compared, in bytes.
const MOST_BYTES: u64 = 2 << 20;
/// Most keys of a file, and most tokens, that are listed.
const MOST: usize = 10_000;

/// Keys with other values, by file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TextChanges {
    /// Keys of configs, by the path of the file.
    pub config: BTreeMap<String, Vec<KeyChange>>,
    /// Keys of the front matter of the model card.
    pub card: Vec<KeyChange>,
}

/// A key with another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyChange {
    /// The names on the way to it, with dots in between.
    pub key: String,
    /// Its value in the first model.
    pub from: Option<String>,
    /// Its value in the second.
    pub to: Option<String>,
}

/// What became of the vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenChanges {
    /// How many tokens only the second model has.
    pub added: u64,
    /// How many tokens only the first model has.
    pub removed: u64,
    /// How many tokens have another number.
    pub renumbered: u64,
    /// The tokens, in byte order; of many, the first.
    pub list: Vec<TokenChange>,
}

/// A token with another number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenChange {
    /// The token.
    pub token: String,
    /// Its number in the first model.
    pub from: Option<u64>,
    /// Its number in the second.
    pub to: Option<u64>,
}

impl TokenChanges {
    /// Whether the vocabularies are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Compares the texts that are not the same in both.
pub(super) fn compare(
    from: &Subject<'_>,
    to: &Subject<'_>,
    files: &FileChanges,
    limits: &Limits,
) -> std::result::Result<(TextChanges, TokenChanges), SurveyError> {
    let mut changes = TextChanges::default();
    let mut tokens = TokenChanges::default();
    let mut is_told = false;
    for file in &files.modified {
        let path = file.path.as_str();
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_small = file.from.max(file.to) <= MOST_BYTES;
        if is_vocabulary(path) {
            let read = |bytes: &dyn Bytes| Vocabulary::read(path, bytes);
            // The same vocabulary may lie in several files; one of them tells.
            if let (Some(old), Some(new), false) =
                (read_file(from, path, read)?, read_file(to, path, read)?, is_told)
            {
                tokens = vocabularies(old, new);
                is_told = !tokens.is_empty();
            }
        } else if name == card::PATH {
            let read = |bytes: &dyn Bytes| {
                let mut card = card::front_matter(bytes, limits)?.unwrap_or_default();
                // Its figures are told as such.
                card.remove("model-index");
                Ok(flat(&Value::Object(card)))
            };
            if let (Some(old), Some(new)) = (read_file(from, path, read)?, read_file(to, path, read)?) {
                changes.card.extend(keys(&old, &new));
            }
        } else if is_small && is_config(name) && Figures::of(path).is_none() {
            let read = |bytes: &dyn Bytes| document(name, bytes, limits).map(|value| flat(&value));
            if let (Some(old), Some(new)) = (read_file(from, path, read)?, read_file(to, path, read)?) {
                let mut changed = keys(&old, &new);
                changed.truncate(MOST);
                changes.config.insert(path.to_owned(), changed);
            }
        }
    }
    Ok((changes, tokens))
}

fn is_config(name: &str) -> bool {
    let end = name.rsplit_once('.').map_or(name, |(_, end)| end);
    matches!(end, "json" | "yaml" | "yml" | "MLmodel") && !name.ends_with(".index.json")
}

fn document(name: &str, bytes: &dyn Bytes, limits: &Limits) -> Result<Value> {
    if name.ends_with(".json") {
        return json::read(bytes, "JSON", limits);
    }
    let text = json::whole(bytes, "YAML", limits)?;
    yaml::parse(&String::from_utf8_lossy(&text), "YAML", limits)
}

fn flat(value: &Value) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => text.chars().take(500).collect(),
        other => other.to_string(),
    };
    let flat = flatten(value, MOST).into_iter();
    flat.map(|(key, value)| (key, text(value))).collect()
}

/// Reads a file of a model; `None` when it is not what its name says.
fn read_file<T>(
    subject: &Subject<'_>,
    path: &str,
    read: impl FnOnce(&dyn Bytes) -> Result<T>,
) -> std::result::Result<Option<T>, SurveyError> {
    let failed = |source| SurveyError {
        path: path.to_owned(),
        source,
    };
    let list = subject.files.list();
    let Ok(at) = list.binary_search_by(|(other, _)| other.as_str().cmp(path)) else {
        return Ok(None);
    };
    let bytes = subject.files.open(at).map_err(failed)?;
    match read(&*bytes) {
        Ok(read) => Ok(Some(read)),
        Err(Error::Read { source, .. }) => Err(failed(source)),
        Err(_) => Ok(None),
    }
}

fn vocabularies(old: Vocabulary, new: Vocabulary) -> TokenChanges {
    let numbers = |vocabulary: Vocabulary| -> BTreeSet<(String, u64)> {
        let tokens = vocabulary.tokens.into_iter();
        tokens.map(|(id, token)| (token, id)).collect()
    };
    let (old, new) = (numbers(old), numbers(new));
    let mut moved: BTreeMap<&str, (Option<u64>, Option<u64>)> = BTreeMap::new();
    for (token, id) in old.difference(&new) {
        moved.entry(token).or_default().0 = Some(*id);
    }
    for (token, id) in new.difference(&old) {
        moved.entry(token).or_default().1 = Some(*id);
    }
    let mut changes = TokenChanges::default();
    for (token, (from, to)) in moved {
        *match (from, to) {
            (None, _) => &mut changes.added,
            (_, None) => &mut changes.removed,
            _ => &mut changes.renumbered,
        } += 1;
        if changes.list.len() < MOST {
            changes.list.push(TokenChange {
                token: token.to_owned(),
                from,
                to,
            });
        }
    }
    changes
}
