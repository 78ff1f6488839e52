//! `modelkeep scrub`

use modelkeep_store::{Problem, Repair, Store};

use crate::{
    args::Scrub,
    error::{Exit, Failure},
    report::{Answer, human},
    settings::Settings,
};

pub(super) fn run(arguments: &Scrub, settings: &Settings) -> Result<Answer, Failure> {
    let store = Store::open(&settings.store.value)?;
    let repair = if arguments.repair { Repair::Yes } else { Repair::No };
    let scrubbed = store.scrub(repair)?;
    let mut text = String::new();
    let mut is_whole = true;
    for problem in &scrubbed.problems {
        let repaired = arguments.repair && matches!(problem, Problem::Derived { .. });
        is_whole &= repaired;
        let what = if repaired { "repaired" } else { "problem" };
        text.push_str(&format!("{what}: {}\n", human::clean(&describe(problem))));
    }
    text.push_str(&format!(
        "read {}, {}: {}\n",
        human::count(scrubbed.blobs, "blob"),
        human::bytes(scrubbed.bytes),
        match scrubbed.problems.len() {
            0 => "everything is as it should be".to_owned(),
            count => human::count(count as u64, "problem"),
        }
    ));
    let exit = if is_whole { Exit::Done } else { Exit::Damage };
    Ok(Answer { text, exit })
}

fn describe(problem: &Problem) -> String {
    match problem {
        Problem::Damaged { error, .. } => human::chain(error),
        Problem::Unreadable {
            repository: Some(name),
            error,
        } => format!("{name}: {}", human::chain(error)),
        Problem::Unreadable {
            repository: None,
            error,
        } => human::chain(error),
        Problem::Missing {
            repository,
            manifest,
            part,
        } => format!("{repository}: the manifest {manifest} needs {part}, which is not here"),
        Problem::Derived { path } => format!("{} is not what the manifests say", path.display()),
    }
}
