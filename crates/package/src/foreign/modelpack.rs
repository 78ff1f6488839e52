//! ModelPack (`model-spec`, `docs/spec.md`), under its own names and those that its predecessor used.

use modelkeep_core::{Digest, Manifest};
use serde_json::Value;

use super::{DescribeError, Holds, Part, about, annotated, archive, file, unknown};
use crate::archive::Coding;

type Found = (Vec<Part>, Vec<(&'static str, String)>);

/// Whether a type of artifact or config is one of ModelPack's.
pub(super) fn is(media_type: &str) -> bool {
    let rest = media_type.strip_prefix("application/vnd.cncf.model.");
    let rest = rest.or_else(|| media_type.strip_prefix("application/vnd.cnai.model."));
    rest.is_some_and(|rest| rest.starts_with("config.") || rest.starts_with("manifest."))
}

pub(super) fn describe(manifest: &Manifest, config: &[u8]) -> Result<Found, DescribeError> {
    let config: Value = serde_json::from_slice(config)?;
    let stated = config.pointer("/modelfs/diffIds").and_then(Value::as_array);
    let diff_ids: Vec<Option<Digest>> = stated.map_or_else(Vec::new, |list| {
        let digest = |value: &Value| value.as_str()?.parse().ok();
        list.iter().map(digest).collect()
    });
    let mut parts = Vec::new();
    for (at, layer) in manifest.layers.iter().enumerate() {
        let mut part = match layer.media_type.rsplit_once(".v1.").map(|(_, suffix)| suffix) {
            // The last two are what Docker Model Runner once wrote.
            Some("raw" | "gguf" | "safetensors") => {
                let path = annotated(layer).ok_or_else(|| DescribeError::Unnamed(layer.digest.clone()))?;
                file(layer, path)?
            }
            Some(suffix) => archive(layer, Coding::of_suffix(suffix).ok_or_else(|| unknown(layer))?),
            None => return Err(unknown(layer)),
        };
        if diff_ids.len() == manifest.layers.len() {
            part.diff_id.clone_from(&diff_ids[at]);
        }
        if let (Holds::File(_), Some(expected)) = (&part.holds, &part.diff_id)
            && expected.algorithm() == layer.digest.algorithm()
            && *expected != layer.digest
        {
            return Err(DescribeError::DiffId(layer.digest.clone(), expected.clone()));
        }
        parts.push(part);
    }
    let fields = [
        ("name", "/descriptor/name"),
        ("title", "/descriptor/title"),
        ("version", "/descriptor/version"),
        ("family", "/descriptor/family"),
        ("vendor", "/descriptor/vendor"),
        ("authors", "/descriptor/authors"),
        ("licenses", "/descriptor/licenses"),
        ("source", "/descriptor/sourceURL"),
        ("revision", "/descriptor/revision"),
        ("description", "/descriptor/description"),
        ("architecture", "/config/architecture"),
        ("format", "/config/format"),
        ("parameters", "/config/paramSize"),
        ("precision", "/config/precision"),
        ("quantised", "/config/quantization"),
    ];
    Ok((parts, about(&config, &fields)))
}
