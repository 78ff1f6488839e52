//! How many parameters a model has, of which the files may hold several copies.

use std::collections::BTreeMap;

use super::Listed;
use crate::{Record, record::Share};

/// Formats in the order in which they speak for the model. A version that has it in several has it once.
const ORDER: [&str; 7] = [".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".onnx"];

/// Counts elements and bytes by dtype. Of several formats the first in [`ORDER`] counts; of several files of one
/// directory that are not parts of one another (quantisations, say) the one with the most elements; directories hold
/// parts of a model, and all count.
pub(super) fn count(listed: &[Listed], files: &[(String, u64)], record: &mut Record) {
    let format = |path: &str| {
        ORDER
            .iter()
            .position(|end| path.ends_with(end))
            .unwrap_or(ORDER.len())
    };
    let Some(first) = listed.iter().map(|tensor| format(&files[tensor.file].0)).min() else {
        return;
    };
    let mut groups: BTreeMap<(String, String), BTreeMap<&str, Share>> = BTreeMap::new();
    for tensor in listed {
        let path = &files[tensor.file].0;
        if format(path) != first {
            continue;
        }
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let group = groups.entry((directory.to_owned(), family(name))).or_default();
        let share = group.entry(&tensor.dtype).or_default();
        let elements = crate::tensor::elements(&tensor.shape).unwrap_or(u64::MAX);
        share.tensors += 1;
        share.parameters = share.parameters.saturating_add(elements);
        share.bytes = share
            .bytes
            .saturating_add(tensor.place.map_or(0, |(_, range)| range.length));
    }
    let mut largest: BTreeMap<String, (u64, BTreeMap<&str, Share>)> = BTreeMap::new();
    for ((directory, _), group) in groups {
        let parameters = group
            .values()
            .fold(0_u64, |sum, share| sum.saturating_add(share.parameters));
        match largest.get(&directory) {
            Some((most, _)) if *most >= parameters => {}
            _ => {
                largest.insert(directory, (parameters, group));
            }
        }
    }
    let mut total = 0_u64;
    for (parameters, group) in largest.into_values() {
        total = total.saturating_add(parameters);
        for (dtype, share) in group {
            let sum = record.dtypes.entry(dtype.to_owned()).or_default();
            sum.tensors += share.tensors;
            sum.parameters = sum.parameters.saturating_add(share.parameters);
            sum.bytes = sum.bytes.saturating_add(share.bytes);
        }
    }
    record.parameters = Some(total);
}

/// The name of a file without its number, if it is one of several: `model-00001-of-00003.safetensors`.
fn family(name: &str) -> String {
    match part(name) {
        Some((before, _, count, after)) => format!("{before}-of-{count}{after}"),
        None => name.to_owned(),
    }
}

/// Takes the name of a part of a model to pieces: what comes before, number, how many there are, what comes after.
pub(crate) fn part(name: &str) -> Option<(&str, u64, u64, &str)> {
    let (front, back) = name.rsplit_once("-of-")?;
    let (before, number) = front.rsplit_once('-')?;
    let end = back.find(|c: char| !c.is_ascii_digit()).unwrap_or(back.len());
    let (count, after) = back.split_at(end);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(number) || !is_number(count) {
        return None;
    }
    Some((before, number.parse().ok()?, count.parse().ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(tensors: &[(&str, &[u64])]) -> Option<u64> {
        let mut files: Vec<(String, u64)> = tensors.iter().map(|(path, _)| ((*path).to_owned(), 0)).collect();
        files.sort();
        files.dedup();
        let listed: Vec<Listed> = tensors
            .iter()
            .map(|(path, shape)| Listed {
                file: files.iter().position(|(other, _)| other == path).unwrap(),
                name: String::new(),
                dtype: "F32".to_owned(),
                shape: shape.to_vec(),
                place: None,
            })
            .collect();
        let mut record = Record::default();
        count(&listed, &files, &mut record);
        record.parameters
    }

    #[test]
    fn a_model_that_is_there_several_times_counts_once() {
        let shards: [(&str, &[u64]); 2] = [
            ("m-00001-of-00002.safetensors", &[2, 3]),
            ("m-00002-of-00002.safetensors", &[4]),
        ];
        assert_eq!(parameters(&shards), Some(10));
        assert_eq!(
            parameters(&[
                ("model.safetensors", &[6]),
                ("pytorch_model.bin", &[6]),
                ("onnx/model.onnx", &[7])
            ]),
            Some(6)
        );
        assert_eq!(parameters(&[("q4.gguf", &[6]), ("q8.gguf", &[6])]), Some(6));
        assert_eq!(
            parameters(&[("unet/model.safetensors", &[6]), ("vae/model.safetensors", &[5])]),
            Some(11)
        );
        assert_eq!(parameters(&[("x.onnx", &[u64::MAX, 2])]), Some(u64::MAX));
        assert_eq!(parameters(&[]), None);
    }

    #[test]
    fn parts_are_told_by_their_names() {
        assert_eq!(part("m-00002-of-00003.gguf"), Some(("m", 2, 3, ".gguf")));
        for name in [
            "model.gguf",
            "a-of-b.gguf",
            "one-1-of-.gguf",
            "m--of-3",
            "1-of-2",
            "m-9999999999999999999999-of-2.x",
        ] {
            assert_eq!(part(name), None, "{name}");
        }
    }
}
