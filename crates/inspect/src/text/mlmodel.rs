//! `MLmodel`, with which MLflow describes the directory that it saved a model in.

use serde_json::{Map, Value};

use super::{kept, text};
use crate::record::{Port, Record};

pub(crate) const PATH: &str = "MLmodel";

/// Puts what an `MLmodel` says into the record.
pub(crate) fn apply(model: &Map<String, Value>, record: &mut Record) {
    record.lineage.run = text(model, "run_id");
    record.lineage.model = text(model, "model_uuid").or_else(|| text(model, "model_id"));
    let flavors = model.get("flavors").and_then(Value::as_object);
    // The generic flavour says only how to call the others.
    let own = flavors
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .find(|name| *name != "python_function");
    if let Some(own) = own.and_then(|name| kept(name)) {
        record.library.get_or_insert(own);
    }
    if let Some(Value::Object(signature)) = model.get("signature") {
        if record.inputs.is_empty() {
            record.inputs = columns(signature, "inputs");
        }
        if record.outputs.is_empty() {
            record.outputs = columns(signature, "outputs");
        }
    }
}

/// The columns or tensors of a signature, which are JSON in a text.
fn columns(signature: &Map<String, Value>, key: &str) -> Vec<Port> {
    let Some(columns) = signature.get(key).and_then(Value::as_str) else {
        return Vec::new();
    };
    let Ok(Value::Array(columns)) = serde_json::from_str(columns) else {
        return Vec::new();
    };
    let port = |(n, column): (usize, &Value)| {
        let column = column.as_object()?;
        let name = text(column, "name").unwrap_or_else(|| n.to_string());
        let tensor = column.get("tensor-spec").and_then(Value::as_object);
        let (dtype, shape) = match tensor {
            Some(tensor) => {
                let sides = tensor
                    .get("shape")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten();
                let side = |side: &Value| match side.as_i64() {
                    Some(side) if side >= 0 => side.to_string(),
                    _ => "?".to_owned(),
                };
                (text(tensor, "dtype")?, sides.take(32).map(side).collect())
            }
            None => (text(column, "type")?, Vec::new()),
        };
        Some(Port { name, dtype, shape })
    };
    columns.iter().enumerate().take(1000).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flavour_run_and_signature_are_read() {
        let model = json!({
            "run_id": "abc", "model_id": "m-1", "flavors": {"python_function": {}, "sklearn": {}},
            "signature": {
                "inputs": r#"[{"type":"double","name":"x","required":true},{"type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,28]}}]"#,
                "outputs": "no JSON",
            },
        });
        let mut record = Record::default();
        apply(model.as_object().unwrap(), &mut record);
        assert_eq!(record.library.as_deref(), Some("sklearn"));
        assert_eq!(record.lineage.run.as_deref(), Some("abc"));
        assert_eq!(record.lineage.model.as_deref(), Some("m-1"));
        let port = |name: &str, dtype: &str, shape: &[&str]| Port {
            name: name.into(),
            dtype: dtype.into(),
            shape: shape.iter().map(|s| (*s).to_owned()).collect(),
        };
        assert_eq!(
            record.inputs,
            [port("x", "double", &[]), port("1", "float32", &["?", "28"])]
        );
        assert_eq!(record.outputs, []);
    }
}
