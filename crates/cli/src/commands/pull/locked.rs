//! By `modelkeep.lock`: no tag and no history decides anything.

use std::path::{Path, PathBuf};

use modelkeep_core::{Reference, Tag, name::Target};

use crate::{
    error::{Exit, Failure},
    held::Held,
    holding::Holding,
    lock::{Lock, Model, place},
    report::human,
    settings::Settings,
    wiring,
};

/// A version of the lock file.
pub(super) struct Locked {
    reference: Reference,
    version: Tag,
    model: Model,
}

/// The file, and what `text` names in it: everything without it.
pub(super) fn find(settings: &Settings, text: Option<&str>) -> Result<(PathBuf, Vec<Locked>), Failure> {
    let none = || Failure::usage("there is no modelkeep.lock here or above");
    let path =
        Lock::find(Path::new("."))?.ok_or_else(|| none().hint("`modelkeep lock NAME:VERSION` makes it"))?;
    let lock = Lock::read(&path)?;
    let mut found = lock.models_named(text);
    if let (Some(text), true) = (text, found.len() > 1) {
        // Of several repositories, that of the settings.
        let reference = wiring::placed(settings, settings.reference(text)?)?;
        let here = crate::lock::name_of(&(reference.host, reference.name));
        found.retain(|((repository, _), _)| *repository == here);
    }
    if found.is_empty() {
        let what = text.unwrap_or("anything");
        let error = format!("{} does not lock {what}", path.display());
        return Err(Failure::usage(error).hint("`modelkeep lock NAME:VERSION` does"));
    }
    let found = found.into_iter().map(|((repository, version), model)| {
        let (host, name) = place(repository).map_err(|error| Failure::new(Exit::Damage, error))?;
        let target = Target::Tag(version.clone());
        Ok(Locked {
            reference: Reference { host, name, target },
            version: version.clone(),
            model: model.clone(),
        })
    });
    let found = found.collect::<Result<_, Failure>>()?;
    Ok((path, found))
}

impl Locked {
    /// Reads the documents of the version, by its digest.
    pub(super) fn held(&self, settings: &Settings) -> Result<Held, Failure> {
        self.warn(settings);
        let held = Held::of_lock(settings, self.reference.clone(), self.model.manifest.clone())?;
        let contents = Holding::of(&held, settings)?.contents;
        let root = contents.map(|contents| contents.root());
        match &self.model.root {
            Some(locked) if root.as_ref() != Some(locked) => Err(Failure::new(
                Exit::Damage,
                format!(
                    "{} does not have the content root {locked}, which is locked",
                    self.reference
                ),
            )),
            _ => Ok(held),
        }
    }

    /// Says why it should not be taken into use, if the history can be read and says so. It is fetched all the same.
    fn warn(&self, settings: &Settings) {
        let Reference { host, name, .. } = &self.reference;
        let history = wiring::repository(settings, host.as_ref(), name).and_then(|it| it.history());
        let note = match history {
            Ok(history) => match history.yanked(&self.version) {
                Some(yanked) => format!(
                    "{} was yanked by {}: {}",
                    self.reference, yanked.author, yanked.reason
                ),
                None => return,
            },
            Err(failure) => format!(
                "the history of {name} says nothing now ({}): the lock file alone decides",
                human::chain(&*failure.error)
            ),
        };
        human::line(&format!("note: {}", human::clean(&note)));
    }
}
