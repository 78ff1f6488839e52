//! ModelKits of KitOps: the config is the Kitfile, the layers are archives of its elements.

use std::collections::HashMap;

use modelkeep_core::{Digest, Manifest};
use serde_json::Value;

use super::{DescribeError, Part, about, annotated, archive, file, unknown};
use crate::archive::Coding;

type Found = (Vec<Part>, Vec<(&'static str, String)>);

/// How the media types of configs begin.
pub(super) const CONFIG: &str = "application/vnd.kitops.modelkit.config.";

pub(super) fn describe(manifest: &Manifest, config: &[u8]) -> Result<Found, DescribeError> {
    let kitfile: Value = serde_json::from_slice(config)?;
    let elements = elements(&kitfile);
    let mut parts = Vec::new();
    for layer in &manifest.layers {
        let element = elements.get(layer.digest.to_string().as_str());
        let text = |name: &str| element.and_then(|element| element.get(name)?.as_str());
        let mut part = match layer.media_type.rsplit_once(".v1.").map(|(_, suffix)| suffix) {
            Some("raw") => {
                let path = annotated(layer).or_else(|| text("path"));
                file(
                    layer,
                    path.ok_or_else(|| DescribeError::Unnamed(layer.digest.clone()))?,
                )?
            }
            Some(suffix) => archive(layer, Coding::of_suffix(suffix).ok_or_else(|| unknown(layer))?),
            None => return Err(unknown(layer)),
        };
        part.diff_id = text("diffId").and_then(|text| text.parse::<Digest>().ok());
        parts.push(part);
    }
    let fields = [
        ("name", "/package/name"),
        ("version", "/package/version"),
        ("description", "/package/description"),
        ("authors", "/package/authors"),
        ("licenses", "/package/license"),
        ("model", "/model/name"),
        ("path", "/model/path"),
        ("framework", "/model/framework"),
        ("format", "/model/format"),
        ("model license", "/model/license"),
    ];
    Ok((parts, about(&kitfile, &fields)))
}

/// The elements of a Kitfile by the digests of their layers, which newer versions of KitOps state.
fn elements(kitfile: &Value) -> HashMap<&str, &Value> {
    let lists = ["/model/parts", "/code", "/datasets", "/docs"].into_iter();
    let listed = lists
        .filter_map(|place| kitfile.pointer(place)?.as_array())
        .flatten();
    let all = kitfile.get("model").into_iter().chain(listed);
    all.filter_map(|element| Some((element.get("digest")?.as_str()?, element)))
        .collect()
}
