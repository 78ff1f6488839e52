//! `modelkeep doctor`: what a registry can do and does, and what that means for versions.

mod probe;
mod registry;
mod tags;

use modelkeep_core::{RepoName, content::Names};
use modelkeep_ledger::History;
use modelkeep_store::Repository;

use crate::{
    args::Doctor,
    error::{Exit, Failure, Unknown},
    promise::Keeper,
    report::{
        Answer, human,
        json::{self, Check},
    },
    settings::Settings,
    wiring::{self, Endpoint},
};

/// What was found out so far.
struct Findings {
    checks: Vec<Check>,
    keeper: Keeper,
    protocol_tags: Vec<json::ProtocolTags>,
    left_behind: Vec<String>,
    exit: Exit,
}

pub(super) fn run(arguments: &Doctor, settings: &Settings) -> Result<Answer, Failure> {
    let (host, name) = wiring::named(settings, arguments.name.as_deref())?;
    let findings = match &host {
        Some(host) => registry::examine(settings, host, &name, arguments.probe)?,
        None => store(settings, &name)?,
    };
    let repository = match &host {
        Some(host) => format!("{host}/{name}"),
        None => name.to_string(),
    };
    let report = json::Doctor {
        repository,
        enforcement: findings.keeper.as_str(),
        promise: findings.keeper.promise(),
        checks: findings.checks,
        protocol_tags: findings.protocol_tags,
        left_behind: findings.left_behind,
    };
    let answer = match arguments.json.json {
        true => json::answer(&report),
        false => Answer::done(text(&report)),
    };
    Ok(Answer {
        exit: findings.exit,
        ..answer
    })
}

/// The embedded store.
fn store(settings: &Settings, name: &RepoName) -> Result<Findings, Failure> {
    let path = settings.store.value.display().to_string();
    let store = wiring::existing(settings)?;
    let repository = match &store {
        Some(store) => store.repository(name)?,
        None => None,
    };
    let Some(repository) = repository else {
        let (name, store) = (name.clone(), settings.store.value.clone());
        return Err(Failure::new(Exit::Failed, Unknown::Repository { name, store })
            .hint("`modelkeep doctor HOST/NAME` looks at a registry"));
    };
    let mut findings = Findings {
        checks: vec![check("reachable", "yes", format!("the store {path}"))],
        keeper: Keeper::Store,
        protocol_tags: tags::of_protocol(&repository.tags()?),
        left_behind: Vec::new(),
        exit: Exit::Done,
    };
    findings.history(&Endpoint::Store(Repository::clone(&repository)));
    findings.checks.extend([
        check(
            "compare_and_set",
            "yes",
            "whoever changes the history holds the lock of the repository",
        ),
        check(
            "immutable_tags",
            repository.mutability().as_str(),
            "the policy of the repository, which the store keeps",
        ),
    ]);
    Ok(findings)
}

impl Findings {
    /// Reads the history, and says what it is. What cannot be believed decides the exit code.
    fn history(&mut self, endpoint: &Endpoint) -> History {
        let read = endpoint
            .history()
            .and_then(|history| Ok((endpoint.keeper()?, history)));
        match read {
            Ok((keeper, history)) => {
                self.keeper = keeper;
                let kind = match keeper {
                    Keeper::Store => "store",
                    Keeper::Registry => "registry",
                    Keeper::Client | Keeper::Tags if history.height() > 0 => "claims",
                    Keeper::Client | Keeper::Tags => "none",
                };
                self.checks
                    .push(check("history", kind, said_of(&history, keeper)));
                history
            }
            Err(failure) => {
                self.exit = failure.exit;
                let detail = human::clean(&human::chain(&*failure.error));
                self.checks.push(check("history", "refused", detail));
                History::default()
            }
        }
    }
}

fn said_of(history: &History, keeper: Keeper) -> String {
    if history.height() == 0 {
        return match keeper {
            Keeper::Registry => "the registry keeps one, and nothing is in it yet".to_owned(),
            _ => "nothing was published here with modelkeep yet".to_owned(),
        };
    }
    let entries = match history.height() {
        1 => "1 entry".to_owned(),
        height => format!("{height} entries"),
    };
    match history.keys().listed().len() as u64 {
        0 => format!("{entries}, not signed"),
        keys => format!("{entries}, signed; it lists {}", human::count(keys, "key")),
    }
}

fn check(name: &'static str, result: impl Into<String>, detail: impl Into<String>) -> Check {
    Check {
        name,
        result: result.into(),
        detail: detail.into(),
    }
}

fn text(report: &json::Doctor) -> String {
    let mut rows = vec![["CHECK", "RESULT", ""].map(str::to_owned).to_vec()];
    rows.extend(report.checks.iter().map(|check| {
        let name = check.name.replace('_', " ");
        vec![name, check.result.clone(), check.detail.clone()]
    }));
    let mut text = human::table(&rows);
    if !report.protocol_tags.is_empty() {
        let mut rows = vec![["TAGS", "", "OF THE PROTOCOL"].map(str::to_owned).to_vec()];
        rows.extend(report.protocol_tags.iter().map(|tags| {
            vec![
                tags.kind.to_owned(),
                tags.count.to_string(),
                tags.meaning.to_owned(),
            ]
        }));
        text.push_str(&format!("\n{}", human::table(&rows)));
    }
    if !report.left_behind.is_empty() {
        text.push_str("\nleft behind, because the registry does not delete it:\n");
        for what in &report.left_behind {
            text.push_str(&format!("  {what}\n"));
        }
    }
    text.push_str(&format!(
        "\nenforced by: {}\npromise: {}\n",
        report.enforcement, report.promise
    ));
    text
}
