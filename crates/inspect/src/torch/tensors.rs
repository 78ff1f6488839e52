//! Tensors in the structure of a pickle.

use modelkeep_core::ByteRange;

use super::{Checkpoint, FORMAT};
use crate::{
    Error, Limits, Result, Tensor,
    pickle::{Kind, Structure, Trace, Value},
    tensor::{bits, elements},
};

/// A storage that a persistent id names.
pub(super) struct Storage {
    pub(super) key: String,
    dtype: &'static str,
    pub(super) element_bytes: u64,
}

/// What is behind the id `('storage', class, key, location, length)`.
pub(super) fn storage(structure: &Structure, trace: &Trace, id: &Value) -> Option<Storage> {
    let id = structure.tuple(id)?;
    let (Value::Text(kind), Value::Global(class), key) = (id.first()?, id.get(1)?, id.get(2)?) else {
        return None;
    };
    let key = match key {
        Value::Text(key) => key.to_string(),
        Value::Int(key) => key.to_string(),
        _ => return None,
    };
    let class = &trace.globals.get(*class)?.name;
    let dtype = dtype(class.strip_suffix("Storage").unwrap_or(class))?;
    (**kind == *"storage").then_some(Storage {
        key,
        dtype,
        element_bytes: bits(dtype)? / 8,
    })
}

/// A dtype by the name of its storage class or of `torch.dtype`.
fn dtype(name: &str) -> Option<&'static str> {
    Some(match name {
        "Float" | "float32" => "F32",
        "Half" | "float16" => "F16",
        "BFloat16" | "bfloat16" => "BF16",
        "Double" | "float64" => "F64",
        "Long" | "int64" => "I64",
        "Int" | "QInt32" | "int32" => "I32",
        "Short" | "int16" => "I16",
        "Char" | "QInt8" | "int8" => "I8",
        "Byte" | "QUInt8" | "QUInt4x2" | "QUInt2x4" | "uint8" | "Untyped" => "U8",
        "Bool" | "bool" => "BOOL",
        "ComplexFloat" | "complex64" => "C64",
        "ComplexDouble" | "complex128" => "C128",
        "uint16" => "U16",
        "uint32" => "U32",
        "uint64" => "U64",
        "float8_e4m3fn" => "F8_E4M3",
        "float8_e5m2" => "F8_E5M2",
        "float8_e4m3fnuz" => "F8_E4M3FNUZ",
        "float8_e5m2fnuz" => "F8_E5M2FNUZ",
        _ => return None,
    })
}

/// Where a storage lies, by its key.
type Find<'a> = &'a dyn Fn(&str) -> Option<ByteRange>;

/// All tensors that can be reached by names from the root.
pub(super) fn collect(
    structure: &Structure,
    trace: &Trace,
    find: Find<'_>,
    limits: &Limits,
) -> Result<Checkpoint> {
    let mut walk = Walk {
        structure,
        trace,
        find,
        limits,
        steps: 0,
        tensors: Vec::new(),
    };
    let root = structure.root();
    walk.value(root, "", 0)?;
    let class = class(structure, trace, root).filter(|class| !class.starts_with("collections."));
    Ok(Checkpoint {
        tensors: walk.tensors,
        class,
    })
}

/// The class of an object.
pub(crate) fn class(structure: &Structure, trace: &Trace, value: &Value) -> Option<String> {
    let call = structure.call(value)?;
    let Value::Global(at) = call.callee else {
        return None;
    };
    let global = trace.globals.get(at)?;
    let is_class = global
        .name
        .rsplit('.')
        .next()
        .is_some_and(|name| name.starts_with(char::is_uppercase));
    // What makes an object of any class has the class as its first argument.
    if matches!(global.module.as_str(), "copyreg" | "copy_reg") {
        let Value::Global(at) = structure.tuple(&call.arguments)?.first()? else {
            return None;
        };
        let class = trace.globals.get(*at)?;
        return Some(format!("{}.{}", class.module, class.name));
    }
    is_class.then(|| format!("{}.{}", global.module, global.name))
}

struct Walk<'a> {
    structure: &'a Structure,
    trace: &'a Trace,
    find: Find<'a>,
    limits: &'a Limits,
    steps: u64,
    tensors: Vec<Tensor>,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, name: &str, depth: usize) -> Result<()> {
        self.steps += 1;
        // What is shared is reached by many names; a structure that holds itself, by endlessly many.
        Error::bound(FORMAT, "values", self.steps, 10 * self.limits.tensors)?;
        let Some(node) = self.structure.node(value).filter(|_| depth < self.limits.depth) else {
            return Ok(());
        };
        if node.cut {
            return Err(Error::malformed(
                FORMAT,
                0,
                format!("{name:?} holds more than is kept"),
            ));
        }
        if let Some(tensor) = self.tensor(value, name)? {
            Error::bound(
                FORMAT,
                "tensors",
                self.tensors.len() as u64 + 1,
                self.limits.tensors,
            )?;
            self.tensors.push(tensor);
            return Ok(());
        }
        let below = |key: &str| match name {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        };
        let structure = self.structure;
        if matches!(node.kind, Kind::List | Kind::Tuple) {
            for (at, item) in node.items.iter().enumerate() {
                self.value(item, &below(&at.to_string()), depth + 1)?;
            }
            return Ok(());
        }
        for (key, item) in structure.pairs(value) {
            match key {
                Value::Text(key) => self.value(item, &below(key), depth + 1)?,
                Value::Int(key) => self.value(item, &below(&key.to_string()), depth + 1)?,
                _ => {}
            }
        }
        // A module that was saved whole keeps its tensors under these names, and its parts under their own.
        if let Some(call) = &node.call {
            if structure.get(&call.state, "_modules").is_none() {
                return self.value(&call.state, name, depth + 1);
            }
            for kept in ["_parameters", "_buffers", "_modules"] {
                if let Some(held) = structure.get(&call.state, kept) {
                    self.value(held, name, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// The tensor that a call of torch rebuilds, if it is one.
    fn tensor(&self, value: &Value, name: &str) -> Result<Option<Tensor>> {
        let Some(call) = self.structure.call(value) else {
            return Ok(None);
        };
        let Value::Global(at) = call.callee else {
            return Ok(None);
        };
        let global = &self.trace.globals[at];
        let Some(arguments) = self.structure.tuple(&call.arguments) else {
            return Ok(None);
        };
        if !global.module.starts_with("torch.") {
            return Ok(None);
        }
        match (global.name.as_str(), arguments) {
            ("_rebuild_tensor_v2" | "_rebuild_tensor", [storage, offset, size, stride, ..]) => {
                self.rebuilt(name, storage, offset, size, stride, None).map(Some)
            }
            ("_rebuild_tensor_v3", [storage, offset, size, stride, _, _, Value::Global(kind), ..]) => {
                let kind = dtype(&self.trace.globals[*kind].name);
                self.rebuilt(name, storage, offset, size, stride, kind).map(Some)
            }
            ("_rebuild_parameter" | "_rebuild_parameter_with_state", [data, ..]) => self.tensor(data, name),
            _ => Ok(None),
        }
    }

    fn rebuilt(
        &self,
        name: &str,
        storage: &Value,
        offset: &Value,
        size: &Value,
        stride: &Value,
        kind: Option<&'static str>,
    ) -> Result<Tensor> {
        let malformed = |what| Error::malformed(FORMAT, 0, format!("the tensor {name:?} {what}"));
        let id = self.structure.node(storage).and_then(|node| node.items.first());
        let storage = id
            .and_then(|id| self::storage(self.structure, self.trace, id))
            .ok_or_else(|| malformed("has a storage of no known type"))?;
        let (shape, stride) = (self.sides(size), self.sides(stride));
        let (Some(shape), Some(stride)) = (shape, stride) else {
            return Err(malformed("has no shape"));
        };
        if shape.len() > self.limits.dimensions || shape.len() != stride.len() {
            return Err(malformed("has no shape"));
        }
        let dtype = kind.unwrap_or(storage.dtype);
        let element = bits(dtype).map_or(storage.element_bytes, |bits| bits / 8);
        let length = elements(&shape)
            .and_then(|count| count.checked_mul(element))
            .ok_or_else(|| malformed("is larger than 64 bits can say"))?;
        let Value::Int(offset) = *offset else {
            return Err(malformed("has no place in its storage"));
        };
        let range = u64::try_from(offset)
            .ok()
            .filter(|_| is_contiguous(&shape, &stride))
            .and_then(|offset| {
                let start = offset.checked_mul(element)?;
                let place = (self.find)(&storage.key)?;
                let fits = start.checked_add(length)? <= place.length;
                fits.then_some(ByteRange {
                    offset: place.offset.checked_add(start)?,
                    length,
                })
            });
        Ok(Tensor {
            name: name.to_owned(),
            dtype: dtype.to_owned(),
            shape,
            range,
        })
    }

    fn sides(&self, value: &Value) -> Option<Vec<u64>> {
        // `torch.Size` is a call with a tuple in a tuple.
        let value = match self.structure.call(value) {
            Some(call) => self.structure.tuple(&call.arguments)?.first()?,
            None => value,
        };
        let sides = self.structure.tuple(value)?.iter();
        sides
            .map(|side| match side {
                Value::Int(side) => u64::try_from(*side).ok(),
                _ => None,
            })
            .collect()
    }
}

/// Whether elements lie one after the other, the last dimension fastest.
fn is_contiguous(shape: &[u64], stride: &[u64]) -> bool {
    let mut expected = 1_u64;
    for (&side, &step) in shape.iter().zip(stride).rev() {
        if side == 0 {
            return true;
        }
        if side != 1 && step != expected {
            return false;
        }
        expected = expected.saturating_mul(side);
    }
    true
}
