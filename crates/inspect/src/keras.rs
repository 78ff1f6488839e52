//! `.keras` of Keras 3: an archive with the config of the model, and its weights in HDF5, which are not looked into.

use serde_json::{Map, Value};

use crate::{
    Bytes, Error, Limits, Result, json,
    record::Port,
    text::{kept, text},
    zip,
};

const FORMAT: &str = "Keras";

/// What the config of a model says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keras {
    /// The class of the model.
    pub class: Option<String>,
    /// The version of Keras that wrote it.
    pub version: Option<String>,
    /// What its input layers take.
    pub inputs: Vec<Port>,
    /// How many layers it has.
    pub layers: u64,
}

/// Reads the config and the metadata.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Keras> {
    let archive = zip::read(bytes, limits)?;
    let document = |name: &str| -> Result<Option<Map<String, Value>>> {
        let Some(member) = archive.member(name) else {
            return Ok(None);
        };
        let content = member
            .open(bytes)
            .ok_or_else(|| Error::malformed(FORMAT, member.header, format!("{name} cannot be read")))?;
        let limits = Limits {
            header_bytes: limits.header_bytes.min(2 << 20),
            ..*limits
        };
        json::read(&content, FORMAT, &limits).map(Some)
    };
    let config = document("config.json")?;
    let config = config.ok_or_else(|| Error::malformed(FORMAT, 0, "it holds no config.json"))?;
    let metadata = document("metadata.json")?.unwrap_or_default();
    let layers = config
        .get("config")
        .and_then(|inner| inner.get("layers")?.as_array());
    let layers = layers.map_or(&[][..], Vec::as_slice);
    let inputs = layers
        .iter()
        .filter(|layer| layer.get("class_name").and_then(Value::as_str) == Some("InputLayer"));
    Ok(Keras {
        class: text(&config, "class_name"),
        version: text(&metadata, "keras_version"),
        inputs: inputs
            .take(1_000)
            .filter_map(|layer| port(layer.get("config")?.as_object()?))
            .collect(),
        layers: layers.len() as u64,
    })
}

fn port(config: &Map<String, Value>) -> Option<Port> {
    let shape = config
        .get("batch_shape")
        .or_else(|| config.get("batch_input_shape"));
    let side = |side: &Value| {
        side.as_u64()
            .map_or_else(|| "?".to_owned(), |side| side.to_string())
    };
    let dtype = config.get("dtype").and_then(|dtype| {
        // A policy is an object that has the name in its config.
        kept(
            dtype
                .as_str()
                .or_else(|| dtype.get("config")?.get("name")?.as_str())?,
        )
    });
    Some(Port {
        name: text(config, "name")?,
        dtype: dtype.unwrap_or_else(|| "?".to_owned()),
        shape: shape
            .and_then(Value::as_array)
            .map_or_else(Vec::new, |sides| sides.iter().take(32).map(side).collect()),
    })
}
