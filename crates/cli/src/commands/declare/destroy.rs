use modelkeep_ledger::History;
use modelkeep_provision::{Force, destroy};

use super::{
    carry_out,
    confirm::{Word, confirm},
};
use crate::{
    args::Destroy,
    error::Failure,
    report::{Answer, human},
    settings::{Registry, Settings},
    signing,
    wiring::{declared as wiring, repository},
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
    // Signed by whoever agreed: the history outlives the repository.
    let history = match settings.registry.value {
        Registry::Embedded => repository(settings, None, name)?.history()?,
        _ => History::default(),
    };
    let registry = wiring::registry_for(settings, signing::who(&settings.directory, &history)?)?;
    carry_out(&*registry, &plan, quiet)?;
    Ok(Answer::done(format!("deleted {name}\n")))
}
