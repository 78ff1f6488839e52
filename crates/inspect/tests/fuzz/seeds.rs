//! Files from which broken ones are made.

use std::{collections::BTreeMap, io};

use modelkeep_core::Digest;
use modelkeep_inspect::{Bytes, Diff, Files, Limits, Record, Survey, diff::Subject};

pub(crate) fn safetensors() -> Vec<Vec<u8>> {
    let headers = [
        r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[],"data_offsets":[16,18]}}"#,
        r#"{"x.weight":{"dtype":"U8","shape":[0,3],"data_offsets":[0,0]},"y":{"dtype":"F8_E4M3","shape":[18],"data_offsets":[0,18]}}  "#,
    ];
    let file = |header: &&str| {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend([7; 18]);
        file
    };
    headers.iter().map(file).collect()
}

pub(crate) fn gguf() -> Vec<Vec<u8>> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let kind = |kind: u32| kind.to_le_bytes().to_vec();
    let list = [kind(8), 2_u64.to_le_bytes().to_vec(), text("<s>"), text("a")].concat();
    let nested = [
        kind(9),
        1_u64.to_le_bytes().to_vec(),
        kind(4),
        1_u64.to_le_bytes().to_vec(),
        vec![1, 0, 0, 0],
    ]
    .concat();
    let entries = [
        [text("general.architecture"), kind(8), text("llama")].concat(),
        [text("general.alignment"), kind(4), 32_u32.to_le_bytes().to_vec()].concat(),
        [text("tokenizer.ggml.tokens"), kind(9), list].concat(),
        [text("nested"), kind(9), nested].concat(),
        [text("llama.block_count"), kind(10), 1_u64.to_le_bytes().to_vec()].concat(),
        [text("yes"), kind(7), vec![1]].concat(),
    ];
    let tensor = [
        text("w"),
        kind(2),
        32_u64.to_le_bytes().to_vec(),
        1_u64.to_le_bytes().to_vec(),
        kind(2),
        0_u64.to_le_bytes().to_vec(),
    ];
    let mut file = [
        b"GGUF".to_vec(),
        kind(3),
        1_u64.to_le_bytes().to_vec(),
        6_u64.to_le_bytes().to_vec(),
    ]
    .concat();
    file.extend(entries.concat());
    file.extend(tensor.concat());
    file.resize(file.len().next_multiple_of(32) + 18, 0);
    let mut first = b"GGUF".to_vec();
    first.extend([1_u32, 0, 1, 1].iter().flat_map(|number| number.to_le_bytes()));
    first.extend(b"k\x05\0\0\0\x01\0\0\0");
    vec![file, first]
}

pub(crate) fn onnx() -> Vec<Vec<u8>> {
    let run = |field: u8, bytes: &[u8]| [&[field << 3 | 2, bytes.len() as u8][..], bytes].concat();
    let tensor = [run(1, &[2, 1]), vec![0x10, 1], run(8, b"w"), run(9, &[0; 8])].concat();
    let outer = [
        vec![0x08, 4, 0x10, 1],
        run(8, b"o"),
        run(13, &[run(1, b"location"), run(2, b"w.bin")].concat()),
        vec![0x70, 1],
    ]
    .concat();
    let shape = run(2, &[run(1, &run(2, b"n")), run(1, &[0x08, 3])].concat());
    let port = [run(1, b"x"), run(2, &run(1, &[vec![0x08, 1], shape].concat()))].concat();
    let graph = [
        run(1, &run(4, b"Add")),
        run(5, &tensor),
        run(5, &outer),
        run(11, &port),
        run(12, &port),
    ]
    .concat();
    let file = [
        vec![0x08, 8],
        run(2, b"tests"),
        run(7, &graph),
        run(8, &[run(1, b""), vec![0x10, 17]].concat()),
    ]
    .concat();
    vec![file]
}

pub(crate) fn numpy() -> Vec<Vec<u8>> {
    let file = |header: &str| {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend([0; 24]);
        file
    };
    vec![
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n"),
        file("{'descr': [('a', '<f4'), ('b', '<i4', (2,))], 'fortran_order': False, 'shape': (2,), }\n"),
    ]
}

/// Archives of members that are stored as they are.
pub(crate) fn archives() -> Vec<Vec<u8>> {
    let config = r#"{"class_name":"Functional","config":{"layers":[{"class_name":"InputLayer","config":{"name":"x","dtype":"float32","batch_shape":[null,28]}}]}}"#;
    let array = numpy().remove(0);
    vec![
        archive(&[
            ("config.json", config.as_bytes()),
            ("metadata.json", br#"{"keras_version":"3.1"}"#),
        ]),
        archive(&[("a.npy", &array), ("b.npy", &array)]),
    ]
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let at = file.len() as u32;
        let size = (bytes.len() as u32).to_le_bytes();
        // Version, flags, method, time, date, and a sum that the readers of headers do not look at.
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0][..],
            &size,
            &size,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), bytes].concat());
        directory.extend(
            [
                b"PK\x01\x02\x14\0",
                &common[..],
                &[0; 10],
                &at.to_le_bytes(),
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let (count, size, at) = (members.len() as u16, directory.len() as u32, file.len() as u32);
    file.extend(directory);
    file.extend(
        [
            &b"PK\x05\x06\0\0\0\0"[..],
            &count.to_le_bytes(),
            &count.to_le_bytes(),
            &size.to_le_bytes(),
            &at.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    file
}

pub(crate) fn tokenizers() -> Vec<Vec<u8>> {
    [
        r#"{"added_tokens":[{"id":2,"content":"[PAD]"}],"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}"#,
        r#"{"model":{"type":"Unigram","vocab":[["a",-1.5],["b",0]]}}"#,
        r#"{"a":0,"b":1}"#,
        "a\nb\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) fn texts() -> Vec<Vec<u8>> {
    [
        "---\nlicense: mit\nbase_model:\n- a/b\nmodel-index:\n- name: x\n  results:\n  - task: {type: t}\n    dataset: {name: d, type: e}\n    metrics:\n    - {type: f1, value: 0.9}\n---\n# T\n",
        "flavors:\n  sklearn: &a {x: 1}\n  python_function: *a\nsignature:\n  inputs: '[{\"type\": \"double\", \"name\": \"x\"}]'\nrun_id: abc\n",
        r#"{"architectures":["A"],"hidden_size":8,"quantization_config":{"quant_method":"gptq","bits":4},"text_config":{"vocab_size":3}}"#,
        r#"{"f1":0.9,"eval":{"loss":[1,2]},"weight_map":{"a":"model.safetensors"}}"#,
        "- dataset: {id: d, task_id: t}\n  value: 1\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// One file under every name that is looked at.
struct Everywhere<'a>(BTreeMap<&'static str, &'a dyn Bytes>);

struct Borrowed<'a>(&'a dyn Bytes);

impl Bytes for Borrowed<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, into)
    }
}

impl Files for Everywhere<'_> {
    fn list(&self) -> Vec<(String, u64)> {
        self.0
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), bytes.size()))
            .collect()
    }

    fn open(&self, file: usize) -> io::Result<Box<dyn Bytes + '_>> {
        let bytes = self.0.values().nth(file).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Borrowed(*bytes)))
    }
}

/// The files that speak about a model.
const NAMES: [&str; 13] = [
    ".eval_results/a.yaml",
    "MLmodel",
    "README.md",
    "adapter_config.json",
    "config.json",
    "metrics.json",
    "metrics.yaml",
    "model.safetensors.index.json",
    "model_index.json",
    "params.json",
    "params.yaml",
    "special_tokens_map.json",
    "tokenizer_config.json",
];

/// Gives `use_it` what looks at a broken text as at all of the files that speak about a model, and compares it with what
/// it was made of.
pub(crate) fn with_survey(limits: &Limits, use_it: impl FnOnce(&dyn Fn(&dyn Bytes))) {
    let whole = texts().concat();
    let right = Everywhere(NAMES.map(|name| (name, &whole as &dyn Bytes)).into());
    let right = subject(&right, b"right", limits);
    use_it(&|file| {
        let broken = Everywhere(NAMES.map(|name| (name, file)).into());
        let broken = subject(&broken, b"broken", limits);
        let _ = Diff::new(&broken, &right, limits).unwrap();
    });
}

fn subject<'a>(files: &'a Everywhere<'a>, digest: &[u8], limits: &Limits) -> Subject<'a> {
    let survey = Survey::new(files, limits).unwrap();
    let record = survey.finish(&BTreeMap::new());
    // What is recorded can be read again.
    let text = record.to_json();
    assert_eq!(Record::parse(&text).map(|record| record.to_json()), Some(text));
    Subject {
        files,
        digests: vec![Digest::of(digest); files.0.len()],
        record,
        metrics: BTreeMap::new(),
        params: BTreeMap::new(),
    }
}
