//! Arrays that joblib writes between the opcodes, behind the BUILD of a `NumpyArrayWrapper`
//! (`joblib.numpy_pickle`, 0.10 and later).

use super::{Global, Structure, Value};

/// What lies between the opcodes.
pub(super) enum Raw {
    /// So many bytes of elements, with padding before them if the wrapper says so.
    Elements { bytes: u64, padded: bool },
    /// Another pickle.
    Pickle,
}

const WRAPPER: (&str, &str) = ("joblib.numpy_pickle", "NumpyArrayWrapper");

/// What follows the BUILD of `value`: `None` if it is no array, an error text if it cannot be told.
pub(super) fn raw(
    structure: &Structure,
    globals: &[Global],
    value: &Value,
) -> Option<Result<Raw, &'static str>> {
    let call = structure.call(value)?;
    if !is(globals, &call.callee, WRAPPER) {
        return None;
    }
    Some(describe(structure, globals, &call.state).ok_or("an array of joblib does not say what it is"))
}

fn describe(structure: &Structure, globals: &[Global], state: &Value) -> Option<Raw> {
    let shape = structure.tuple(structure.get(state, "shape")?)?;
    let count = shape.iter().try_fold(1_u64, |count, side| match side {
        Value::Int(side) => count.checked_mul(u64::try_from(*side).ok()?),
        _ => None,
    })?;
    let padded = structure
        .get(state, "numpy_array_alignment_bytes")
        .is_some_and(|bytes| *bytes != Value::None);
    Some(
        match item_size(structure, globals, structure.get(state, "dtype")?)? {
            None => Raw::Pickle,
            Some(size) => Raw::Elements {
                bytes: count.checked_mul(size)?,
                padded,
            },
        },
    )
}

/// Bytes of an element of a `numpy.dtype`; `Some(None)` where it holds objects.
fn item_size(structure: &Structure, globals: &[Global], dtype: &Value) -> Option<Option<u64>> {
    const HAS_OBJECT: i64 = 1;
    let call = structure.call(dtype)?;
    if !is(globals, &call.callee, ("numpy", "dtype")) {
        // numpy 2 names the classes of its types: `numpy.dtypes.Float64DType`. They hold no objects, but one.
        return None;
    }
    let Value::Text(code) = structure.tuple(&call.arguments)?.first()? else {
        return None;
    };
    let (letter, digits) = code.split_at_checked(1)?;
    let size: u64 = digits.parse().ok()?;
    let state = structure.tuple(&call.state);
    let flags = state.and_then(|state| match state.get(7) {
        Some(Value::Int(flags)) => Some(*flags),
        _ => None,
    });
    Some(match letter {
        "O" => None,
        // Four bytes for a character.
        "U" => Some(size.checked_mul(4)?),
        "V" if flags? & HAS_OBJECT != 0 => None,
        "V" | "S" | "b" | "i" | "u" | "f" | "c" | "M" | "m" => Some(size),
        _ => return None,
    })
}

fn is(globals: &[Global], value: &Value, (module, name): (&str, &str)) -> bool {
    match value {
        Value::Global(at) => globals
            .get(*at)
            .is_some_and(|global| global.module == module && global.name == name),
        _ => false,
    }
}
