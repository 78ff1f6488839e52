//! ONNX: a protocol buffer (`onnx.proto` of onnx) that is walked over field by field. Weights, and what the nodes hold,
//! are passed over.

mod wire;

use std::collections::{BTreeMap, HashSet};

use modelkeep_core::ByteRange;
use wire::{Message, Value, Wire};

use crate::{
    Bytes, Error, Limits, Result,
    record::Port,
    tensor::{bits, elements},
};

const FORMAT: &str = "ONNX";
/// Most inputs, and most outputs.
const MOST_PORTS: u64 = 10_000;
/// Most operator sets, and most entries of where a tensor lies.
const MOST_ENTRIES: u64 = 1_000;

/// What a file says about its graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Onnx {
    /// Version of the format.
    pub ir_version: u64,
    /// What made the file.
    pub producer: Option<String>,
    /// Versions of the operator sets, by domain.
    pub opsets: BTreeMap<String, i64>,
    /// How many nodes the graph has.
    pub nodes: u64,
    /// What the graph takes, without what it brings along.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
    /// The tensors that it brings along.
    pub initializers: Vec<Initializer>,
}

/// A tensor of a graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Initializer {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Where its bytes are.
    pub data: Data,
}

/// Where the bytes of a tensor are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Data {
    /// In the file, but not as one run of bytes.
    #[default]
    Scattered,
    /// In the file.
    Here(ByteRange),
    /// In another file.
    External {
        /// Its path, as the file has it: relative to the directory of the file, or so it should be.
        location: String,
        /// Where the tensor begins in it.
        offset: u64,
        /// Its length, where the file says.
        length: Option<u64>,
    },
}

/// Walks over a file.
///
/// # Errors
/// [`Error`].
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Onnx> {
    let mut walk = Walk {
        wire: Wire::new(bytes),
        limits,
        onnx: Onnx::default(),
        kept: 0,
    };
    let mut model = walk.wire.whole();
    let mut has_graph = false;
    while let Some((field, value)) = walk.wire.next(&mut model)? {
        match field {
            1 => walk.onnx.ir_version = walk.number(value)?,
            2 => walk.onnx.producer = Some(walk.text(value)?),
            7 if has_graph => return Err(walk.wire.malformed("there are two graphs")),
            7 => {
                has_graph = true;
                walk.graph(value)?;
            }
            8 => walk.opset(value)?,
            _ => {}
        }
    }
    // Every file has both; a file without is none, whatever else its bytes can be read as.
    if !has_graph || walk.onnx.ir_version == 0 {
        return Err(Error::malformed(FORMAT, 0, "it has no graph, or no version"));
    }
    let mut onnx = walk.onnx;
    let brought: HashSet<&str> = onnx
        .initializers
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    onnx.inputs.retain(|input| !brought.contains(input.name.as_str()));
    Ok(onnx)
}

struct Walk<'a> {
    wire: Wire<'a>,
    limits: &'a Limits,
    onnx: Onnx,
    /// Bytes of texts that were kept.
    kept: u64,
}

impl Walk<'_> {
    fn text(&mut self, value: Value) -> Result<String> {
        let text = self.wire.text(value, self.limits.text_bytes.min(64 << 10))?;
        self.kept += text.len() as u64;
        Error::bound(FORMAT, "bytes of names", self.kept, self.limits.header_bytes)?;
        Ok(text)
    }

    fn number(&self, value: Value) -> Result<u64> {
        let number = value.number();
        number.ok_or_else(|| self.wire.malformed("a message stands for a number"))
    }

    fn opset(&mut self, value: Value) -> Result<()> {
        let (mut domain, mut version) = (String::new(), 0);
        let mut opset = self.wire.message(value)?;
        while let Some((field, value)) = self.wire.next(&mut opset)? {
            match field {
                1 => domain = self.text(value)?,
                2 => version = self.number(value)?.cast_signed(),
                _ => {}
            }
        }
        self.onnx.opsets.insert(domain, version);
        Error::bound(
            FORMAT,
            "operator sets",
            self.onnx.opsets.len() as u64,
            MOST_ENTRIES,
        )
    }

    fn graph(&mut self, value: Value) -> Result<()> {
        let mut graph = self.wire.message(value)?;
        while let Some((field, value)) = self.wire.next(&mut graph)? {
            match field {
                1 => self.onnx.nodes += 1,
                5 => {
                    let tensor = self.tensor(value)?;
                    self.onnx.initializers.push(tensor);
                    let count = self.onnx.initializers.len() as u64;
                    Error::bound(FORMAT, "tensors", count, self.limits.tensors)?;
                }
                11 => {
                    let port = self.port(value)?;
                    self.onnx.inputs.push(port);
                }
                12 => {
                    let port = self.port(value)?;
                    self.onnx.outputs.push(port);
                }
                _ => {}
            }
            let ports = self.onnx.inputs.len().max(self.onnx.outputs.len()) as u64;
            // Old files list their tensors among the inputs.
            Error::bound(
                FORMAT,
                "inputs or outputs",
                ports,
                MOST_PORTS.max(self.limits.tensors),
            )?;
        }
        let mut names = HashSet::new();
        let twice = self
            .onnx
            .initializers
            .iter()
            .find(|tensor| !names.insert(&tensor.name));
        match twice {
            Some(tensor) => Err(self
                .wire
                .malformed(format!("the tensor {:?} is there twice", tensor.name))),
            None => Ok(()),
        }
    }

    fn tensor(&mut self, value: Value) -> Result<Initializer> {
        let mut tensor = Initializer::default();
        let (mut kind, mut is_external) = (0, false);
        let mut runs: Vec<(u64, Value)> = Vec::new();
        let mut entries: BTreeMap<String, String> = BTreeMap::new();
        let mut message = self.wire.message(value)?;
        while let Some((field, value)) = self.wire.next(&mut message)? {
            match field {
                1 => self
                    .wire
                    .numbers(value, &mut tensor.shape, self.limits.dimensions)?,
                2 => kind = self.number(value)?,
                8 => tensor.name = self.text(value)?,
                // Two are enough to know that there is more than one.
                4..=7 | 9..=11 if runs.len() < 2 => runs.push((field, value)),
                13 => {
                    let (key, value) = self.entry(value)?;
                    entries.insert(key, value);
                    Error::bound(
                        FORMAT,
                        "entries of external data",
                        entries.len() as u64,
                        MOST_ENTRIES,
                    )?;
                }
                14 => is_external = self.number(value)? == 1,
                _ => {}
            }
        }
        if tensor.shape.iter().any(|side| side.cast_signed() < 0) {
            return Err(self
                .wire
                .malformed(format!("{:?} has a negative dimension", tensor.name)));
        }
        tensor.dtype = dtype(kind);
        let size = size(&tensor.dtype, &tensor.shape);
        tensor.data = if is_external {
            let number = |key: &str| entries.get(key).and_then(|text| text.parse::<u64>().ok());
            Data::External {
                location: entries.get("location").cloned().unwrap_or_default(),
                offset: number("offset").unwrap_or(0),
                length: number("length").or(size),
            }
        } else {
            match runs.as_slice() {
                [(9, Value::Run(raw))] if size.is_some_and(|size| size != raw.length) => {
                    let problem = format!(
                        "{:?} has {} bytes, not those of its shape",
                        tensor.name, raw.length
                    );
                    return Err(self.wire.malformed(problem));
                }
                // A text is one of many even where it is alone.
                [(field, Value::Run(only))] if *field != 6 => Data::Here(*only),
                _ => Data::Scattered,
            }
        };
        Ok(tensor)
    }

    /// A key and a text.
    fn entry(&mut self, value: Value) -> Result<(String, String)> {
        let (mut key, mut text) = (String::new(), String::new());
        let mut message = self.wire.message(value)?;
        while let Some((field, value)) = self.wire.next(&mut message)? {
            match field {
                1 => key = self.text(value)?,
                2 => text = self.text(value)?,
                _ => {}
            }
        }
        Ok((key, text))
    }

    fn port(&mut self, value: Value) -> Result<Port> {
        let mut port = Port {
            name: String::new(),
            dtype: "?".to_owned(),
            shape: Vec::new(),
        };
        let mut message = self.wire.message(value)?;
        while let Some((field, value)) = self.wire.next(&mut message)? {
            match field {
                1 => port.name = self.text(value)?,
                2 => {
                    let kind = self.wire.message(value)?;
                    self.kind(kind, &mut port)?;
                }
                _ => {}
            }
        }
        Ok(port)
    }

    /// The type of an input or output.
    fn kind(&mut self, mut kind: Message, port: &mut Port) -> Result<()> {
        while let Some((field, value)) = self.wire.next(&mut kind)? {
            match field {
                1 => {
                    let mut tensor = self.wire.message(value)?;
                    while let Some((field, value)) = self.wire.next(&mut tensor)? {
                        match field {
                            1 => port.dtype = dtype(self.number(value)?),
                            2 => {
                                let shape = self.wire.message(value)?;
                                self.shape(shape, port)?;
                            }
                            _ => {}
                        }
                    }
                }
                4 => port.dtype = "sequence".to_owned(),
                5 => port.dtype = "map".to_owned(),
                8 => port.dtype = "sparse tensor".to_owned(),
                9 => port.dtype = "optional".to_owned(),
                _ => {}
            }
        }
        Ok(())
    }

    fn shape(&mut self, mut shape: Message, port: &mut Port) -> Result<()> {
        while let Some((field, value)) = self.wire.next(&mut shape)? {
            if field != 1 {
                continue;
            }
            let mut side = "?".to_owned();
            let mut dimension = self.wire.message(value)?;
            while let Some((field, value)) = self.wire.next(&mut dimension)? {
                match field {
                    1 => side = self.number(value)?.cast_signed().to_string(),
                    2 => side = self.text(value)?,
                    _ => {}
                }
            }
            port.shape.push(side);
            if port.shape.len() > self.limits.dimensions {
                return Err(self
                    .wire
                    .malformed(format!("{:?} has too many dimensions", port.name)));
            }
        }
        Ok(())
    }
}

/// What a type of elements is called, by its number (`TensorProto.DataType`).
fn dtype(number: u64) -> String {
    const NAMES: [&str; 27] = [
        "UNDEFINED",
        "F32",
        "U8",
        "I8",
        "U16",
        "I16",
        "I32",
        "I64",
        "STRING",
        "BOOL",
        "F16",
        "F64",
        "U32",
        "U64",
        "C64",
        "C128",
        "BF16",
        "F8_E4M3",
        "F8_E4M3FNUZ",
        "F8_E5M2",
        "F8_E5M2FNUZ",
        "U4",
        "I4",
        "F4",
        "F8_E8M0",
        "U2",
        "I2",
    ];
    let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// Bytes of the raw data of a tensor: the last one need not be full.
fn size(dtype: &str, shape: &[u64]) -> Option<u64> {
    let bits = elements(shape)?.checked_mul(bits(dtype)?)?;
    Some(bits.div_ceil(8))
}

#[cfg(test)]
mod tests;
