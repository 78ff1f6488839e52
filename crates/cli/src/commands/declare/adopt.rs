use modelkeep_core::repositories::Error;
use modelkeep_provision::adopt;

use super::{
    carry_out,
    confirm::{Word, confirm},
};
use crate::{
    args::Adopt,
    error::Failure,
    report::{Answer, human},
    settings::Settings,
    wiring::declared as wiring,
};

pub(crate) fn run(arguments: &Adopt, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let name = match &arguments.name {
        Some(name) => name,
        None => {
            settings.declared()?;
            settings.repository_name()?
        }
    };
    let registry = wiring::registry(settings)?;
    let powers = registry.powers();
    let Some(found) = registry.observe(name)? else {
        return Err(Error::NotFound {
            name: name.clone(),
            registry: powers.registry,
        }
        .into());
    };
    let plan = adopt(found, &powers);
    if plan.is_empty() {
        return Ok(Answer::done(plan.to_string()));
    }
    if !quiet {
        human::line(plan.to_string().trim_end());
    }
    confirm(&format!("Take over {name}?"), &Word::Yes, arguments.yes)?;
    carry_out(&*registry, &plan, quiet)?;
    Ok(Answer::done(format!(
        "{name} is managed by modelkeep; `modelkeep preview` shows what `up` would change\n"
    )))
}
