//! A home directory of its own for each test, and the binary in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// What a run printed, and how it ended.
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file and the directories above it.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A small model with a large file, small files and a directory.
    pub(crate) fn model(&self, directory: &str) {
        self.write(&format!("{directory}/model.safetensors"), noise(9 << 20, 1));
        self.write(&format!("{directory}/config.json"), "{\"hidden_size\": 32}");
        self.write(&format!("{directory}/1_Pooling/config.json"), "{}");
        self.write(
            &format!("{directory}/README.md"),
            "---\nlicense: apache-2.0\n---\n# A tiny model\n\ntext\n",
        );
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modelkeep"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MODELKEEP_HOME", self.store())
            .env("MODELKEEP_AUTHOR", "Ada")
            .env("MODELKEEP_SETTLE", "20ms")
            // Nobody's credentials but those of the test.
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs what must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        run
    }

    /// Runs what must succeed and print JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.ok(&arguments).stdout).unwrap()
    }

    /// Runs what must print JSON and say by `code` that something is wrong.
    #[track_caller]
    pub(crate) fn refused_check(&self, arguments: &[&str], code: i32) -> Value {
        let run = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.stdout, run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// Runs what must be refused with `code`, and with `text` in the message.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str], code: i32, text: &str) -> Run {
        let run = self.refused_after_text(arguments, code, text);
        assert!(run.stderr.starts_with("error: "), "{arguments:?}: {}", run.stderr);
        run
    }

    /// As [`Home::refused`], where something was said on stderr before.
    #[track_caller]
    pub(crate) fn refused_after_text(&self, arguments: &[&str], code: i32, text: &str) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, code, "{arguments:?}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(text), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("error: "), "{arguments:?}: {}", run.stderr);
        run
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

/// Bytes that do not compress, the same for the same seed (xorshift64*).
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Every file below a directory, by relative path.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    fn walk(root: &Path, directory: &Path, files: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}

#[track_caller]
pub(crate) fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    assert!(a == b, "same names, other bytes");
}
