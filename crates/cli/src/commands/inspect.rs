//! `modelkeep inspect`

use crate::{
    args::Inspect,
    error::Failure,
    report::{Answer, json, record},
    settings::Settings,
    subject::Subject,
};

pub(super) fn run(arguments: &Inspect, settings: &Settings) -> Result<Answer, Failure> {
    let subject = Subject::find(settings, &arguments.subject)?;
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
