//! A plan as text for people, and as JSON.

use std::fmt;

use modelkeep_core::{
    RepoName,
    repositories::{Change, Enforcement},
};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::{Field, Plan, Step};

/// Most characters of a value that are shown; JSON has it whole.
const SHOWN: usize = 80;

/// What a step does to the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Create,
    Update,
    Delete,
}

impl Step {
    fn action(&self) -> Action {
        match &self.change {
            Change::Create(_) => Action::Create,
            Change::Delete(_) => Action::Delete,
            _ => Action::Update,
        }
    }
}

impl fmt::Display for Plan {
    /// `+ create`, `~ update`, `- delete` or `= same`, a line for each field, and who enforces what is immutable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = format!("{} in {}", self.name, self.powers.registry);
        if self.is_empty() {
            match &self.observed {
                Some(_) => writeln!(f, "= same {place}")?,
                None => writeln!(f, "= none {place}")?,
            }
        }
        for step in &self.steps {
            match step.action() {
                Action::Create => {
                    writeln!(f, "+ create {place}")?;
                    for field in &step.fields {
                        writeln!(f, "    {}: {}", field.field, Shown(field.to.as_deref()))?;
                    }
                }
                Action::Update => {
                    for Field { field, from, to } in &step.fields {
                        let (from, to) = (Shown(from.as_deref()), Shown(to.as_deref()));
                        writeln!(f, "~ update {field}: {from} -> {to}")?;
                    }
                }
                Action::Delete => {
                    let with: Vec<&str> = step
                        .fields
                        .iter()
                        .filter_map(|field| field.from.as_deref())
                        .collect();
                    writeln!(f, "- delete {place} with {}", with.join(", "))?;
                }
            }
        }
        match self.enforcement() {
            _ if self.deletes() => Ok(()),
            Enforcement::Registry => writeln!(f, "enforced by: registry"),
            Enforcement::Client => writeln!(
                f,
                "enforced by: client ({} lets every other client move every tag)",
                self.powers.registry
            ),
        }
    }
}

/// A value on one line: what others wrote cannot steer a terminal.
struct Shown<'a>(Option<&'a str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(text) = self.0 else {
            return f.write_str("(none)");
        };
        let length = text.chars().count();
        let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let beginning: String = text.chars().take(SHOWN).collect();
        match (length > SHOWN, plain) {
            (true, _) => write!(f, "{beginning:?}… ({length} characters)"),
            (false, true) => f.write_str(text),
            (false, false) => write!(f, "{text:?}"),
        }
    }
}

/// A field and what is done to the repository.
#[derive(Serialize)]
struct Line<'a> {
    action: Action,
    #[serde(flatten)]
    field: &'a Field,
}

impl Serialize for Plan {
    /// `repository`, `registry`, `enforcement`, `exists`, and `changes` with an `action`, a `field`, `from` and `to` each.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lines = self.steps.iter().flat_map(|step| {
            let action = step.action();
            step.fields.iter().map(move |field| Line { action, field })
        });
        let changes: Vec<Line<'_>> = lines.collect();
        let name: &RepoName = &self.name;
        let mut plan = serializer.serialize_struct("Plan", 5)?;
        plan.serialize_field("repository", name)?;
        plan.serialize_field("registry", &self.powers.registry)?;
        plan.serialize_field("enforcement", &self.enforcement())?;
        plan.serialize_field("exists", &self.observed.is_some())?;
        plan.serialize_field("changes", &changes)?;
        plan.end()
    }
}
