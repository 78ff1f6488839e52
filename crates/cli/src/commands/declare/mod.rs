//! `preview`, `up`, `output`, `destroy`, `adopt` and `policy`: the repository as the file declares it.

mod adopt;
mod confirm;
mod destroy;
mod output;
mod policy;
mod preview;
mod up;

pub(super) use adopt::run as adopt;
pub(super) use destroy::run as destroy;
use modelkeep_core::repositories::{Observed, Repositories};
use modelkeep_provision::{Plan, Step, apply, plan};
pub(super) use output::run as output;
pub(super) use policy::run as policy;
pub(super) use preview::run as preview;
pub(super) use up::run as up;

use crate::{error::Failure, report::human, settings::Settings, wiring::declared as wiring};

/// What the file declares, and what has to be done for it.
fn planned(settings: &Settings) -> Result<(Box<dyn Repositories>, Plan), Failure> {
    let declaration = settings.declaration()?;
    wiring::check(settings, &declaration)?;
    let registry = wiring::registry(settings)?;
    let wanted = declaration.wanted(&registry.powers())?;
    let observed = registry.observe(&wanted.name)?;
    let plan = plan(&wanted, observed)?;
    Ok((registry, plan))
}

/// Does what was agreed to, and says each step on stderr.
fn carry_out(registry: &dyn Repositories, plan: &Plan, quiet: bool) -> Result<Option<Observed>, Failure> {
    let mut made = |step: &Step| {
        if !quiet {
            human::line(&format!("done: {}", human::clean(&step.change.to_string())));
        }
    };
    Ok(apply(registry, plan, &mut made)?)
}
