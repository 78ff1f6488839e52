//! What pickles would do.

use modelkeep_core::ByteRange;

use super::{
    Scanner, Severity,
    names::{self, Known},
};
use crate::{
    Bytes, Error, Part, Reader, Result,
    pickle::{self, FORMAT, Reach, Trace},
    torch,
};

/// Unknown globals that a finding names.
const MOST_NAMED: usize = 12;
/// Pickles that follow one another in a file.
const MOST_PICKLES: usize = 10_000;

impl Scanner<'_> {
    /// Follows the pickles of a file. `said` is whether its name says that it is one: then what is none is a finding.
    pub(super) fn pickles(&mut self, said: bool, bytes: &dyn Bytes) -> Result<()> {
        let mut reader = Reader::new(bytes, FORMAT);
        let mut trace = Trace::default();
        let begins = begins_as_pickle(bytes)?;
        let mut read = 0;
        let mut end = 0;
        let mut storages = None;
        let mut failure = None;
        while read < MOST_PICKLES && reader.left() > 0 && storages.is_none() {
            match pickle::read(&mut reader, &mut trace) {
                Ok(structure) => {
                    if read == 0 && torch::is_legacy_magic(&structure) {
                        storages = Some(());
                    }
                    read += 1;
                    end = reader.position();
                }
                Err(error @ Error::Read { .. }) => return Err(error),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if storages.is_some() {
            failure = self.legacy_torch(&mut reader, &mut trace)?;
            end = bytes.size();
        }
        let is_pickle = said || begins && (read > 0 || !trace.globals.is_empty());
        let calls = trace.globals.iter().any(|global| global.called);
        let is_program = read > 0 && calls || has_dangerous(&trace, read > 0);
        if !is_pickle && !is_program {
            return Ok(());
        }
        self.judge(&trace);
        match failure {
            Some(error) if read == 0 || storages.is_some() => {
                self.dangerous(
                    "malformed",
                    format!("{error}: it cannot be told what a loader does with it"),
                );
            }
            Some(_) => {
                let left = bytes.size() - end;
                self.report(
                    Severity::Suspicious,
                    "trailing-bytes",
                    format!("{left} bytes follow the last pickle, from byte {end} on, and are none"),
                );
            }
            None => {}
        }
        self.embedded(bytes, &trace)
    }

    /// The rest of a checkpoint of torch before 1.6, after its magic number.
    fn legacy_torch(&mut self, reader: &mut Reader<'_>, trace: &mut Trace) -> Result<Option<Error>> {
        match torch::skip_legacy(reader, trace) {
            Ok(()) => Ok(None),
            Err(error @ Error::Read { .. }) => Err(error),
            Err(error) => Ok(Some(error)),
        }
    }

    fn judge(&mut self, trace: &Trace) {
        let mut unknown = Vec::new();
        for global in &trace.globals {
            let name = format!("{}.{}", global.module, global.name);
            match names::known(&global.module, &global.name) {
                Known::Harmless => {}
                Known::Dangerous(technique) => {
                    let detail = match (global.reach, global.called) {
                        (Reach::Hidden, _) => {
                            format!(
                                "names {name} in bytes that joblib takes for an array, and pickle for opcodes"
                            )
                        }
                        (Reach::Direct, true) => format!("calls {name} with {}", global.arguments),
                        (Reach::Direct, false) => format!("names {name}"),
                    };
                    self.dangerous(technique, detail);
                }
                Known::Unknown if global.reach == Reach::Direct => unknown.push(name),
                Known::Unknown => {}
            }
        }
        if !unknown.is_empty() {
            let count = unknown.len();
            unknown.truncate(MOST_NAMED);
            let more = if count > MOST_NAMED { ", …" } else { "" };
            let detail = format!(
                "imports code that is not known: {}{more} ({count} in all)",
                unknown.join(", ")
            );
            self.suspicious("unknown-global", detail);
        }
        for (count, technique, detail) in [
            (
                trace.computed_names,
                "computed-name",
                "imports what it computes the name of",
            ),
            (
                trace.computed_calls,
                "computed-call",
                "calls what another call gave, or what was not followed",
            ),
            (
                trace.extensions,
                "extension-registry",
                "imports by a code of the extension registry, which names nothing",
            ),
            (
                trace.changed_globals,
                "changes-globals",
                "sets attributes of a class, function or module",
            ),
        ] {
            if count > 0 {
                self.dangerous(technique, format!("{detail} ({count} times)"));
            }
        }
    }

    /// Strings that are pickles or archives themselves: whoever unpickles the outer one may go on with them.
    fn embedded(&mut self, bytes: &dyn Bytes, trace: &Trace) -> Result<()> {
        for &ByteRange { offset, length } in &trace.embedded {
            if let Some(part) = Part::of(bytes, offset, length) {
                self.look_inside(&format!("bytes at {offset}"), "", &part)?;
            }
        }
        for text in &trace.embedded_texts {
            self.look_inside("a text", "", text)?;
        }
        Ok(())
    }
}

/// Whether a file that may be anything is a payload: a text may begin with what reads as the name of a global, and goes on
/// to call nothing.
fn has_dangerous(trace: &Trace, is_whole: bool) -> bool {
    let mut globals = trace.globals.iter();
    globals.any(|global| {
        global.reach == Reach::Direct
            && (global.called || is_whole)
            && matches!(names::known(&global.module, &global.name), Known::Dangerous(_))
    })
}

/// Whether a file begins with the opcode PROTO.
fn begins_as_pickle(bytes: &dyn Bytes) -> Result<bool> {
    let mut reader = Reader::new(bytes, FORMAT);
    Ok(reader.left() >= 2 && matches!(reader.array()?, [0x80, 0..=5]))
}
