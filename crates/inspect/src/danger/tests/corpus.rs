//! Malicious files, each by the technique that it shows. None of them is ever loaded; the commands that they would run
//! print a word.

mod containers;
mod globals;
mod programs;

use containers::containers;
pub(super) use containers::lies;
use globals::GLOBALS;
use programs::{computed, spellings};

pub(super) struct Case {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    /// One of the techniques that must be found.
    pub(super) technique: &'static str,
    /// Whether a loader runs it under any name.
    pub(super) runs_anywhere: bool,
}

fn case(name: &str, path: &str, bytes: Vec<u8>, technique: &'static str, runs_anywhere: bool) -> Case {
    Case {
        name: name.to_owned(),
        path: path.to_owned(),
        bytes,
        technique,
        runs_anywhere,
    }
}

/// `os.system("echo")` in protocol 0.
const SYSTEM: &[u8] = b"cos\nsystem\n(S'echo'\ntR.";

/// All of them.
pub(super) fn all() -> Vec<Case> {
    let globals = GLOBALS.iter().map(|(module, name, technique)| {
        let bytes = format!("c{module}\n{name}\n(S'echo'\ntR.").into_bytes();
        case(&format!("{module}.{name}"), "model.pkl", bytes, technique, true)
    });
    globals
        .chain(spellings())
        .chain(computed())
        .chain(containers())
        .collect()
}
