use modelkeep_provision::{Force, destroy};

use super::{
    carry_out,
    confirm::{Word, confirm},
};
use crate::{
    args::Destroy,
    error::Failure,
    report::{Answer, human},
    settings::Settings,
    wiring::declared as wiring,
};

pub(crate) fn run(arguments: &Destroy, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let declared = settings.declared()?;
    let name = settings.repository_name()?;
    let force = if arguments.force {
        Force::Yes
    } else {
        declared.force_delete
    };
    let registry = wiring::registry(settings)?;
    let observed = registry.observe(name)?;
    let plan = destroy(name, observed, &registry.powers(), declared.protect, force)?;
    if plan.is_empty() {
        return Ok(Answer::done(plan.to_string()));
    }
    if !quiet {
        human::line(plan.to_string().trim_end());
    }
    let question = format!("Delete {name}?");
    confirm(&question, &Word::Name(name.as_str()), arguments.yes)?;
    carry_out(&*registry, &plan, quiet)?;
    Ok(Answer::done(format!("deleted {name}\n")))
}
