//! `modelkeep gc`

use std::time::SystemTime;

use modelkeep_store::{Act, CollectOptions, Store};

use crate::{
    args::Gc,
    error::{Exit, Failure},
    report::{Answer, human},
    settings::Settings,
};

pub(super) fn run(arguments: &Gc, settings: &Settings) -> Result<Answer, Failure> {
    let store = Store::open(&settings.store.value)?;
    let collected = store.collect(&CollectOptions {
        grace: arguments.grace,
        now: SystemTime::now(),
        act: if arguments.dry_run {
            Act::Report
        } else {
            Act::Remove
        },
    })?;
    let mut text = String::new();
    for (name, error) in &collected.kept {
        text.push_str(&format!("kept: {name}: {}\n", human::clean(&human::chain(error))));
    }
    let done = if arguments.dry_run {
        "would remove"
    } else {
        "removed"
    };
    text.push_str(&format!(
        "{done}: {}, {}, {}\n",
        human::count(collected.blobs, "blob"),
        human::count(collected.uploads, "unfinished upload"),
        human::bytes(collected.bytes)
    ));
    let exit = if collected.kept.is_empty() {
        Exit::Done
    } else {
        Exit::Damage
    };
    Ok(Answer { text, exit })
}
