use super::{
    carry_out,
    confirm::{Word, confirm},
    planned,
};
use crate::{
    args::Up,
    error::Failure,
    promise::Keeper,
    report::{Answer, human, json},
    settings::Settings,
};

pub(crate) fn run(arguments: &Up, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let (registry, plan) = planned(settings)?;
    if !quiet {
        human::line(plan.to_string().trim_end());
    }
    if !plan.is_empty() {
        confirm("Make these changes?", &Word::Yes, arguments.yes)?;
    }
    let reached = carry_out(&*registry, &plan, quiet)?;
    let Some(found) = reached else {
        return Err(modelkeep_core::repositories::Error::NotFound {
            name: plan.name,
            registry: plan.powers.registry,
        }
        .into());
    };
    if arguments.json.json {
        return Ok(json::answer(&json::Up {
            repository_uri: &found.uri,
            arn: found.arn.as_deref(),
            registry_id: found.registry_id.as_deref(),
            plan: &plan,
        }));
    }
    if !quiet {
        let keeper = Keeper::declared(&settings.registry.value, found.enforcement);
        human::line(&format!("promise: {}", keeper.promise()));
    }
    Ok(Answer::done(format!("{}\n", found.uri)))
}
