//! `modelkeep init`

use std::path::Path;

use modelkeep_disk::{Outcome, publish};

use crate::{
    args::{Global, Init},
    error::{Exit, Failure},
    report::Answer,
    settings::{FILE, Registry, Settings},
};

pub(super) fn run(arguments: &Init, global: &Global) -> Result<Answer, Failure> {
    let registry = Registry::parse(&arguments.registry).map_err(|error| Failure::new(Exit::Usage, error))?;
    // An existing file is never read here, so that a broken one does not stand in the way of its own message.
    let path = Path::new(FILE);
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None if path.exists() => return Err(exists()),
        None => Settings::load(global, Path::new("."))?.repository_name()?.clone(),
    };
    let text = format!(
        r#"# How the model in this directory is versioned. `modelkeep config` prints what is in force, and `modelkeep preview`
# what `modelkeep up` would make of it.

[repository]
# What the repository is called: lower-case letters, digits, and . _ - / between them.
name = "{name}"

# Where versions are kept: "embedded" (a store of your own, no server needed), "ecr-public", "ecr",
# or a registry as HOST or HOST/PREFIX.
registry = "{registry}"

# Which tags may move: "IMMUTABLE" (none), "MUTABLE", "IMMUTABLE_WITH_EXCLUSION" or "MUTABLE_WITH_EXCLUSION".
image_tag_mutability = "IMMUTABLE"
# image_tag_mutability_exclusion_filters = ["dev-*"]

# Names that may move from version to version. They hold no content of their own.
# aliases = ["production", "staging"]

# What `modelkeep up` declares besides (docs/guide/provision.md).
# protect = true
# require_enforcement = "registry"
# resource_tags = {{ team = "vision" }}
# catalog = {{ description = "What the gallery shows.", architectures = ["x86-64"] }}

[image]
# Where the model lies in the image.
# path = "/models"
# labels = {{ team = "vision" }}
"#
    );
    match publish::write_new(path, text.as_bytes()) {
        Ok(Outcome::Created) => Ok(Answer::done(format!("wrote {FILE} for the repository {name}\n"))),
        Ok(Outcome::Exists) => Err(exists()),
        Err(error) => Err(Failure::failed(modelkeep_core::content::Error::io(format!(
            "write {FILE}"
        ))(error))),
    }
}

fn exists() -> Failure {
    Failure::new(Exit::Failed, format!("{FILE} exists"))
        .hint("edit it; `modelkeep config` prints what is in force")
}
