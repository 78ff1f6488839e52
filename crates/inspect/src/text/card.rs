//! The model card: YAML between two lines of `---` at the beginning of `README.md`, as the Hugging Face Hub defines it.

use serde_json::{Map, Value};

use super::{figures::MOST, kept, text, texts};
use crate::{
    Bytes, Limits, Reader, Result,
    record::{Metric, Record},
    yaml,
};

pub(crate) const PATH: &str = "README.md";
const FORMAT: &str = "model card";

/// The front matter; `None` when there is none.
pub(crate) fn front_matter(bytes: &dyn Bytes, limits: &Limits) -> Result<Option<Map<String, Value>>> {
    let length = bytes.size().min(yaml::MOST_BYTES + 16);
    let raw = Reader::new(bytes, FORMAT).take(length)?;
    let whole = String::from_utf8_lossy(&raw);
    let whole = whole.strip_prefix('\u{feff}').unwrap_or(&whole);
    let mut lines = whole.split_inclusive('\n');
    if lines.next().is_none_or(|line| line.trim_end() != "---") {
        return Ok(None);
    }
    let mut yaml = String::new();
    for line in lines {
        if matches!(line.trim_end(), "---" | "...") {
            break;
        }
        yaml.push_str(line);
    }
    match yaml::parse(&yaml, FORMAT, limits)? {
        Value::Object(map) => Ok(Some(map)),
        Value::Null => Ok(None),
        _ => Err(crate::Error::malformed(
            FORMAT,
            0,
            "its front matter is no mapping",
        )),
    }
}

/// Puts what a card says into the record.
pub(crate) fn apply(card: &Map<String, Value>, record: &mut Record) {
    record.license = text(card, "license")
        .filter(|license| license != "other")
        .or_else(|| text(card, "license_name"))
        .or_else(|| text(card, "license"))
        .or_else(|| texts(card, "license").into_iter().next());
    record.library = text(card, "library_name").or(record.library.take());
    record.task = text(card, "pipeline_tag").or(record.task.take());
    record.lineage.base_models.extend(texts(card, "base_model"));
    record.lineage.relation = text(card, "base_model_relation").or(record.lineage.relation.take());
    record.lineage.datasets.extend(texts(card, "datasets"));
    let models = card.get("model-index").and_then(Value::as_array);
    for result in models
        .into_iter()
        .flatten()
        .flat_map(|model| list(model, "results"))
    {
        let dataset = result.get("dataset").and_then(|dataset| {
            let part = |key| dataset.get(key).and_then(Value::as_str).and_then(kept);
            let name = part("name").or_else(|| part("type"))?;
            // Of one data set there may be several parts.
            let parts = ["config", "split"].into_iter().filter_map(part);
            Some(parts.fold(name, |name, part| format!("{name}/{part}")))
        });
        let task = result
            .get("task")
            .and_then(|task| task.get("type").and_then(Value::as_str).and_then(kept));
        for metric in list(result, "metrics") {
            let name = ["type", "name"]
                .into_iter()
                .find_map(|key| metric.get(key).and_then(Value::as_str).and_then(kept));
            if let (Some(name), Some(value)) = (name, metric.get("value").and_then(number))
                && record.metrics.len() < MOST
            {
                record.metrics.push(Metric {
                    name,
                    value,
                    dataset: dataset.clone(),
                    task: task.clone(),
                    file: PATH.to_owned(),
                });
            }
        }
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A figure; cards also write them as texts.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        let mut record = Record::default();
        let card = front_matter(&text.as_bytes().to_vec(), &Limits::default()).unwrap();
        apply(&card.unwrap_or_default(), &mut record);
        record
    }

    #[test]
    fn a_card_of_the_hub_is_read() {
        let text = "---\r\nlanguage: no\nlicense: other\nlicense_name: llama3\nbase_model:\n- a/b\n- c/d\nbase_model_relation: merge\n\
            datasets: squad\nlibrary_name: transformers\npipeline_tag: text-classification\nmodel-index:\n- name: x\n  results:\n  \
            - task: {type: text-classification}\n    dataset: {name: SST-2, type: glue, config: sst2, split: test}\n    metrics:\n    \
            - {type: accuracy, value: 0.91}\n    - {name: F1, value: '0.9'}\n    - {type: broken, value: high}\n---\n# Title\n";
        let record = record(text);
        assert_eq!(record.license.as_deref(), Some("llama3"));
        assert_eq!(record.lineage.base_models, ["a/b", "c/d"]);
        assert_eq!(record.lineage.datasets, ["squad"]);
        let metrics: Vec<_> = record
            .metrics
            .iter()
            .map(|m| (m.name.as_str(), m.value))
            .collect();
        assert_eq!(metrics, [("accuracy", 0.91), ("F1", 0.9)]);
        assert_eq!(record.metrics[0].dataset.as_deref(), Some("SST-2/sst2/test"));
        assert_eq!(record.metric("accuracy"), Some(0.91));
        assert_eq!(record.metric("accuracy@SST-2/sst2/test"), Some(0.91));
        assert_eq!(record.metric("accuracy@other"), None);
    }

    #[test]
    fn a_card_without_front_matter_says_nothing() {
        for text in ["", "# Title", "---\n---\n# T", " ---\nlicense: mit\n---\n"] {
            assert_eq!(record(text), Record::default(), "{text}");
        }
        let read = |text: &str| front_matter(&text.as_bytes().to_vec(), &Limits::default());
        assert!(read("---\n- a\n---\n").is_err());
        assert!(read("---\na: [\n---\n").is_err());
    }
}
