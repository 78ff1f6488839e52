//! What a model is, from the headers of its files.
//!
//! Model files are read, never run: nothing is unpickled, no graph is executed, no template is rendered, no code of a
//! repository is imported. A reader takes a [`Bytes`], which gives any run of bytes of a file wherever the file lies (on
//! the disk, or in a layer on a registry), and reads the header and what the header points at; weights stay where they
//! are.
//!
//! Whatever is in a file may have been put there by somebody who wishes us ill. Each reader checks what it reads before
//! it believes it, says by a typed [`Error`] what is wrong and at which byte, and stays within [`Limits`]: no count or
//! length of a file decides how much memory is taken.

#![forbid(unsafe_code)]

mod bytes;
pub mod danger;
pub mod diff;
mod error;
pub mod gguf;
mod hash;
pub mod inflate;
mod json;
pub mod keras;
mod limits;
pub mod numpy;
pub mod onnx;
pub mod pickle;
pub mod pickled;
mod reader;
pub mod record;
pub mod safetensors;
mod survey;
mod tensor;
mod text;
pub mod torch;
mod yaml;
pub mod zip;

pub use bytes::{Bytes, Disk, Part};
pub use diff::Diff;
pub use error::{Error, Result};
pub use hash::{Plan, TensorHasher};
pub use limits::Limits;
pub use reader::Reader;
pub use record::Record;
pub use survey::{Files, Hashes, Survey, SurveyError};
pub use tensor::Tensor;
pub use text::tokenizer::{Vocabulary, is_vocabulary};
