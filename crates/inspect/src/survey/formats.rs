//! Files with tensors.

use std::collections::{BTreeMap, BTreeSet};

use modelkeep_core::{ByteRange, ModelPath};

use super::{Listed, Looking, SurveyError, groups::part};
use crate::{Tensor, gguf, keras, numpy, onnx, record::Tokenizer, safetensors};

/// What a file with tensors is, by its name; pickles are looked at elsewhere.
#[derive(Clone, Copy)]
enum Format {
    Safetensors,
    Gguf,
    Onnx,
    Array,
    Arrays,
    Keras,
}

impl Format {
    fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (_, end) = name.rsplit_once('.')?;
        Some(match end {
            "safetensors" => Self::Safetensors,
            "gguf" => Self::Gguf,
            "onnx" => Self::Onnx,
            "npy" => Self::Array,
            "npz" => Self::Arrays,
            "keras" => Self::Keras,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Gguf => "gguf",
            Self::Onnx => "onnx",
            Self::Array | Self::Arrays => "numpy",
            Self::Keras => "keras",
        }
    }
}

/// Looks at each file that has the name of a model file.
pub(super) fn look(looking: &mut Looking<'_>) -> Result<(), SurveyError> {
    let is_index = |path: &str| path.ends_with(".safetensors.index.json");
    // Names that an index is compared with, if there is one.
    let is_indexed = looking.list.iter().any(|(path, _)| is_index(path));
    let mut tensors: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for file in 0..looking.list.len() {
        let Some(format) = Format::of(&looking.list[file].0) else {
            super::pickled::look(looking, file)?;
            continue;
        };
        looking.record.formats.push(format.name().to_owned());
        match format {
            Format::Safetensors => {
                if let Some(read) = looking.read(file, safetensors::read)? {
                    if is_indexed {
                        let names = read.tensors.iter().map(|tensor| tensor.name.clone());
                        tensors.insert(file, names.collect());
                    }
                    list(looking, file, read.tensors);
                }
            }
            Format::Gguf => {
                if let Some(read) = looking.read(file, gguf::read)? {
                    apply_gguf(looking, &read.metadata);
                    list(looking, file, read.tensors);
                }
            }
            Format::Onnx => {
                if let Some(read) = looking.read(file, onnx::read)? {
                    add_onnx(looking, file, read);
                }
            }
            Format::Array => {
                if let Some(mut read) = looking.read(file, numpy::read)? {
                    read.name = stem(&looking.list[file].0).to_owned();
                    list(looking, file, vec![read]);
                }
            }
            Format::Arrays => {
                if let Some(read) = looking.read(file, numpy::read_archive)? {
                    list(looking, file, read);
                }
            }
            Format::Keras => {
                if let Some(read) = looking.read(file, keras::read)? {
                    let record = &mut looking.record;
                    record.architecture = record.architecture.take().or(read.class);
                    record.library.get_or_insert_with(|| "keras".to_owned());
                    if record.inputs.is_empty() {
                        record.inputs = read.inputs;
                    }
                }
            }
        }
    }
    for file in 0..looking.list.len() {
        if is_index(&looking.list[file].0) {
            check_index(looking, file, &tensors)?;
        }
    }
    check_parts(looking);
    Ok(())
}

pub(super) fn list(looking: &mut Looking<'_>, file: usize, tensors: Vec<Tensor>) {
    for tensor in tensors {
        looking.add(Listed {
            file,
            name: tensor.name,
            dtype: tensor.dtype,
            shape: tensor.shape,
            place: tensor.range.map(|range| (file, range)),
        });
    }
}

/// The name of a file without directory and ending.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn add_onnx(looking: &mut Looking<'_>, file: usize, read: onnx::Onnx) {
    let record = &mut looking.record;
    // The first graph speaks for the model: the others are the same in other precisions, or parts of it.
    if record.inputs.is_empty() && record.outputs.is_empty() {
        record.inputs = read.inputs;
        record.outputs = read.outputs;
        record.opsets = read.opsets;
    }
    let mut problems = BTreeSet::new();
    for tensor in read.initializers {
        let place = match tensor.data {
            onnx::Data::Scattered => None,
            onnx::Data::Here(range) => Some((file, range)),
            onnx::Data::External {
                location,
                offset,
                length,
            } => match external(looking, file, &location, offset, length) {
                Ok(place) => place,
                Err(problem) => {
                    problems.insert(format!("{:?} {problem}", tensor.name));
                    None
                }
            },
        };
        looking.add(Listed {
            file,
            name: tensor.name,
            dtype: tensor.dtype,
            shape: tensor.shape,
            place,
        });
    }
    for problem in problems.into_iter().take(10) {
        looking.problem(file, problem);
    }
}

/// The bytes of a tensor in another file of the version, which must be beside or below the graph.
fn external(
    looking: &Looking<'_>,
    file: usize,
    location: &str,
    offset: u64,
    length: Option<u64>,
) -> Result<Option<(usize, ByteRange)>, String> {
    let is_plain = location.parse::<ModelPath>().is_ok();
    let held = looking.find(&format!("{}{location}", directory(&looking.list[file].0)));
    let Some(held) = held.filter(|_| is_plain) else {
        return Err(format!("lies in {location:?}, which is no file of the model"));
    };
    let Some(length) = length else {
        return Ok(None);
    };
    let range = ByteRange { offset, length };
    match range.end().filter(|&end| end <= looking.list[held].1) {
        Some(_) => Ok(Some((held, range))),
        None => Err(format!("lies past the end of {location:?}")),
    }
}

/// The directory of a file, with a slash at its end if it is not the top.
fn directory(path: &str) -> String {
    path.rsplit_once('/')
        .map_or(String::new(), |(directory, _)| format!("{directory}/"))
}

/// Makes sure that each tensor is in the file in which the index says that it is.
fn check_index(
    looking: &mut Looking<'_>,
    file: usize,
    tensors: &BTreeMap<usize, BTreeSet<String>>,
) -> Result<(), SurveyError> {
    let Some(index) = looking.read(file, safetensors::read_index)? else {
        return Ok(());
    };
    let path = &looking.list[file].0;
    let directory = path
        .rsplit_once('/')
        .map_or(String::new(), |(directory, _)| format!("{directory}/"));
    let mut missing = BTreeSet::new();
    for (tensor, shard) in &index.weight_map {
        let held = match looking.find(&format!("{directory}{shard}")) {
            None => {
                missing.insert(format!("it names the file {shard:?}, which is not there"));
                continue;
            }
            Some(held) => held,
        };
        if tensors.get(&held).is_some_and(|names| !names.contains(tensor)) {
            missing.insert(format!(
                "it says that {tensor:?} is in {shard:?}, which does not have it"
            ));
        }
    }
    for problem in missing.into_iter().take(10) {
        looking.problem(file, problem);
    }
    Ok(())
}

/// Says which parts of a model in several files are not there.
fn check_parts(looking: &mut Looking<'_>) {
    let mut families: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (file, (path, _)) in looking.list.iter().enumerate() {
        if let Some((before, _, count, after)) = part(path)
            && matches!(after, ".gguf" | ".safetensors")
        {
            families.entry((before, after, count)).or_default().push(file);
        }
    }
    let incomplete: Vec<(usize, String)> = families
        .into_iter()
        .filter(|((_, _, count), parts)| parts.len() as u64 != *count)
        .map(|((_, _, count), parts)| {
            (
                parts[0],
                format!("it is one of {count} parts, of which {} are there", parts.len()),
            )
        })
        .collect();
    for (file, problem) in incomplete {
        looking.problem(file, problem);
    }
}

fn apply_gguf(looking: &mut Looking<'_>, metadata: &BTreeMap<String, gguf::Value>) {
    let record = &mut looking.record;
    let text = |key: &str| {
        metadata
            .get(key)
            .and_then(gguf::Value::text)
            .and_then(crate::text::kept)
    };
    let Some(architecture) = text("general.architecture") else {
        return;
    };
    let sizes = [
        ("hidden_size", "embedding_length"),
        ("num_hidden_layers", "block_count"),
        ("num_attention_heads", "attention.head_count"),
        ("num_key_value_heads", "attention.head_count_kv"),
        ("intermediate_size", "feed_forward_length"),
        ("max_position_embeddings", "context_length"),
        ("vocab_size", "vocab_size"),
    ];
    for (name, key) in sizes {
        let value = metadata.get(&format!("{architecture}.{key}"));
        if let Some(size) = value.and_then(gguf::Value::unsigned) {
            record.sizes.insert(name.to_owned(), size);
        }
    }
    record.architecture.get_or_insert(architecture);
    if let Some(license) = text("general.license") {
        record.license.get_or_insert(license);
    }
    let file_type = metadata.get("general.file_type").and_then(gguf::Value::unsigned);
    if let Some(name) = file_type.and_then(gguf::file_type) {
        let name = name.to_owned();
        // Several quantisations may lie side by side.
        record.quantization = Some(match record.quantization.take() {
            Some(others) if others.split(", ").any(|other| other == name) => others,
            Some(others) => format!("{others}, {name}"),
            None => name,
        });
    }
    if let Some(gguf::Value::List {
        elements,
        fingerprint,
    }) = metadata.get("tokenizer.ggml.tokens")
    {
        record.tokenizer.get_or_insert_with(|| Tokenizer {
            kind: text("tokenizer.ggml.model"),
            vocabulary: Some(*elements),
            fingerprint: Some(fingerprint.clone()),
            ..Tokenizer::default()
        });
    }
}
