use std::io;

use super::*;
use crate::{Bytes, Survey, TensorHasher};

/// Files in memory.
struct Tree(BTreeMap<String, Vec<u8>>);

impl Files for Tree {
    fn list(&self) -> Vec<(String, u64)> {
        self.0
            .iter()
            .map(|(path, bytes)| (path.clone(), bytes.len() as u64))
            .collect()
    }

    fn open(&self, file: usize) -> io::Result<Box<dyn Bytes + '_>> {
        Ok(Box::new(self.0.values().nth(file).unwrap().clone()))
    }
}

impl Tree {
    fn with(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.to_owned(), bytes.into());
        self
    }

    fn without(mut self, path: &str) -> Self {
        self.0.remove(path);
        self
    }

    fn subject(&self) -> Subject<'_> {
        let survey = Survey::new(self, &Limits::default()).unwrap();
        let files = self.0.values().enumerate();
        let hashes = files
            .filter_map(|(n, bytes)| {
                let mut hasher = TensorHasher::new(survey.plan(n)?);
                hasher.update(bytes);
                Some((n, hasher.finish()?))
            })
            .collect();
        Subject {
            files: self,
            digests: self.0.values().map(|bytes| Digest::of(bytes)).collect(),
            record: survey.finish(&hashes),
            metrics: BTreeMap::new(),
            params: BTreeMap::new(),
        }
    }
}

fn weights(values: &[(&str, u8)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    for (n, (name, _)) in values.iter().enumerate() {
        let entry = serde_json::json!({"dtype": "U8", "shape": [2, 2], "data_offsets": [4 * n, 4 * n + 4]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(values.iter().flat_map(|(_, value)| [*value; 4]));
    file
}

fn model() -> Tree {
    Tree(BTreeMap::new())
        .with("model.safetensors", weights(&[("a", 1), ("b", 2), ("c", 3)]))
        .with(
            "config.json",
            r#"{"architectures":["BertModel"],"hidden_size":8,"id2label":{"0":"no"}}"#,
        )
        .with("metrics.json", r#"{"f1":0.9,"loss":1}"#)
        .with("tokenizer.json", r#"{"model":{"vocab":{"x":0,"y":1}}}"#)
        .with("README.md", "---\nlicense: mit\n---\n# Model\n")
}

fn diff(from: &Tree, to: &Tree) -> Diff {
    Diff::new(&from.subject(), &to.subject(), &Limits::default()).unwrap()
}

#[test]
fn the_same_model_has_no_differences() {
    let diff = diff(&model(), &model());
    assert!(diff.is_empty());
    assert_eq!(diff.tensors.unchanged, 3);
    assert_eq!(diff.files.unchanged, 5);
    assert_eq!(diff.incompatible, Vec::<String>::new());
}

#[test]
fn one_tensor_one_metric_and_one_token_are_all_that_is_said() {
    let other = model()
        .with("model.safetensors", weights(&[("a", 1), ("b", 9), ("c", 3)]))
        .with("metrics.json", r#"{"f1":0.95,"loss":1}"#)
        .with("tokenizer.json", r#"{"model":{"vocab":{"x":0,"z":1}}}"#);
    let diff = diff(&model(), &other);
    let tensors: Vec<_> = diff
        .tensors
        .list
        .iter()
        .map(|t| (t.name.as_str(), t.change))
        .collect();
    assert_eq!(tensors, [("b", "changed")]);
    assert_eq!((diff.tensors.changed, diff.tensors.unchanged), (1, 2));
    assert_eq!(diff.metrics.len(), 1);
    assert_eq!(
        (
            diff.metrics[0].name.as_str(),
            diff.metrics[0].from,
            diff.metrics[0].to
        ),
        ("f1", Some(0.9), Some(0.95))
    );
    let tokens: Vec<_> = diff
        .vocabulary
        .list
        .iter()
        .map(|t| (t.token.as_str(), t.from, t.to))
        .collect();
    assert_eq!(tokens, [("y", Some(1), None), ("z", None, Some(1))]);
    assert_eq!(diff.incompatible, ["vocabulary: tokens 1 added, 1 removed"]);
    assert_eq!(diff.record, []);
    assert_eq!(diff.texts.card, []);
    let fetch =
        ["model.safetensors", "metrics.json", "tokenizer.json"].map(|path| other.0[path].len() as u64);
    assert_eq!(diff.files.bytes_to_fetch, fetch.iter().sum::<u64>());
}

#[test]
fn keys_license_and_architecture_are_told() {
    let other = model()
        .with(
            "config.json",
            r#"{"architectures":["GPT"],"hidden_size":9,"id2label":{"0":"no","1":"yes"}}"#,
        )
        .with(
            "README.md",
            "---\nlicense: apache-2.0\nbase_model: a/b\n---\n# Model\n",
        );
    let diff = diff(&model(), &other);
    let change = |key: &str, from: Option<&str>, to: Option<&str>| KeyChange {
        key: key.to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    assert_eq!(
        diff.texts.config["config.json"],
        [
            change("architectures.0", Some("BertModel"), Some("GPT")),
            change("hidden_size", Some("8"), Some("9")),
            change("id2label.1", None, Some("yes")),
        ]
    );
    assert_eq!(
        diff.texts.card,
        [
            change("base_model", None, Some("a/b")),
            change("license", Some("mit"), Some("apache-2.0")),
        ]
    );
    assert!(
        diff.record
            .contains(&change("license", Some("mit"), Some("apache-2.0")))
    );
    assert_eq!(
        diff.incompatible,
        [
            "architecture: BertModel is now GPT",
            "architecture: hidden_size was 8 and is 9",
        ]
    );
}

#[test]
fn files_that_moved_are_not_new() {
    let weights = model().0["model.safetensors"].clone();
    let other = model()
        .without("model.safetensors")
        .with("sub/m.safetensors", weights)
        .without("README.md")
        .with("new", "n");
    let diff = diff(&model(), &other);
    assert_eq!(diff.files.renamed.len(), 1);
    assert_eq!(diff.files.renamed[0].to, "sub/m.safetensors");
    assert_eq!(
        diff.files.added,
        [Sized {
            path: "new".into(),
            size: 1
        }]
    );
    assert_eq!(diff.files.removed[0].path, "README.md");
    assert_eq!(diff.files.bytes_to_fetch, 1);
    assert!(diff.tensors.is_empty());
}

#[test]
fn a_tensor_that_several_parts_of_a_model_have_is_compared_in_each() {
    let parts = |second: u8| {
        Tree(BTreeMap::new())
            .with("m-00001-of-00002.safetensors", weights(&[("a", second)]))
            .with("m-00002-of-00002.safetensors", weights(&[("a", 2)]))
    };
    let (from, to) = (parts(1), parts(7));
    let found = Diff::new(&from.subject(), &to.subject(), &Limits::default()).unwrap();
    assert_eq!((found.tensors.changed, found.tensors.unchanged), (1, 1));
    assert_eq!(found.tensors.list[0].file, "m-00001-of-00002.safetensors");
}

#[test]
fn tensors_may_move_between_the_parts_of_a_model() {
    let other = model()
        .without("model.safetensors")
        .with("model-00001-of-00002.safetensors", weights(&[("b", 2)]))
        .with(
            "model-00002-of-00002.safetensors",
            weights(&[("c", 3), ("a", 1), ("d", 4)]),
        );
    let diff = diff(&model(), &other);
    let tensors: Vec<_> = diff
        .tensors
        .list
        .iter()
        .map(|t| (t.name.as_str(), t.change))
        .collect();
    assert_eq!(tensors, [("d", "added")]);
    assert_eq!(diff.tensors.unchanged, 3);
}

#[test]
fn a_tensor_that_nobody_hashed_is_not_called_the_same() {
    let (old, new) = (
        model(),
        model().with("model.safetensors", weights(&[("a", 1), ("b", 9), ("c", 3)])),
    );
    let mut from = old.subject();
    for row in &mut from.record.tensors.as_mut().unwrap().rows {
        row.hash = None;
    }
    let diff = Diff::new(&from, &new.subject(), &Limits::default()).unwrap();
    assert_eq!((diff.tensors.unknown, diff.tensors.unchanged), (3, 0));
    let diff = Diff::new(&from, &old.subject(), &Limits::default()).unwrap();
    assert_eq!((diff.tensors.unknown, diff.tensors.unchanged), (0, 3));
}
