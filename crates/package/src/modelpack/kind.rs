use crate::layout::LARGE;

/// What a file is to a model (ModelPack, `spec.md`, media types of layers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Weight,
    WeightConfig,
    Doc,
    Code,
    Dataset,
}

/// Endings of names, by what such files are.
const ENDINGS: [(Kind, &[&str]); 5] = [
    (
        Kind::Weight,
        &[
            ".safetensors",
            ".gguf",
            ".ggml",
            ".bin",
            ".pt",
            ".pth",
            ".pt2",
            ".ckpt",
            ".onnx",
            ".onnx_data",
            ".onnx.data",
            ".keras",
            ".h5",
            ".hdf5",
            ".tflite",
            ".pb",
            ".msgpack",
            ".npy",
            ".npz",
            ".pkl",
            ".pickle",
            ".joblib",
            ".mlmodel",
            ".engine",
            ".dduf",
            ".ubj",
        ],
    ),
    (
        Kind::Code,
        &[
            ".py",
            ".ipynb",
            ".sh",
            ".js",
            ".ts",
            ".c",
            ".cc",
            ".cpp",
            ".h",
            ".hpp",
            ".cu",
            ".rs",
            ".go",
            ".java",
            "requirements.txt",
        ],
    ),
    (
        Kind::WeightConfig,
        &[
            ".json",
            ".yaml",
            ".yml",
            ".toml",
            ".ini",
            ".cfg",
            ".xml",
            ".jinja",
            ".model",
            ".vocab",
            ".tiktoken",
            "vocab.txt",
            "merges.txt",
            "mlmodel",
            ".spm",
        ],
    ),
    (
        Kind::Doc,
        &[
            ".md", ".txt", ".rst", ".pdf", ".html", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp",
            "license", "readme", "notice", ".license",
        ],
    ),
    (Kind::Dataset, &[".parquet", ".arrow", ".csv", ".tsv", ".jsonl"]),
];

impl Kind {
    /// What a file is by its name, and whether that is more than a guess: what has an unknown name is weights if it is
    /// large, else something that belongs to them.
    pub(super) fn of(path: &str, size: u64) -> (Self, bool) {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let is_known = |endings: &[&str]| {
            let mut endings = endings.iter();
            endings.any(|ending| match ending.starts_with('.') {
                true => name.ends_with(ending),
                false => name == *ending,
            })
        };
        match ENDINGS.iter().find(|(_, endings)| is_known(endings)) {
            Some((kind, _)) => (*kind, true),
            None if size >= LARGE => (Self::Weight, false),
            None => (Self::WeightConfig, false),
        }
    }

    /// The media type of a layer in `form`: `raw` or `tar`.
    pub(super) fn media_type(self, form: &str) -> String {
        let kind = match self {
            Self::Weight => "weight",
            Self::WeightConfig => "weight.config",
            Self::Doc => "doc",
            Self::Code => "code",
            Self::Dataset => "dataset",
        };
        format!("application/vnd.cncf.model.{kind}.v1.{form}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_file_is_to_a_model() {
        for (path, kind) in [
            ("model-00001-of-00002.safetensors", Kind::Weight),
            ("onnx/Model.ONNX", Kind::Weight),
            ("model.mlmodel", Kind::Weight),
            ("MLmodel", Kind::WeightConfig),
            ("tokenizer.model", Kind::WeightConfig),
            ("vocab.txt", Kind::WeightConfig),
            ("requirements.txt", Kind::Code),
            ("modeling.py", Kind::Code),
            ("notes.txt", Kind::Doc),
            ("LICENSE", Kind::Doc),
            ("data/train.parquet", Kind::Dataset),
        ] {
            assert_eq!(Kind::of(path, 1), (kind, true), "{path}");
        }
        assert_eq!(Kind::of("weights", LARGE), (Kind::Weight, false));
        assert_eq!(Kind::of(".gitattributes", 10), (Kind::WeightConfig, false));
    }
}
