//! Models of Docker Model Runner (`pkg/distribution/types/config.go`).

use std::collections::HashMap;

use modelkeep_core::Manifest;
use serde_json::Value;

use super::{DescribeError, Part, about, annotated, archive, file, unknown};
use crate::archive::Coding;

type Found = (Vec<Part>, Vec<(&'static str, String)>);

/// How the media types of configs begin.
pub(super) const CONFIG: &str = "application/vnd.docker.ai.model.config.";

pub(super) fn describe(manifest: &Manifest, config: &[u8]) -> Result<Found, DescribeError> {
    let config: Value = serde_json::from_slice(config)?;
    let mut of_type = HashMap::<&str, usize>::new();
    for layer in manifest.layers.iter().filter(|layer| annotated(layer).is_none()) {
        *of_type.entry(layer.media_type.as_str()).or_default() += 1;
    }
    let mut met = HashMap::<&str, usize>::new();
    let mut parts = Vec::new();
    for layer in &manifest.layers {
        let media_type = layer.media_type.as_str();
        let name = media_type
            .strip_prefix("application/vnd.docker.ai.")
            .unwrap_or_default();
        if matches!(name, "vllm.config.tar" | "dir.tar") {
            parts.push(archive(layer, Coding::Plain));
            continue;
        }
        if let Some(path) = annotated(layer) {
            parts.push(file(layer, path)?);
            continue;
        }
        let number = met.entry(media_type).or_default();
        *number += 1;
        let shard = |kind: &str| match of_type[media_type] {
            1 => format!("model.{kind}"),
            count => format!("model-{number:05}-of-{count:05}.{kind}"),
        };
        // The names that the runtime gives them.
        let path = match name {
            "gguf.v3" => shard("gguf"),
            "safetensors" => shard("safetensors"),
            "dduf" => "model.dduf".to_owned(),
            "mmproj" | "gguf.v3.mmproj" => "model.mmproj".to_owned(),
            "gguf.v3.lora" => "adapter.gguf".to_owned(),
            "chat.template.jinja" => "template.jinja".to_owned(),
            "license" => match number {
                1 => "LICENSE".to_owned(),
                number => format!("LICENSE-{number}"),
            },
            "model.file" => return Err(DescribeError::Unnamed(layer.digest.clone())),
            _ => return Err(unknown(layer)),
        };
        parts.push(file(layer, &path)?);
    }
    let fields = [
        ("architecture", "/config/architecture"),
        ("format", "/config/format"),
        ("parameters", "/config/parameters"),
        ("quantised", "/config/quantization"),
        ("size", "/config/size"),
        ("context", "/config/context_size"),
        ("created", "/descriptor/created"),
    ];
    Ok((parts, about(&config, &fields)))
}
