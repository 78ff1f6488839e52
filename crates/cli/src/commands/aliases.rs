//! `modelkeep promote`, `rollback` and `aliases`: names that move, with a history of where they pointed.

use std::path::Path;

use modelkeep_core::{Reference, RepoName, Tag, name::Target};
use modelkeep_ledger::{AliasError, Outcome, Who};

use super::verify;
use crate::{
    args::{Aliases, Promote, Requirement, Rollback},
    error::{Exit, Failure, Unknown},
    held::Held,
    report::{Answer, human, json},
    settings::Settings,
    signing,
    wiring::{self, Endpoint},
};

pub(super) fn promote(arguments: &Promote, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let (reference, repository) = named(settings, &arguments.version)?;
    let version = tag(&reference)?;
    for requirement in &arguments.requirements {
        require(requirement, arguments, settings, quiet)?;
    }
    let outcome = modelkeep_ledger::promote(
        repository.journal(),
        &who(&repository)?,
        &arguments.alias,
        version,
        arguments.message.clone(),
    )?;
    answer(
        &repository,
        &reference.name,
        &arguments.alias,
        outcome,
        arguments.json.json,
    )
}

pub(super) fn rollback(arguments: &Rollback, settings: &Settings) -> Result<Answer, Failure> {
    let (reference, repository) = named(settings, &arguments.alias)?;
    let alias = tag(&reference)?;
    modelkeep_ledger::rollback(
        repository.journal(),
        &who(&repository)?,
        alias,
        arguments.message.clone(),
    )?;
    answer(
        &repository,
        &reference.name,
        alias,
        Outcome::Published,
        arguments.json.json,
    )
}

pub(super) fn list(arguments: &Aliases, settings: &Settings) -> Result<Answer, Failure> {
    let (name, repository) = named_repository(settings, arguments.name.as_deref())?;
    let history = repository.history()?;
    let aliases: Vec<json::Alias> = history
        .aliases()
        .into_iter()
        .map(|moved| json::Alias {
            alias: moved.name.to_string(),
            version: moved.alias.version.to_string(),
            digest: moved.alias.manifest.digest.clone(),
            time: moved.time.clone(),
            author: moved.author.clone(),
            message: moved.alias.message.clone(),
        })
        .collect();
    if arguments.json.json {
        return Ok(json::answer(&json::Aliases {
            repository: name.to_string(),
            aliases,
        }));
    }
    let header = ["ALIAS", "VERSION", "DIGEST", "WHEN", "BY", "MESSAGE"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(aliases.iter().map(|alias| {
        vec![
            alias.alias.clone(),
            alias.version.clone(),
            alias.digest.short().to_owned(),
            human::first_line(&alias.time, 30),
            human::first_line(&alias.author, 30),
            human::first_line(alias.message.as_deref().unwrap_or_default(), 60),
        ]
    }));
    Ok(Answer::done(human::table(&rows)))
}

fn require(
    requirement: &Requirement,
    arguments: &Promote,
    settings: &Settings,
    quiet: bool,
) -> Result<(), Failure> {
    let refused = |why: String| Err(Failure::new(Exit::Policy, why));
    match requirement {
        Requirement::Verified => match verify::version(settings, &arguments.version, quiet)?.as_slice() {
            [] => Ok(()),
            problems => refused(format!(
                "{} is not verified: {}",
                arguments.version,
                problems.join("; ")
            )),
        },
        Requirement::Metric(condition) => {
            let held = Held::find(settings, &arguments.version)?;
            match held.metrics().get(&condition.metric) {
                Some(value) if condition.is_true_of(*value) => Ok(()),
                Some(value) => refused(format!(
                    "{} has {} {value}, and {condition} is required",
                    held.reference, condition.metric
                )),
                None => refused(format!("{} says nothing of {}", held.reference, condition.metric)),
            }
        }
    }
}

/// The repository that a reference names.
pub(super) fn named(settings: &Settings, text: &str) -> Result<(Reference, Endpoint), Failure> {
    let reference = wiring::placed(settings, settings.reference(text)?)?;
    let repository = wiring::to_change(settings, reference.host.as_ref(), &reference.name)?;
    Ok((reference, repository))
}

/// The repository that is named, or that of the settings, to be read.
pub(super) fn named_repository(
    settings: &Settings,
    name: Option<&str>,
) -> Result<(RepoName, Endpoint), Failure> {
    let (host, name) = wiring::named(settings, name)?;
    let repository = wiring::repository(settings, host.as_ref(), &name)?;
    Ok((name, repository))
}

/// The name that a reference ends with; a digest is none.
pub(super) fn tag(reference: &Reference) -> Result<&Tag, Failure> {
    match &reference.target {
        Target::Tag(tag) => Ok(tag),
        Target::Digest(digest) => Err(Failure::usage(format!(
            "{digest} is a digest, and a version or an alias is wanted"
        ))),
    }
}

/// Who adds to the history of `repository`, by the name under which it knows them, with the key that signs it.
pub(super) fn who(repository: &Endpoint) -> Result<Who, Failure> {
    Ok(repository.known_as(signing::who(Path::new("."), &repository.history()?)?)?)
}

fn answer(
    repository: &Endpoint,
    name: &RepoName,
    alias: &Tag,
    outcome: Outcome,
    as_json: bool,
) -> Result<Answer, Failure> {
    let history = repository.history()?;
    let moved = history.alias(alias).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            Unknown::Version {
                name: name.clone(),
                version: alias.to_string(),
            },
        )
    })?;
    let report = json::Changed {
        repository: name.to_string(),
        name: alias.to_string(),
        version: Some(moved.alias.version.to_string()),
        digest: moved.alias.manifest.digest.clone(),
        changed: outcome == Outcome::Published,
    };
    if as_json {
        return Ok(json::answer(&report));
    }
    let verb = if report.changed {
        "points at"
    } else {
        "pointed already at"
    };
    Ok(Answer::done(format!(
        "{}:{alias} {verb} {} {}\n",
        report.repository, moved.alias.version, report.digest
    )))
}

impl From<AliasError> for Failure {
    fn from(error: AliasError) -> Self {
        match error {
            AliasError::Held(ref alias) => {
                let hint = format!(
                    "declare it: `aliases = [\"{alias}\"]` in modelkeep.toml; then `modelkeep up`, unless the registry is one \
                     that nothing can be declared on"
                );
                Self::new(Exit::Policy, error).hint(hint)
            }
            AliasError::Yanked { .. } => Self::new(Exit::Policy, error),
            AliasError::Reserved(_) => Self::new(Exit::Usage, error),
            AliasError::NoVersion(_) | AliasError::NoEarlier(_) => Self::new(Exit::Failed, error),
            AliasError::Unauthorized(error) => error.into(),
            AliasError::History(error) => error.into(),
            AliasError::Content(error) => error.into(),
        }
    }
}
