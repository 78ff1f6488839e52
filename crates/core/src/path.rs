use std::{fmt, str::FromStr};

/// The path of a file inside a model: relative, `/`-separated, and writable on any file system.
///
/// The same rule holds when a directory is pushed and when a version is pulled: what could not be pulled safely is
/// not pushed, and what a hostile registry says is refused before it touches a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelPath(String);

/// A path that is refused, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the path {path:?} cannot be in a model: {reason}")]
pub struct InvalidPath {
    path: String,
    reason: &'static str,
}

const MOST_BYTES: usize = 1024;
const MOST_COMPONENT_BYTES: usize = 255;
const MOST_DEPTH: usize = 64;

impl ModelPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names between the slashes.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The directories above the file, outermost first: `a`, `a/b` for `a/b/c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl FromStr for ModelPath {
    type Err = InvalidPath;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        match flaw(path) {
            None => Ok(Self(path.to_owned())),
            Some(reason) => Err(InvalidPath {
                path: path.chars().take(200).collect(),
                reason,
            }),
        }
    }
}

fn flaw(path: &str) -> Option<&'static str> {
    if path.len() > MOST_BYTES {
        return Some("it is longer than 1,024 bytes");
    }
    if path.split('/').count() > MOST_DEPTH {
        return Some("it is deeper than 64 directories");
    }
    if path.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    if path.chars().any(is_bidi_control) {
        return Some("it holds a character that turns the direction of writing");
    }
    if path.contains('\\') || path.contains(':') {
        return Some("it holds a backslash or a colon, which are no part of a name on Windows");
    }
    path.split('/').find_map(component_flaw)
}

fn component_flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("a name in it is empty (a leading, trailing or doubled slash)");
    }
    if name == "." || name == ".." {
        return Some("it holds '.' or '..'");
    }
    if name.len() > MOST_COMPONENT_BYTES {
        return Some("a name in it is longer than 255 bytes");
    }
    if name.ends_with('.') || name.ends_with(' ') {
        return Some("a name in it ends with a dot or a space");
    }
    if name.eq_ignore_ascii_case(".git") {
        return Some("it lies in a .git directory");
    }
    if is_device_name(name) {
        return Some("a name in it is a device on Windows");
    }
    None
}

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Names that Windows takes for devices, with any extension.
fn is_device_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let upper = stem.to_uppercase();
    if matches!(
        upper.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let Some(number) = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT")) else {
        return false;
    };
    let mut digits = number.chars();
    matches!(
        (digits.next(), digits.next()),
        (Some('0'..='9' | '\u{b9}' | '\u{b2}' | '\u{b3}'), None)
    )
}

impl fmt::Display for ModelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_real_models_are_taken() {
        for path in [
            "config.json",
            "1_Pooling/config.json",
            "model-00001-of-00002.safetensors",
            ".gitattributes",
            "données/modèle.bin",
            "common.json",
            "a b/c",
        ] {
            assert_eq!(path.parse::<ModelPath>().unwrap().as_str(), path);
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long_name = "a".repeat(256);
        let long = "a/".repeat(600) + "a";
        let deep = "a/".repeat(64) + "a";
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "C:/x",
            "a\\b",
            "a:b",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            "a\u{202e}b",
            "a.",
            "a ",
            "con",
            "Con.txt",
            "NUL",
            "com1",
            "LPT9.log",
            "COM\u{b2}",
            "CONIN$",
            ".git/hooks/x",
            "sub/.GIT/config",
            &long_name,
            &long,
            &deep,
        ] {
            assert!(path.parse::<ModelPath>().is_err(), "{path:?}");
        }
    }

    #[test]
    fn parents_are_listed_from_the_outside() {
        let path: ModelPath = "a/b/c".parse().unwrap();
        assert_eq!(path.parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
