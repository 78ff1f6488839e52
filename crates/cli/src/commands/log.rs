//! `modelkeep log`

use modelkeep_ledger::{Logged, Operation};

use super::aliases::named_repository;
use crate::{
    args::Log,
    error::Failure,
    report::{Answer, human, json},
    settings::Settings,
};

pub(super) fn run(arguments: &Log, settings: &Settings) -> Result<Answer, Failure> {
    let (name, repository) = named_repository(settings, arguments.name.as_deref())?;
    let (history, entries) = modelkeep_ledger::entries(repository.journal())?;
    if arguments.json.json {
        return Ok(json::answer(&json::Log {
            signed: !history.keys().is_empty(),
            repository: name.to_string(),
            events: entries.iter().rev().map(event).collect(),
        }));
    }
    let header = ["ENTRY", "WHEN", "BY", "SIGNED BY", "WHAT", "DIGEST", "MESSAGE"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(entries.iter().rev().map(|logged| {
        let (event, signer) = (event(logged), &logged.signer);
        let what = match &event.version {
            Some(version) => format!("{} {} -> {version}", event.op, event.name),
            None => format!("{} {}", event.op, event.name),
        };
        vec![
            event.height.to_string(),
            human::first_line(&event.time, 30),
            human::first_line(&event.author, 30),
            signer.as_ref().map_or("-", |key| key.short()).to_owned(),
            what,
            event
                .digest
                .as_ref()
                .map_or("", |digest| digest.short())
                .to_owned(),
            human::first_line(event.message.as_deref().unwrap_or_default(), 60),
        ]
    }));
    Ok(Answer::done(human::table(&rows)))
}

fn event(Logged { id, entry, signer }: &Logged) -> json::Event {
    let (op, version, message) = match entry.operation() {
        Operation::Publish(publish) => ("publish", None, publish.message.clone()),
        Operation::Delete(_) => ("delete", None, None),
        Operation::Alias(alias) => ("alias", Some(alias.version.to_string()), alias.message.clone()),
        Operation::Yank(yank) => ("yank", None, Some(yank.reason.clone())),
        Operation::Restore(_) => ("restore", None, None),
        Operation::Keys(note) => ("keys", None, note.message.clone()),
        Operation::Checkpoint(note) => ("checkpoint", None, note.message.clone()),
    };
    json::Event {
        height: entry.height(),
        id: id.clone(),
        time: entry.time().to_owned(),
        author: entry.author().to_owned(),
        signed_by: signer.as_ref().map(ToString::to_string),
        op,
        name: entry.version().to_string(),
        digest: entry
            .operation()
            .manifest()
            .map(|manifest| manifest.digest.clone()),
        version,
        message,
    }
}
