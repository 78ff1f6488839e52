//! How results look: for people, for machines, and while they are being made.

pub(crate) mod diff;
pub(crate) mod findings;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod record;

use crate::error::Exit;

/// What a command prints on stdout, and its exit code.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) exit: Exit,
}

impl Answer {
    /// Done.
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            exit: Exit::Done,
        }
    }
}
