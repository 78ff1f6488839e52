//! What the scanner says of the files, before any of them is packed.

use modelkeep_inspect::danger::{Finding, Severity};

use super::Job;
use crate::{
    error::{Exit, Failure},
    report::findings,
};

/// A push that the scanner stops.
#[derive(Debug, thiserror::Error)]
#[error("{file} is dangerous: it {detail} ({technique})")]
struct Dangerous {
    file: String,
    detail: String,
    technique: String,
}

impl Job<'_> {
    /// Refuses dangerous files that nobody named, and says what else was found.
    pub(super) fn refuse_dangerous(&self, is_loud: bool) -> Result<(), Failure> {
        let allowed = &self.arguments.allow_unsafe;
        for file in allowed {
            if !self.files.iter().any(|other| other.path.as_str() == file) {
                return Err(Failure::usage(format!(
                    "--allow-unsafe {file}: the model has no such file"
                )));
            }
        }
        let survey = self.survey()?;
        let is_refused =
            |finding: &&Finding| finding.severity == Severity::Dangerous && !allowed.contains(&finding.file);
        if let Some(first) = survey.findings().iter().find(is_refused) {
            let error = Dangerous {
                file: first.file.clone(),
                detail: first.detail.clone(),
                technique: first.technique.clone(),
            };
            return Err(Failure::new(Exit::Policy, error)
                .hint(format!(
                    "`modelkeep scan {}` lists all that was found",
                    self.directory.display()
                ))
                .hint(format!(
                    "if you know what it does: `--allow-unsafe {}` publishes it all the same",
                    first.file
                )));
        }
        if is_loud {
            findings::warn(survey.findings().iter());
        }
        Ok(())
    }
}
