//! `config.json` and its neighbours, as transformers, PEFT and sentence-transformers write them.

use serde_json::{Map, Value};

use super::{text, texts};
use crate::record::Record;

/// Sizes that are kept, and the other names that configs have for them.
const SIZES: [(&str, &[&str]); 7] = [
    ("hidden_size", &["hidden_size", "n_embd", "d_model", "dim"]),
    (
        "num_hidden_layers",
        &["num_hidden_layers", "n_layer", "num_layers", "n_layers"],
    ),
    (
        "num_attention_heads",
        &["num_attention_heads", "n_head", "n_heads", "num_heads"],
    ),
    ("num_key_value_heads", &["num_key_value_heads"]),
    ("intermediate_size", &["intermediate_size", "n_inner", "d_ff"]),
    (
        "max_position_embeddings",
        &["max_position_embeddings", "n_positions", "max_seq_len"],
    ),
    ("vocab_size", &["vocab_size"]),
];

/// Puts what `config.json` says into the record.
pub(crate) fn apply(config: &Map<String, Value>, record: &mut Record) {
    let class = texts(config, "architectures").into_iter().next();
    record.architecture = class
        .or_else(|| text(config, "model_type"))
        .or(record.architecture.take());
    // Models of several parts keep the sizes of the part that reads and writes text below a key of its own.
    let inner = config.get("text_config").and_then(Value::as_object);
    for (name, keys) in SIZES {
        let places = [Some(config), inner];
        let size = places
            .into_iter()
            .flatten()
            .find_map(|place| keys.iter().find_map(|key| place.get(*key)?.as_u64()));
        if let Some(size) = size {
            record.sizes.insert(name.to_owned(), size);
        }
    }
    if let Some(Value::Object(quantization)) = config.get("quantization_config") {
        record.quantization = quantization_name(quantization).or(record.quantization.take());
    }
}

fn quantization_name(config: &Map<String, Value>) -> Option<String> {
    let flag = |key: &str| config.get(key).and_then(Value::as_bool).unwrap_or(false);
    let bits = match config.get("bits").and_then(Value::as_u64) {
        None if flag("load_in_4bit") => Some(4),
        None if flag("load_in_8bit") => Some(8),
        bits => bits,
    };
    let method = text(config, "quant_method")?;
    Some(match bits {
        Some(bits) => format!("{method} {bits} bit"),
        None => method,
    })
}

/// Puts what `adapter_config.json` of PEFT says into the record.
pub(crate) fn apply_adapter(config: &Map<String, Value>, record: &mut Record) {
    let base = text(config, "base_model_name_or_path");
    if let Some(base) = base.filter(|base| !record.lineage.base_models.contains(base)) {
        record.lineage.base_models.push(base);
    }
    record
        .lineage
        .relation
        .get_or_insert_with(|| "adapter".to_owned());
    record.library.get_or_insert_with(|| "peft".to_owned());
    if let Some(kind) = text(config, "peft_type") {
        record.architecture.get_or_insert(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(config: &str) -> Record {
        let mut record = Record::default();
        apply(&serde_json::from_str(config).unwrap(), &mut record);
        record
    }

    #[test]
    fn the_config_of_transformers_is_read() {
        let read = record(
            r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":4096,"n_layer":32,"vocab_size":-1,
            "quantization_config":{"quant_method":"gptq","bits":4}}"#,
        );
        assert_eq!(read.architecture.as_deref(), Some("LlamaForCausalLM"));
        assert_eq!(read.quantization.as_deref(), Some("gptq 4 bit"));
        assert_eq!(read.sizes.get("num_hidden_layers"), Some(&32));
        assert_eq!(read.sizes.get("vocab_size"), None);
        assert_eq!(
            record(r#"{"model_type":"bert","text_config":{"hidden_size":7}}"#).sizes["hidden_size"],
            7
        );
        assert_eq!(
            record(r#"{"architectures":{"a":1},"hidden_size":"x","quantization_config":3}"#),
            Record::default()
        );
    }

    #[test]
    fn an_adapter_names_its_base() {
        let mut record = Record::default();
        let config = serde_json::from_str(r#"{"base_model_name_or_path":"a/b","peft_type":"LORA"}"#).unwrap();
        apply_adapter(&config, &mut record);
        assert_eq!(record.lineage.base_models, ["a/b"]);
        assert_eq!(record.lineage.relation.as_deref(), Some("adapter"));
    }
}
