//! The record of a version: what its files say that it is. `docs/reference/record.md` describes the JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the files of a version say that it is. It follows from the paths and bytes of the files, and from nothing else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`Record::SCHEMA`].
    pub schema: String,
    /// Formats of model files, in byte order.
    pub formats: Vec<String>,
    /// The class or family of the network, as config or header call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The library that loads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Elements of the tensors of the model; where it is there in several formats or precisions, of one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// How its numbers were made smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Tensors by the type of their elements: those that `parameters` counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dtypes: BTreeMap<String, Share>,
    /// Sizes that the config names, by the words of `config.json`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sizes: BTreeMap<String, u64>,
    /// The tensors of all files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Tensors>,
    /// What the model takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Port>,
    /// What it gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Port>,
    /// Versions of the operator sets of ONNX, by domain; the one without a name is `ai.onnx`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub opsets: BTreeMap<String, i64>,
    /// How text becomes numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// License, as the card or the header writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Where the model comes from.
    #[serde(default, skip_serializing_if = "Lineage::is_empty")]
    pub lineage: Lineage,
    /// How good it is, as its files say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// How it was made, as its files say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Files that are not what they should be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What in the files could do harm to who loads them, the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<crate::danger::Finding>,
}

/// What a type has of the tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many tensors.
    pub tensors: u64,
    /// How many elements.
    pub parameters: u64,
    /// How many bytes; 0 where the header does not say.
    pub bytes: u64,
}

/// The tensors of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensors {
    /// How many there are.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The files that describe them, in byte order of the paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The tensors: by file, then by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Row>,
    /// Where the files and rows are when the record has no room for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Place>,
}

/// One tensor. In JSON it is a list of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Cells", into = "Cells")]
pub struct Row {
    /// The place in [`Tensors::files`] of the file that describes it.
    pub file: usize,
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: String,
    /// Its dimensions, the one that changes slowest first.
    pub shape: Vec<u64>,
    /// Its bytes, where they are a run of bytes of a file of the version.
    pub bytes: Option<u64>,
    /// BLAKE3 of them, 64 hexadecimal digits.
    pub hash: Option<String>,
}

type Cells = (usize, String, String, Vec<u64>, Option<u64>, Option<String>);

impl From<Cells> for Row {
    fn from((file, name, dtype, shape, bytes, hash): Cells) -> Self {
        Self {
            file,
            name,
            dtype,
            shape,
            bytes,
            hash,
        }
    }
}

impl From<Row> for Cells {
    fn from(row: Row) -> Self {
        (row.file, row.name, row.dtype, row.shape, row.bytes, row.hash)
    }
}

/// Where something of a record lies that is too large for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The layer that holds it.
    pub layer: modelkeep_core::Digest,
    /// Where in the layer it begins.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// Their digest.
    pub digest: modelkeep_core::Digest,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: String,
    /// Its dimensions: numbers, names of what varies, or `?`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape: Vec<String>,
}

/// How text becomes numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokenizer {
    /// The class that loads it, or the kind of its vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many tokens the vocabulary has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<u64>,
    /// A fingerprint of the tokens and their numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Tokens with a role, by the role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub special: BTreeMap<String, String>,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The models that it was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_models: Vec<String>,
    /// How it was made from them: `finetune`, `adapter`, `quantized`, `merge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// The data that it was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<String>,
    /// The run that made it, as its tracker names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The model that it is, as its tracker names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl Lineage {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What was measured.
    pub name: String,
    /// How much it is.
    pub value: f64,
    /// On which data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// At what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The file that says so.
    pub file: String,
}

/// A file that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Record {
    /// The version of the format.
    pub const SCHEMA: &str = "modelkeep.record.v1";

    /// A record as a [label](modelkeep_core::annotation::RECORD) holds it; `None` when it is not one that this version of Modelkeep can read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let record: Self = serde_json::from_str(text).ok()?;
        (record.schema == Self::SCHEMA).then_some(record)
    }

    /// The record in JSON, on one line: the same record is the same text.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record is texts, numbers and lists")
    }

    /// The figure of a metric: of `NAME@DATASET` that on the data set; of `NAME` that without a data set, or the one that
    /// is the same on all of them.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let mut plain = self
            .metrics
            .iter()
            .filter(|metric| metric.name == name && metric.dataset.is_none());
        if let Some(metric) = plain.next() {
            return Some(metric.value);
        }
        let is_asked = |metric: &&Metric| {
            let rest = name.strip_prefix(&metric.name);
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('@') == metric.dataset.as_deref())
        };
        let mut values = self.metrics.iter().filter(is_asked).map(|metric| metric.value);
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }
}
