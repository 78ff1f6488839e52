//! Models of Ollama (`manifest/manifest.go`), which come in manifests of Docker's.

use std::collections::HashMap;

use modelkeep_core::Manifest;
use serde_json::Value;

use super::{DescribeError, Part, about, file, unknown};

type Found = (Vec<Part>, Vec<(&'static str, String)>);

/// How the media types of layers begin.
pub(super) const LAYER: &str = "application/vnd.ollama.image.";

pub(super) fn describe(
    manifest: &Manifest,
    config: &[u8],
    names: &[Option<String>],
) -> Result<Found, DescribeError> {
    let config: Value = serde_json::from_slice(config)?;
    let weights = match config.get("model_format").and_then(Value::as_str) {
        Some("safetensors") => "safetensors",
        _ => "gguf",
    };
    let mut met = HashMap::<&str, usize>::new();
    let mut parts = Vec::new();
    for (at, layer) in manifest.layers.iter().enumerate() {
        let kind = layer
            .media_type
            .strip_prefix(LAYER)
            .ok_or_else(|| unknown(layer))?;
        // What is named has that name; the others are named by what they are.
        if let Some(name) = names.get(at).and_then(Option::as_deref) {
            parts.push(file(layer, name)?);
            continue;
        }
        let (stem, extension) = match kind {
            "model" | "projector" | "adapter" | "embed" | "draft" => (kind, Some(weights)),
            "params" | "messages" => (kind, Some("json")),
            "template" | "system" | "prompt" | "license" => (kind, None),
            "tensor" | "json" => return Err(DescribeError::Unnamed(layer.digest.clone())),
            _ => return Err(unknown(layer)),
        };
        let number = met.entry(kind).or_default();
        *number += 1;
        let stem = match number {
            1 => stem.to_owned(),
            number => format!("{stem}-{number}"),
        };
        let path = match extension {
            Some(extension) => format!("{stem}.{extension}"),
            None => stem,
        };
        parts.push(file(layer, &path)?);
    }
    let fields = [
        ("format", "/model_format"),
        ("family", "/model_family"),
        ("parameters", "/model_type"),
        ("quantised", "/file_type"),
    ];
    Ok((parts, about(&config, &fields)))
}
