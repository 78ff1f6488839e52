use modelkeep_core::{
    RepoName,
    repositories::{Change, Enforcement, Observed, Powers},
};
use serde::Serialize;

use crate::{OWNER, OWNER_TAG, Wanted, diff};

/// What is to be done so that a repository is what is wanted; nothing is decided after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The repository.
    pub name: RepoName,
    /// What the registry can do.
    pub powers: Powers,
    /// What is to be reached.
    pub goal: Goal,
    /// What was there when it was decided.
    pub observed: Option<Observed>,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
}

/// What a plan is to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The repository is this.
    Is(Box<Wanted>),
    /// The repository is declared here, whatever it is.
    Owned,
    /// There is no such repository.
    Gone,
}

/// One change, and the fields that it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The change.
    pub change: Change,
    /// What it changes, for whoever reads the plan.
    pub fields: Vec<Field>,
}

impl Step {
    pub(crate) fn new(change: Change, fields: Vec<Field>) -> Self {
        Self { change, fields }
    }
}

/// A field that is something else afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name, as `modelkeep.toml` has it.
    pub field: String,
    /// What it is; `None` where it is not there.
    pub from: Option<String>,
    /// What it will be; `None` where it goes.
    pub to: Option<String>,
}

impl Field {
    pub(crate) fn set(field: &str, from: Option<String>, to: Option<String>) -> Self {
        Self {
            field: field.to_owned(),
            from,
            to,
        }
    }
}

/// A repository that somebody else made, and that nobody said is to be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is a repository {name} in {registry} that modelkeep does not manage")]
pub struct NotOwned {
    /// The repository.
    pub name: RepoName,
    /// The registry, in words.
    pub registry: String,
}

/// What has to be done so that the repository is what is wanted. Pure.
///
/// # Errors
/// [`NotOwned`] when it is there and has no [`OWNER_TAG`]: see [`adopt`].
pub fn plan(wanted: &Wanted, observed: Option<Observed>) -> Result<Plan, NotOwned> {
    let steps = match &observed {
        None => vec![Step::new(
            Change::Create(wanted.description.clone()),
            diff::all(wanted),
        )],
        Some(found) => {
            check_owner(found, &wanted.powers)?;
            diff::steps(wanted, found)
        }
    };
    Ok(Plan {
        name: wanted.name.clone(),
        powers: wanted.powers.clone(),
        goal: Goal::Is(Box::new(wanted.clone())),
        observed,
        steps,
    })
}

/// What has to be done so that a repository that is there is declared here: it gets the [`OWNER_TAG`], and nothing else
/// changes. Pure.
#[must_use]
pub fn adopt(found: Observed, powers: &Powers) -> Plan {
    let steps = if is_owned(&found) {
        Vec::new()
    } else {
        let before = found.description.resource_tags.get(OWNER_TAG).cloned();
        let field = Field::set(
            &format!("resource_tags.{OWNER_TAG}"),
            before,
            Some(OWNER.to_owned()),
        );
        let tags = [(OWNER_TAG.to_owned(), OWNER.to_owned())].into();
        vec![Step::new(Change::Tag(tags), vec![field])]
    };
    Plan {
        name: found.name.clone(),
        powers: powers.clone(),
        goal: Goal::Owned,
        observed: Some(found),
        steps,
    }
}

pub(crate) fn is_owned(found: &Observed) -> bool {
    let tag = found.description.resource_tags.get(OWNER_TAG);
    tag.is_some_and(|owner| owner == OWNER)
}

pub(crate) fn check_owner(found: &Observed, powers: &Powers) -> Result<(), NotOwned> {
    if is_owned(found) {
        return Ok(());
    }
    Err(NotOwned {
        name: found.name.clone(),
        registry: powers.registry.clone(),
    })
}

impl Plan {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Who keeps the immutable tags of the repository from moving.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        match &self.observed {
            Some(found) => found.enforcement,
            None => self.powers.enforcement,
        }
    }

    /// Whether it deletes the repository.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step.change, Change::Delete(_)))
    }

    /// The same plan for what is there now.
    pub(crate) fn again(&self, observed: Option<Observed>) -> Result<Self, NotOwned> {
        match (&self.goal, observed) {
            (Goal::Is(wanted), observed) => plan(wanted, observed),
            (Goal::Owned, Some(found)) => Ok(adopt(found, &self.powers)),
            // There is no plan that brings back what is gone, or that deletes what was made since.
            (Goal::Owned | Goal::Gone, observed) => Ok(Self {
                observed,
                steps: Vec::new(),
                ..self.clone()
            }),
        }
    }
}
