//! Pickles of protocols 0 to 5, read by opcode and never run.
//!
//! A pickle is a program for a stack machine. [`read`] follows that program with values that only stand for something:
//! a global is its two names, a call is what is called and with what. Nothing is imported and nothing is built, so what
//! a hostile pickle would do is seen and not done. What the names are is followed through the memo, through strings in
//! every spelling, and through arrays of joblib that lie between the opcodes.
//!
//! The opcodes are those of `pickletools` of CPython; where its C and Python readers differ, the more permissive of them
//! is followed, because that is the one that an attacker chooses.

mod arrays;
mod machine;
mod text;
mod value;

use std::collections::HashMap;

use modelkeep_core::ByteRange;

pub use value::{Call, Kind, Node, Structure, Value};

use crate::{Reader, Result};

pub(crate) const FORMAT: &str = "pickle";

/// What a pickle refers to and does. It is filled while the pickle is read, and holds what was seen before an error too.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The globals, each once.
    pub globals: Vec<Global>,
    /// Calls of what is no global: the result of another call, or something that was not followed.
    pub computed_calls: u64,
    /// Globals whose names are computed, or were not followed.
    pub computed_names: u64,
    /// Attributes that are set on a class, a function or a module itself.
    pub changed_globals: u64,
    /// Codes of the extension registry: they stand for globals that the file does not name.
    pub extensions: u64,
    /// Objects that lie outside the pickle, such as storages of torch.
    pub persistent: u64,
    /// Byte strings that begin as a pickle or an archive does: where they lie in the file.
    pub embedded: Vec<ByteRange>,
    /// The same in texts, from which Python 2 made byte strings; at most 1 MiB in all.
    pub embedded_texts: Vec<Vec<u8>>,
    /// Arrays of joblib between the opcodes.
    pub raw_arrays: u64,
    /// Opcodes.
    pub opcodes: u64,
    /// Where each global is in `globals`.
    known: HashMap<String, usize>,
}

/// Something importable that a pickle names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// The module.
    pub module: String,
    /// The name in it; with dots where it is an attribute of an attribute.
    pub name: String,
    /// Whether it is called.
    pub called: bool,
    /// The arguments of the first call, shortened.
    pub arguments: String,
    /// How the pickle comes to it.
    pub reach: Reach,
}

/// How a pickle comes to a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By its opcodes.
    Direct,
    /// By bytes that joblib takes for an array, and plain pickle for opcodes.
    Hidden,
}

/// How much of a pickle is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) stack: usize,
    pub(crate) memo: usize,
    pub(crate) memo_bytes: usize,
    pub(crate) structure_bytes: usize,
    pub(crate) globals: usize,
    pub(crate) text_bytes: u64,
    pub(crate) depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            stack: 200_000,
            memo: 200_000,
            memo_bytes: 8 << 20,
            structure_bytes: 10 << 20,
            globals: 2_000,
            text_bytes: 4096,
            depth: 8,
        }
    }
}

/// Reads one pickle, up to and with its STOP, and leaves `reader` behind it.
///
/// # Errors
/// [`crate::Error`]: what is no pickle, or is cut off, or nests too deep. What was seen before is in `trace`.
pub fn read(reader: &mut Reader<'_>, trace: &mut Trace) -> Result<Structure> {
    machine::run(reader, trace, &Bounds::default(), 0)
}

#[cfg(test)]
mod tests;
