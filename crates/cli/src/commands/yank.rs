//! `modelkeep yank` and `modelkeep restore`

use modelkeep_core::{RepoName, Tag};
use modelkeep_ledger::{Outcome, YankError};

use super::aliases::{named, tag, who};
use crate::{
    args::{Restore, Yank},
    error::{Exit, Failure},
    report::{Answer, json},
    settings::Settings,
    wiring::Endpoint,
};

pub(super) fn yank(arguments: &Yank, settings: &Settings) -> Result<Answer, Failure> {
    if arguments.reason.trim().is_empty() {
        return Err(Failure::usage("--reason says what is wrong with the version"));
    }
    let (reference, repository) = named(settings, &arguments.version)?;
    let version = tag(&reference)?;
    let outcome = modelkeep_ledger::yank(
        repository.journal(),
        &who(&repository)?,
        version,
        &arguments.reason,
    )?;
    answer(
        &repository,
        &reference.name,
        version,
        outcome,
        ["is yanked", "was yanked already"],
        arguments.json.json,
    )
}

pub(super) fn restore(arguments: &Restore, settings: &Settings) -> Result<Answer, Failure> {
    let (reference, repository) = named(settings, &arguments.version)?;
    let version = tag(&reference)?;
    let outcome = modelkeep_ledger::restore(repository.journal(), &who(&repository)?, version)?;
    answer(
        &repository,
        &reference.name,
        version,
        outcome,
        ["is restored", "was not yanked"],
        arguments.json.json,
    )
}

fn answer(
    repository: &Endpoint,
    name: &RepoName,
    version: &Tag,
    outcome: Outcome,
    [now, before]: [&str; 2],
    as_json: bool,
) -> Result<Answer, Failure> {
    let history = repository.history()?;
    let manifest = history
        .manifest(version)
        .ok_or_else(|| YankError::NoVersion(version.clone()))?;
    let report = json::Changed {
        repository: name.to_string(),
        name: version.to_string(),
        version: None,
        digest: manifest.digest.clone(),
        changed: outcome == Outcome::Published,
    };
    if as_json {
        return Ok(json::answer(&report));
    }
    let verb = if report.changed { now } else { before };
    Ok(Answer::done(format!("{}:{version} {verb}\n", report.repository)))
}

impl From<YankError> for Failure {
    fn from(error: YankError) -> Self {
        match error {
            YankError::Aliased { ref alias, .. } => {
                let hint = format!("point it elsewhere first: `modelkeep promote VERSION {alias}`");
                Self::new(Exit::Policy, error).hint(hint)
            }
            YankError::NoVersion(_) => Self::new(Exit::Failed, error),
            YankError::Unauthorized(error) => error.into(),
            YankError::History(error) => error.into(),
            YankError::Content(error) => error.into(),
        }
    }
}
