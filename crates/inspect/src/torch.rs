//! Checkpoints of PyTorch: which tensors they hold, and where.
//!
//! Since 1.6 a checkpoint is a ZIP archive with a pickle and a member for each storage; before, a file of five pickles
//! and the storages behind them (`torch/serialization.py`).

mod tensors;

pub(crate) use tensors::class;

use modelkeep_core::ByteRange;

use crate::{
    Bytes, Error, Limits, Reader, Result, Tensor,
    pickle::{self, Kind, Structure, Trace, Value},
    zip,
};

const FORMAT: &str = "checkpoint of PyTorch";
/// The first pickle of the older format, as its 80-bit integer is written.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The tensors, in the order in which they are reached.
    pub tensors: Vec<Tensor>,
    /// The class of what was saved, if it is an object and not only names and tensors.
    pub class: Option<String>,
}

/// Reads the structure of a checkpoint. No storage is read.
///
/// # Errors
/// [`Error`]: what is none, or has no tensors where it says.
pub fn read(bytes: &dyn Bytes, limits: &Limits) -> Result<Checkpoint> {
    let mut reader = Reader::new(bytes, FORMAT);
    if reader.left() >= 4 && &reader.array::<4>()? == b"PK\x03\x04" {
        return read_archive(bytes, limits);
    }
    read_legacy(bytes, limits)
}

fn read_archive(bytes: &dyn Bytes, limits: &Limits) -> Result<Checkpoint> {
    let archive = zip::read(bytes, limits)?;
    let malformed = |problem| Error::malformed(FORMAT, 0, problem);
    let is_pickle = |name: &str| {
        name.strip_suffix("data.pkl")
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let member = archive
        .members
        .iter()
        .find(|member| is_pickle(&member.name))
        .ok_or_else(|| malformed("it holds no data.pkl"))?;
    let prefix = member.name.strip_suffix("data.pkl").unwrap_or_default();
    let content = member
        .open(bytes)
        .ok_or_else(|| malformed("its data.pkl cannot be read"))?;
    let mut trace = Trace::default();
    let structure = pickle::read(&mut Reader::new(&content, FORMAT), &mut trace)?;
    // Members by name: there may be as many as tensors.
    let mut places = std::collections::HashMap::new();
    for member in &archive.members {
        if let Some(key) = member
            .name
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix("data/"))
            && let (0, Some(offset)) = (member.method, member.data)
        {
            let length = member.size;
            places.insert(key.to_owned(), ByteRange { offset, length });
        }
    }
    tensors::collect(&structure, &trace, &|key| places.get(key).copied(), limits)
}

fn read_legacy(bytes: &dyn Bytes, limits: &Limits) -> Result<Checkpoint> {
    let mut reader = Reader::new(bytes, FORMAT);
    let mut trace = Trace::default();
    let first = pickle::read(&mut reader, &mut trace)?;
    if !is_legacy_magic(&first) {
        return Err(Error::malformed(
            FORMAT,
            0,
            "it does not begin with the magic number",
        ));
    }
    let (structure, places) = legacy(&mut reader, &mut trace)?;
    tensors::collect(&structure, &trace, &|key| places.get(key).copied(), limits)
}

/// Whether a pickle is the first of a checkpoint in the older format.
pub(crate) fn is_legacy_magic(structure: &Structure) -> bool {
    matches!(structure.root(), Value::Long(bytes) if **bytes == MAGIC)
}

/// Goes over the rest of a checkpoint in the older format, after its magic number, to the end of the file.
pub(crate) fn skip_legacy(reader: &mut Reader<'_>, trace: &mut Trace) -> Result<()> {
    legacy(reader, trace)?;
    if reader.left() > 0 {
        return Err(reader.malformed("bytes follow the last storage"));
    }
    Ok(())
}

type Places = std::collections::HashMap<String, ByteRange>;

fn legacy(reader: &mut Reader<'_>, trace: &mut Trace) -> Result<(Structure, Places)> {
    // The version of the format, and what the machine was.
    pickle::read(reader, trace)?;
    pickle::read(reader, trace)?;
    let structure = pickle::read(reader, trace)?;
    let keys = pickle::read(reader, trace)?;
    let mut sizes = std::collections::HashMap::new();
    for node in structure.nodes().filter(|node| node.kind == Kind::Persistent) {
        if let Some(storage) = node
            .items
            .first()
            .and_then(|id| tensors::storage(&structure, trace, id))
        {
            sizes.insert(storage.key, storage.element_bytes);
        }
    }
    let mut places = Places::new();
    let listed = keys
        .node(keys.root())
        .map_or(&[][..], |node| node.items.as_slice());
    for key in listed {
        let Value::Text(key) = key else {
            return Err(reader.malformed("the key of a storage is no text"));
        };
        let count = u64::from_le_bytes(reader.array()?);
        let element = sizes
            .get(&**key)
            .ok_or_else(|| reader.malformed(format!("nothing says what the storage {key:?} is")))?;
        let length = count
            .checked_mul(*element)
            .ok_or_else(|| reader.malformed(format!("the storage {key:?} is too long")))?;
        let offset = reader.position();
        reader.skip(length)?;
        places.insert(key.to_string(), ByteRange { offset, length });
    }
    Ok((structure, places))
}

#[cfg(test)]
mod tests;
