//! Metrics and parameters in files of their own.

use serde_json::Value;

use super::{card::number, flatten, kept};
use crate::record::{Metric, Record};

/// Most metrics, and most parameters, of a record.
pub(crate) const MOST: usize = 500;

/// What a file of figures holds, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figures {
    Metrics,
    Params,
    /// `.eval_results/*.yaml` of the Hub: a list of results, or one.
    EvalResults,
}

impl Figures {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "metrics.json" | "metrics.yaml" | "metrics.yml" | "eval_results.json" | "all_results.json" => {
                Some(Self::Metrics)
            }
            "params.json" | "params.yaml" | "params.yml" => Some(Self::Params),
            _ => {
                let name = path.strip_prefix(".eval_results/")?;
                (name.ends_with(".yaml") || name.ends_with(".yml")).then_some(Self::EvalResults)
            }
        }
    }

    /// Puts what a file says into the record.
    pub(crate) fn apply(self, path: &str, value: &Value, record: &mut Record) {
        match self {
            Self::Metrics => {
                for (name, value) in flatten(value, MOST) {
                    // In a file of metrics, what is no number is no metric.
                    if let Some(value) = value.as_f64() {
                        push(record, path, &name, value, None, None);
                    }
                }
            }
            Self::Params => {
                for (name, value) in flatten(value, MOST) {
                    let value = match value {
                        Value::String(text) => kept(&text),
                        Value::Null | Value::Array(_) | Value::Object(_) => None,
                        scalar => Some(scalar.to_string()),
                    };
                    if let (Some(name), Some(value)) = (kept(&name), value)
                        && record.params.len() < MOST
                    {
                        record.params.insert(name, value);
                    }
                }
            }
            Self::EvalResults => {
                let one = std::slice::from_ref(value);
                for result in value.as_array().map_or(one, Vec::as_slice) {
                    eval_result(path, result, record);
                }
            }
        }
    }
}

/// A result as the Hub has it since its version 2: `dataset: {id, task_id}` and `value`.
fn eval_result(path: &str, result: &Value, record: &mut Record) {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).and_then(kept);
    let dataset = result.get("dataset").unwrap_or(result);
    let id = text(dataset, "id").or_else(|| text(dataset, "dataset_id"));
    let task = text(dataset, "task_id").or_else(|| text(result, "task_id"));
    let name = text(result, "metric")
        .or_else(|| task.clone())
        .unwrap_or_else(|| "value".to_owned());
    if let Some(value) = result.get("value").and_then(number) {
        push(record, path, &name, value, id, task);
    }
}

fn push(
    record: &mut Record,
    path: &str,
    name: &str,
    value: f64,
    dataset: Option<String>,
    task: Option<String>,
) {
    if let Some(name) = kept(name).filter(|_| record.metrics.len() < MOST) {
        record.metrics.push(Metric {
            name,
            value,
            dataset,
            task,
            file: path.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_read_from_files_of_these_names() {
        let mut record = Record::default();
        let mut apply =
            |path: &str, value: Value| Figures::of(path).unwrap().apply(path, &value, &mut record);
        apply(
            "metrics.json",
            json!({"f1": 0.9, "eval": {"loss": 1, "name": "x"}, "list": [2.5]}),
        );
        apply(
            "params.yaml",
            json!({"lr": 3e-5, "layers": [1, 2], "name": "x", "none": null}),
        );
        apply(
            ".eval_results/a.yaml",
            json!([{"dataset": {"id": "squad", "task_id": "qa"}, "value": 88.5}]),
        );
        apply(
            ".eval_results/b.yaml",
            json!({"dataset_id": "mmlu", "task_id": "t", "value": 0.5}),
        );
        let metrics: Vec<_> = record
            .metrics
            .iter()
            .map(|m| (m.name.as_str(), m.value, m.dataset.as_deref()))
            .collect();
        assert_eq!(
            metrics,
            [
                ("eval.loss", 1.0, None),
                ("f1", 0.9, None),
                ("list.0", 2.5, None),
                ("qa", 88.5, Some("squad")),
                ("t", 0.5, Some("mmlu")),
            ]
        );
        let params: Vec<_> = record
            .params
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            params,
            [
                ("layers.0", "1"),
                ("layers.1", "2"),
                ("lr", "0.00003"),
                ("name", "x")
            ]
        );
    }

    #[test]
    fn other_names_are_other_files() {
        for path in [
            "config.json",
            "sub/metrics.json",
            ".eval_results/a.txt",
            "eval_results/a.yaml",
        ] {
            assert_eq!(Figures::of(path), None);
        }
    }
}
