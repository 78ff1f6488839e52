//! `modelkeep config`

use std::collections::BTreeMap;

use crate::{
    args::Config,
    report::{Answer, human, json},
    settings::{Setting, Settings},
};

/// Most characters of a text that may fill a page.
const LONGEST: usize = 100;

pub(super) fn run(arguments: &Config, settings: &Settings) -> Answer {
    let rows = rows(settings);
    if arguments.json.json {
        return json::answer(&json::Settings { settings: rows });
    }
    let mut table = vec![["SETTING", "VALUE", "FROM"].map(str::to_owned).to_vec()];
    table.extend(
        rows.into_iter()
            .map(|row| vec![row.name.to_owned(), row.value, row.origin]),
    );
    Answer::done(human::table(&table))
}

fn rows(settings: &Settings) -> Vec<json::Setting> {
    fn row<T>(name: &'static str, setting: &Setting<T>, value: impl Fn(&T) -> String) -> json::Setting {
        json::Setting {
            name,
            value: value(&setting.value),
            origin: setting.origin.to_string(),
        }
    }
    fn list<T: ToString>(values: &[T]) -> String {
        values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    }
    fn pairs(pairs: &BTreeMap<String, String>) -> String {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(", ")
    }
    let mut rows = vec![row("store", &settings.store, |path| path.display().to_string())];
    if let Some(name) = &settings.name {
        rows.push(row("repository.name", name, ToString::to_string));
    }
    rows.extend([
        row("repository.registry", &settings.registry, ToString::to_string),
        row("repository.settle", &settings.settle, |time| format!("{time:?}")),
        row(
            "repository.image_tag_mutability",
            &settings.mutability,
            |mutability| match mutability.filters() {
                [] => mutability.as_str().to_owned(),
                filters => format!("{} ({})", mutability.as_str(), list(filters)),
            },
        ),
        row("repository.aliases", &settings.aliases, |aliases| list(aliases)),
        row("repository.max_age", &settings.max_age, |age| {
            age.map(|age| age.to_string()).unwrap_or_default()
        }),
    ]);
    if let Ok(declared) = settings.declared() {
        rows.extend(declared.rows().into_iter().map(|(name, value)| json::Setting {
            name,
            value: human::first_line(&value, LONGEST),
            origin: declared.file().display().to_string(),
        }));
    }
    rows.extend([
        row("image.format", &settings.format, |format| {
            format.as_str().to_owned()
        }),
        row("image.path", &settings.image_path, Clone::clone),
        row("image.base", &settings.base, |base| {
            base.clone().unwrap_or_default()
        }),
        row("image.labels", &settings.labels, pairs),
        row("image.executable", &settings.executable, |globs| list(globs)),
        row("image.entrypoint", &settings.entrypoint, |words| list(words)),
        row("image.cmd", &settings.cmd, |words| list(words)),
        row("image.env", &settings.env, pairs),
        row("image.user", &settings.user, |user| {
            user.clone().unwrap_or_default()
        }),
    ]);
    rows
}
