use modelkeep_core::{
    RepoName,
    repositories::{Error, Observed, Repositories},
};

use crate::{Goal, NotOwned, Plan, Step};

/// Why a plan was not applied, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The repository is not what it was when the plan was made. Nothing was changed.
    #[error("the repository {name} has changed since the plan was made")]
    Moved {
        /// The repository.
        name: RepoName,
    },
    /// The registry refused. What was done before this step is done.
    #[error("cannot {step}")]
    Step {
        /// What was to be done.
        step: String,
        /// What the registry said.
        #[source]
        source: Error,
    },
    /// The repository could not be looked at.
    #[error(transparent)]
    Observe(#[from] Error),
    /// Everything was done, and the repository is still not what it was to be.
    #[error("every step was made, and the repository {} still differs in {}", left.name, fields(left))]
    NotReached {
        /// What is still to be done.
        left: Box<Plan>,
    },
    /// Everything was done, and the repository is somebody else's.
    #[error(transparent)]
    NotOwned(#[from] NotOwned),
}

/// The fields that a plan changes.
fn fields(plan: &Plan) -> String {
    if plan.goal == Goal::Gone {
        return "that it exists".to_owned();
    }
    let fields = plan.steps.iter().flat_map(|step| &step.fields);
    let fields: Vec<&str> = fields.map(|field| field.field.as_str()).collect();
    fields.join(", ")
}

/// Does what the plan says, after looking that nothing has moved, and looks again. Gives what is there then: nothing
/// after a plan that deletes.
///
/// `made` is told each step when it is made. Interrupted anywhere, a new plan does the rest.
///
/// # Errors
/// As [`ApplyError`] says.
pub fn apply(
    registry: &(impl Repositories + ?Sized),
    plan: &Plan,
    made: &mut dyn FnMut(&Step),
) -> Result<Option<Observed>, ApplyError> {
    let now = registry.observe(&plan.name)?;
    let moved = || ApplyError::Moved {
        name: plan.name.clone(),
    };
    if !is_same(plan, now.as_ref()) {
        return Err(moved());
    }
    if plan.is_empty() {
        return Ok(now);
    }
    for step in &plan.steps {
        registry
            .apply(&plan.name, &step.change)
            .map_err(|source| match source {
                // Between the look and the step.
                Error::AlreadyExists { .. } | Error::NotFound { .. } | Error::NotEmpty { .. } => moved(),
                source => ApplyError::Step {
                    step: step.change.to_string(),
                    source,
                },
            })?;
        made(step);
    }
    let reached = registry.observe(&plan.name)?;
    let left = plan.again(reached.clone())?;
    let gone = plan.goal != Goal::Gone || reached.is_none();
    if left.is_empty() && gone {
        Ok(reached)
    } else {
        Err(ApplyError::NotReached { left: Box::new(left) })
    }
}

/// Whether what is there is what the plan was made for. Images come and go all the time, and matter to what deletes them.
fn is_same(plan: &Plan, now: Option<&Observed>) -> bool {
    match (&plan.observed, now) {
        (None, None) => true,
        (Some(then), Some(now)) => {
            let images = if plan.deletes() { now.images } else { then.images };
            *then
                == Observed {
                    images,
                    ..now.clone()
                }
        }
        _ => false,
    }
}
