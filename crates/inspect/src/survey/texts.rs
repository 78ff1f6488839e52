//! Files that speak about the model. Those at the top of the directory count: below it lie parts of it.

use serde_json::{Map, Value};

use super::{Looking, SurveyError};
use crate::{
    Bytes, Limits, Result, Vocabulary, json,
    text::{card, config, figures::Figures, mlmodel, tokenizer},
    yaml,
};

type Object = Map<String, Value>;

pub(super) fn look(looking: &mut Looking<'_>) -> std::result::Result<(), SurveyError> {
    if let Some(model) = mapping(looking, mlmodel::PATH)? {
        mlmodel::apply(&model, &mut looking.record);
    }
    if let Some(index) = object(looking, "model_index.json")? {
        let class = crate::text::text(&index, "_class_name");
        looking.record.architecture = class.or(looking.record.architecture.take());
    }
    if let Some(config) = object(looking, "config.json")? {
        config::apply(&config, &mut looking.record);
    }
    if let Some(config) = object(looking, "adapter_config.json")? {
        config::apply_adapter(&config, &mut looking.record);
    }
    vocabulary(looking)?;
    for path in ["special_tokens_map.json", "tokenizer_config.json"] {
        if let Some(config) = object(looking, path)? {
            let mut read = looking.record.tokenizer.take().unwrap_or_default();
            tokenizer::apply(&config, &mut read);
            looking.record.tokenizer = Some(read);
        }
    }
    for file in 0..looking.list.len() {
        let path = looking.list[file].0.clone();
        if let Some(figures) = Figures::of(&path) {
            let read = if path.ends_with(".json") {
                any_json
            } else {
                any_yaml
            };
            if let Some(value) = looking.read(file, read)? {
                figures.apply(&path, &value, &mut looking.record);
            }
        }
    }
    if let Some(file) = looking.find(card::PATH)
        && let Some(Some(card)) = looking.read(file, card::front_matter)?
    {
        card::apply(&card, &mut looking.record);
    }
    Ok(())
}

fn vocabulary(looking: &mut Looking<'_>) -> std::result::Result<(), SurveyError> {
    for path in ["tokenizer.json", "vocab.json", "vocab.txt"] {
        let Some(file) = looking.find(path) else {
            continue;
        };
        if let Some(read) = looking.read(file, |bytes, _| Vocabulary::read(path, bytes))? {
            let tokenizer = looking.record.tokenizer.get_or_insert_default();
            tokenizer.vocabulary = Some(read.tokens.len() as u64);
            tokenizer.fingerprint = Some(read.fingerprint());
            tokenizer.kind = read.kind.or(tokenizer.kind.take());
            return Ok(());
        }
    }
    Ok(())
}

fn object(looking: &mut Looking<'_>, path: &str) -> std::result::Result<Option<Object>, SurveyError> {
    match looking.find(path) {
        Some(file) => looking.read(file, |bytes, limits| {
            json::read(bytes, "JSON", &text_limits(limits))
        }),
        None => Ok(None),
    }
}

fn mapping(looking: &mut Looking<'_>, path: &str) -> std::result::Result<Option<Object>, SurveyError> {
    let value = match looking.find(path) {
        Some(file) => looking.read(file, any_yaml)?,
        None => None,
    };
    Ok(match value {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    })
}

fn any_json(bytes: &dyn Bytes, limits: &Limits) -> Result<Value> {
    json::read(bytes, "JSON", &text_limits(limits))
}

fn any_yaml(bytes: &dyn Bytes, limits: &Limits) -> Result<Value> {
    let text = json::whole(bytes, "YAML", &text_limits(limits))?;
    yaml::parse(&String::from_utf8_lossy(&text), "YAML", limits)
}

/// A value of JSON takes some twenty times the bytes of its text.
fn text_limits(limits: &Limits) -> Limits {
    Limits {
        header_bytes: limits.header_bytes.min(2 << 20),
        ..*limits
    }
}
