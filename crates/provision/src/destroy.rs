use modelkeep_core::{
    RepoName,
    repositories::{Change, Deletion, Images, Observed, Powers},
};

use crate::{Field, Goal, NotOwned, Plan, Step, plan::check_owner};

/// Whether images may be deleted with their repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// They keep it.
    No,
    /// They go with it: the owner's explicit act.
    Yes,
}

/// Why a repository stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stays {
    /// Its file says so.
    #[error("the repository {0} is protected: `protect = true`")]
    Protected(RepoName),
    /// It holds images.
    #[error("the repository {name} holds {images}")]
    NotEmpty {
        /// The repository.
        name: RepoName,
        /// How many.
        images: Images,
    },
    /// It is somebody else's.
    #[error(transparent)]
    NotOwned(#[from] NotOwned),
}

/// What has to be done so that there is no such repository. Pure.
///
/// # Errors
/// Whatever makes it stay.
pub fn destroy(
    name: &RepoName,
    observed: Option<Observed>,
    powers: &Powers,
    protect: bool,
    force: Force,
) -> Result<Plan, Stays> {
    let steps = match &observed {
        None => Vec::new(),
        Some(found) => {
            if protect {
                return Err(Stays::Protected(name.clone()));
            }
            check_owner(found, powers)?;
            let deletion = match (found.images.is_none(), force) {
                (true, _) => Deletion::OnlyEmpty,
                (false, Force::Yes) => Deletion::WithImages,
                (false, Force::No) => {
                    return Err(Stays::NotEmpty {
                        name: name.clone(),
                        images: found.images,
                    });
                }
            };
            let images = Field::set("images", Some(found.images.to_string()), None);
            vec![Step::new(Change::Delete(deletion), vec![images])]
        }
    };
    Ok(Plan {
        name: name.clone(),
        powers: powers.clone(),
        goal: Goal::Gone,
        observed,
        steps,
    })
}
