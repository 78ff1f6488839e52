//! `modelkeep inspect`

use crate::{
    args::Inspect,
    error::Failure,
    report::{Answer, json, record},
    settings::Settings,
    subject::{Need, Subject},
};

pub(super) fn run(arguments: &Inspect, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let subject = Subject::find(
        settings,
        &arguments.subject,
        Need::Record,
        quiet || arguments.json.json,
    )?;
    let found = subject.record()?;
    if arguments.json.json {
        return Ok(json::answer(&json::Inspect {
            name: subject.name(),
            digest: subject.digest().cloned(),
            record: found,
        }));
    }
    let mut text = format!("{}\n", subject.name());
    text.push_str(&record::text(&found));
    if arguments.tensors {
        text.push('\n');
        text.push_str(&record::tensors(&found));
    }
    Ok(Answer::done(text))
}
