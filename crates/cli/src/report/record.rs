//! A record as a person wants to read it.

use std::fmt::Write as _;

use modelkeep_inspect::{
    Record,
    record::{Metric, Port, Row},
};

use super::{findings, human};

/// Most metrics and problems that are printed; `--json` has them all.
const MOST: usize = 20;

/// The record in lines of a name and a value, without the tensors one by one.
pub(crate) fn text(record: &Record) -> String {
    let mut text = String::new();
    for (name, value) in fields(record) {
        let _ = writeln!(text, "  {name:<12} {}", human::clean(&value).replace('\n', " "));
    }
    text
}

fn fields(record: &Record) -> Vec<(&'static str, String)> {
    let mut fields: Vec<(&'static str, String)> = Vec::new();
    let mut field = |name: &'static str, value: Option<String>| {
        fields.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value)));
    };
    field("format", Some(record.formats.join(", ")));
    field("architecture", record.architecture.clone());
    field("library", record.library.clone());
    field("task", record.task.clone());
    field(
        "parameters",
        record.parameters.map(|count| parameters(count, record)),
    );
    field("quantised", record.quantization.clone());
    if let Some(tensors) = &record.tensors {
        let value = format!("{}, {}", tensors.count, human::bytes(tensors.bytes));
        field("tensors", Some(value));
    }
    let sizes = record.sizes.iter().map(|(name, size)| format!("{name} {size}"));
    field("sizes", Some(sizes.collect::<Vec<_>>().join(", ")));
    for (name, ports) in [("input", &record.inputs), ("output", &record.outputs)] {
        ports
            .iter()
            .take(MOST)
            .for_each(|shown| field(name, Some(port(shown))));
    }
    let opsets = record.opsets.iter().map(|(domain, version)| {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        format!("{domain} {version}")
    });
    field("opset", Some(opsets.collect::<Vec<_>>().join(", ")));
    if let Some(tokenizer) = &record.tokenizer {
        let size = tokenizer.vocabulary.map(|size| format!("{size} tokens"));
        let parts = [tokenizer.kind.clone(), size].into_iter().flatten();
        field("tokenizer", Some(parts.collect::<Vec<_>>().join(", ")));
    }
    field("license", record.license.clone());
    let lineage = &record.lineage;
    let relation = lineage
        .relation
        .as_ref()
        .map_or(String::new(), |relation| format!(" ({relation})"));
    if !lineage.base_models.is_empty() {
        field(
            "base model",
            Some(format!("{}{relation}", lineage.base_models.join(", "))),
        );
    }
    field("datasets", Some(some(&lineage.datasets)));
    field("run", lineage.run.clone());
    field("model", lineage.model.clone());
    for shown in record.metrics.iter().take(MOST) {
        field("metric", Some(metric(shown)));
    }
    field("", more(record.metrics.len(), "metric"));
    for (name, value) in record.params.iter().take(MOST) {
        field("param", Some(format!("{name} = {value}")));
    }
    field("", more(record.params.len(), "parameter"));
    for problem in record.problems.iter().take(MOST) {
        field("problem", Some(format!("{}: {}", problem.file, problem.problem)));
    }
    field("", more(record.problems.len(), "problem"));
    for finding in record.findings.iter().take(MOST) {
        field("finding", Some(findings::line(finding)));
    }
    field("", more(record.findings.len(), "finding"));
    fields
}

/// The first of many names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        left => format!("{text} and {left} more"),
    }
}

fn more(count: usize, thing: &str) -> Option<String> {
    let left = count.checked_sub(MOST).filter(|left| *left > 0)?;
    Some(format!(
        "and {} more, with --json",
        human::count(left as u64, thing)
    ))
}

fn parameters(count: u64, record: &Record) -> String {
    let dtypes = record
        .dtypes
        .iter()
        .map(|(dtype, share)| match record.dtypes.len() {
            1 => dtype.clone(),
            _ => format!("{dtype} {}", short(share.parameters)),
        });
    let dtypes: Vec<String> = dtypes.collect();
    format!("{} ({})", short(count), dtypes.join(", "))
}

/// A count as people say it: `22.7M`.
fn short(count: u64) -> String {
    for (unit, name) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")] {
        if count as f64 >= unit {
            return format!("{:.1}{name}", count as f64 / unit);
        }
    }
    count.to_string()
}

fn port(port: &Port) -> String {
    format!("{} {}[{}]", port.name, port.dtype, port.shape.join(", "))
}

fn metric(metric: &Metric) -> String {
    match &metric.dataset {
        Some(dataset) => format!("{} = {} on {dataset}", metric.name, metric.value),
        None => format!("{} = {}", metric.name, metric.value),
    }
}

/// The tensors, one in a line.
pub(crate) fn tensors(record: &Record) -> String {
    let Some(tensors) = &record.tensors else {
        return String::new();
    };
    let mut rows = vec![
        ["TENSOR", "DTYPE", "SHAPE", "SIZE", "FILE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(tensors.rows.iter().map(|row| {
        vec![
            human::clean(&row.name).replace('\n', "\u{fffd}"),
            human::clean(&row.dtype),
            shape(row),
            row.bytes.map_or_else(|| "-".to_owned(), human::bytes),
            tensors.files.get(row.file).cloned().unwrap_or_default(),
        ]
    }));
    human::table(&rows)
}

fn shape(row: &Row) -> String {
    let sides: Vec<String> = row.shape.iter().map(u64::to_string).collect();
    format!("[{}]", sides.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1_500, "1.5K"),
            (22_713_216, "22.7M"),
            (8_030_261_248, "8.0B"),
        ] {
            assert_eq!(short(count), text);
        }
    }

    #[test]
    fn what_is_not_known_is_not_printed() {
        let record = Record {
            formats: vec!["gguf".into()],
            architecture: Some("llama\u{1b}[2J".into()),
            ..Record::default()
        };
        assert_eq!(
            text(&record),
            "  format       gguf\n  architecture llama\u{fffd}[2J\n"
        );
    }
}
