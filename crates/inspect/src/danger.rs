//! What in a model file could do harm to who loads it.
//!
//! [`scan`] looks at a file of any kind, by its content as well as by its name, and into archives. It runs nothing. What
//! it says of a pickle is fail-closed: names on a short list of exact pairs are harmless, known ways to run code are
//! dangerous, and so is what cannot be followed; everything else is reported.

mod archives;
mod documents;
mod jinja;
mod names;
mod numpy;
mod pickles;
mod search;

use std::{borrow::Cow, cmp::Reverse, fmt};

use serde::{Deserialize, Serialize};

use crate::{Bytes, Error, Files, Limits, Reader, Result, SurveyError, pickle, zip};

/// Something that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The path of the file in the model.
    pub file: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is done, as a word that stays the same: `docs/guide/scan.md` lists them.
    pub technique: String,
    /// Where it was seen, and what it was.
    pub detail: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// May be meant well; what runs it trusts who made it.
    Suspicious,
    /// No well-meant model has it, or it cannot be looked into where it would run.
    Dangerous,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Suspicious => "suspicious",
            Self::Dangerous => "dangerous",
        })
    }
}

/// Findings of one file that are kept.
const MOST_FINDINGS: usize = 200;
/// Characters of a detail.
const DETAIL: usize = 500;
/// Archives in archives that are looked into.
const DEPTH: usize = 3;
/// Members, and strings of pickles, that are looked into, all archives together.
const MOST_PARTS: usize = 200_000;

/// Looks at one file. `path` is its path in the model. Memory and time are bounded by `limits` and by the size of the file.
///
/// # Errors
/// [`Error::Read`]. What is wrong with the file itself is a finding.
pub fn scan(path: &str, bytes: &dyn Bytes, limits: &Limits) -> Result<Vec<Finding>> {
    let mut scanner = Scanner {
        file: path,
        limits,
        findings: Vec::new(),
        place: Vec::new(),
        parts: 0,
        expandable: bytes.size().saturating_mul(MOST_EXPANSION).max(EXPANSION),
    };
    scanner.look(path, bytes)?;
    scanner.findings.sort_by_key(|finding| Reverse(finding.severity));
    Ok(scanner.findings)
}

/// Looks at all files, and puts the worst first.
///
/// # Errors
/// [`SurveyError`]: a file that cannot be read.
pub fn scan_files(files: &dyn Files, limits: &Limits) -> std::result::Result<Vec<Finding>, SurveyError> {
    let mut findings = Vec::new();
    for (file, (path, _)) in files.list().into_iter().enumerate() {
        let failed = |source| SurveyError {
            path: path.clone(),
            source,
        };
        let bytes = files.open(file).map_err(failed)?;
        findings.extend(scan(&path, &*bytes, limits).map_err(|error| failed(error.into()))?);
    }
    findings.sort_by(|a, b| (Reverse(a.severity), &a.file).cmp(&(Reverse(b.severity), &b.file)));
    Ok(findings)
}

/// What archives of a file may expand to, however small it is.
const EXPANSION: u64 = 1 << 30;
/// What they may expand to for each byte of the file.
const MOST_EXPANSION: u64 = 200;

struct Scanner<'a> {
    file: &'a str,
    limits: &'a Limits,
    findings: Vec<Finding>,
    /// Names of the archives' members that are being looked at, outermost first.
    place: Vec<String>,
    parts: usize,
    /// How many bytes may still come out of archives.
    expandable: u64,
}

impl Scanner<'_> {
    fn report<'d>(&mut self, severity: Severity, technique: &str, detail: impl Into<Cow<'d, str>>) {
        let detail = detail.into();
        let detail = match self.place.as_slice() {
            [] => detail.into_owned(),
            place => format!("{}: {detail}", place.join(": ")),
        };
        let detail = detail.chars().take(DETAIL).collect();
        let finding = Finding {
            file: self.file.to_owned(),
            severity,
            technique: technique.to_owned(),
            detail,
        };
        // The worst are not crowded out by the others.
        let is_full = self.findings.len() >= MOST_FINDINGS && severity < Severity::Dangerous;
        if !is_full && self.findings.len() < 2 * MOST_FINDINGS && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn dangerous<'d>(&mut self, technique: &str, detail: impl Into<Cow<'d, str>>) {
        self.report(Severity::Dangerous, technique, detail);
    }

    fn suspicious<'d>(&mut self, technique: &str, detail: impl Into<Cow<'d, str>>) {
        self.report(Severity::Suspicious, technique, detail);
    }

    /// Whether so much more may be inflated, all archives together. If not, that is a finding.
    fn may_expand(&mut self, size: u64) -> bool {
        match self.expandable.checked_sub(size) {
            Some(left) => {
                self.expandable = left;
                true
            }
            None => {
                self.dangerous(
                    "archive-bomb",
                    "its archives would expand to more than any model needs",
                );
                false
            }
        }
    }

    /// Looks at a member of an archive, or a string of a pickle: `place` says which, and `name` what kind of file it may be.
    fn look_inside(&mut self, place: &str, name: &str, bytes: &dyn Bytes) -> Result<()> {
        self.parts += 1;
        if self.place.len() >= DEPTH || self.parts > MOST_PARTS {
            self.dangerous(
                "too-deep",
                format!("{place:?} lies in too many archives to be looked at"),
            );
            return Ok(());
        }
        self.place.push(place.to_owned());
        let looked = self.look(name, bytes);
        self.place.pop();
        match looked {
            // The file itself was read; what is damaged is in it.
            Err(Error::Read { source, .. }) if !self.is_plain_read(&source) => {
                self.dangerous(
                    "damaged",
                    format!("{place:?} cannot be read to its end: {source}"),
                );
                Ok(())
            }
            looked => looked,
        }
    }

    /// Whether an error is that of the file, and not that of what inflates a member of it.
    fn is_plain_read(&self, error: &std::io::Error) -> bool {
        !matches!(
            error.kind(),
            std::io::ErrorKind::InvalidInput
                | std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::Other
        )
    }

    /// Looks at a file by its content, and then by its name.
    fn look(&mut self, name: &str, bytes: &dyn Bytes) -> Result<()> {
        let head = head(bytes)?;
        let kind = Kind::of(name);
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            return self.archive(name, bytes);
        }
        if let Some(packed) = archives::Packed::of(&head) {
            return self.packed(name, kind, packed, bytes);
        }
        match head.as_slice() {
            [b'G', b'G', b'U', b'F', ..] => return self.gguf(bytes),
            [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => return self.hdf5(bytes),
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => return self.array(bytes),
            [0x7f, b'E', b'L', b'F', ..] | [b'M', b'Z', ..] | [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..]
                if kind != Kind::Pickle =>
            {
                self.suspicious("native-code", "a program or library for a processor");
            }
            _ => {}
        }
        if kind == Kind::Safetensors {
            return self.safetensors(bytes);
        }
        // What ends as an archive is one to some readers, whatever it begins with.
        if self.place.is_empty() && zip::is_archive(bytes)? {
            self.dangerous(
                "two-formats",
                "it ends as a ZIP archive and does not begin as one: readers disagree about what it is",
            );
            self.archive(name, bytes)?;
        }
        match kind {
            Kind::Onnx => self.onnx(bytes)?,
            Kind::Json => self.json(bytes)?,
            Kind::Template => self.template_file(bytes)?,
            Kind::Code => self.suspicious("code", "code that a loader may run"),
            Kind::Graph => self.suspicious("code", "a graph of TensorFlow, which can read and write files"),
            Kind::Pickle | Kind::Safetensors | Kind::Other => {}
        }
        self.pickles(kind == Kind::Pickle, bytes)
    }

    fn gguf(&mut self, bytes: &dyn Bytes) -> Result<()> {
        match crate::gguf::read(bytes, self.limits) {
            Ok(read) => {
                for (key, value) in &read.metadata {
                    if !key.starts_with("tokenizer.chat_template") {
                        continue;
                    }
                    match value.text() {
                        Some(template) => self.template(template),
                        None => self.suspicious("template", format!("{key} is too long to be looked at")),
                    }
                }
                Ok(())
            }
            Err(error) => self.malformed(error),
        }
    }

    fn safetensors(&mut self, bytes: &dyn Bytes) -> Result<()> {
        match crate::safetensors::read(bytes, self.limits) {
            Ok(_) => Ok(()),
            Err(error) => self.malformed(error),
        }
    }

    /// A file that is not what it says.
    fn malformed(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Read { .. } => Err(error),
            Error::TooMuch { .. } => {
                self.dangerous("header-bomb", error.to_string());
                Ok(())
            }
            // Loaders refuse it, or have a bug; a broken download looks the same.
            Error::Malformed { .. } => {
                self.report(Severity::Info, "malformed", error.to_string());
                Ok(())
            }
        }
    }
}

/// The first bytes of a file, as many as are needed to tell what it is.
fn head(bytes: &dyn Bytes) -> Result<Vec<u8>> {
    let mut reader = Reader::new(bytes, pickle::FORMAT);
    let count = reader.left().min(512);
    reader.take(count)
}

/// What a name says that a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pickle,
    Safetensors,
    Onnx,
    Json,
    Template,
    Code,
    Graph,
    Other,
}

impl Kind {
    fn of(path: &str) -> Self {
        let name = path
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or(path)
            .to_ascii_lowercase();
        if name == "saved_model.pb" {
            return Self::Graph;
        }
        let is_packing = |extension: &str| {
            matches!(
                extension,
                "gz" | "gzip" | "z" | "xz" | "lzma" | "bz2" | "lz4" | "zst"
            )
        };
        let plain = match name.rsplit_once('.') {
            Some((plain, packing)) if is_packing(packing) => plain,
            _ => name.as_str(),
        };
        match plain.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "pkl" | "pickle" | "p" | "pck" | "joblib" | "dill" | "cloudpickle" | "pt" | "pth" | "ckpt"
            | "bin_pkl" => Self::Pickle,
            "safetensors" => Self::Safetensors,
            "onnx" => Self::Onnx,
            "json" | "ipynb" => Self::Json,
            "jinja" | "jinja2" | "j2" | "template" | "tmpl" | "yaml" | "yml" => Self::Template,
            "py" | "pyc" | "pyo" | "pyd" | "pyw" | "so" | "dll" | "dylib" | "exe" | "sh" | "bat" | "ps1"
            | "cmd" => Self::Code,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
