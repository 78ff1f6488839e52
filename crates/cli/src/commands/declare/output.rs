use std::collections::{BTreeMap, BTreeSet};

use modelkeep_core::{
    Digest, SemVer, Tag,
    repositories::{Enforcement, Error, Observed},
};

use crate::{
    args::Output,
    error::{Exit, Failure},
    held,
    promise::Keeper,
    report::{Answer, json},
    settings::Settings,
    wiring::{self, declared},
};

pub(crate) fn run(arguments: &Output, settings: &Settings) -> Result<Answer, Failure> {
    let name = settings.repository_name()?;
    let registry = declared::registry(settings)?;
    let powers = registry.powers();
    let Some(found) = registry.observe(name)? else {
        return Err(Error::NotFound {
            name: name.clone(),
            registry: powers.registry,
        }
        .into());
    };
    let wanted = arguments.name.as_deref();
    // What the registry itself says needs no look at the images.
    if let Some(wanted) = wanted
        && let Some(value) = field(&found, wanted)
    {
        return match value {
            Some(value) => Ok(one(wanted, value, arguments)),
            None => Err(Failure::new(
                Exit::Failed,
                format!("{name} has no {wanted}: {} gives none", powers.registry),
            )),
        };
    }
    let (versions, aliases) = names(settings, &found)?;
    if let Some(wanted) = wanted {
        let all = versions.iter().chain(&aliases);
        return match all.clone().find(|named| named.name == wanted) {
            Some(named) => Ok(one(wanted, &named.reference, arguments)),
            None => Err(unknown(wanted, all.map(|named| named.name.as_str()))),
        };
    }
    let document = json::Output {
        repository: name.to_string(),
        registry: powers.registry,
        repository_uri: found.uri.clone(),
        arn: found.arn.clone(),
        registry_id: found.registry_id.clone(),
        enforcement: found.enforcement,
        image_tag_mutability: match found.enforcement {
            Enforcement::Registry => found.description.mutability.as_str(),
            // The registry does not know it.
            Enforcement::Client => settings.mutability.value.as_str(),
        },
        versions,
        aliases,
    };
    if arguments.json.json {
        return Ok(json::answer(&document));
    }
    let keeper = Keeper::declared(&settings.registry.value, found.enforcement);
    Ok(Answer::done(text(&document, keeper)))
}

/// A field by its name; `Some(None)` when this registry does not have it.
fn field<'a>(found: &'a Observed, name: &str) -> Option<Option<&'a str>> {
    match name {
        "repository_uri" => Some(Some(&found.uri)),
        "arn" => Some(found.arn.as_deref()),
        "registry_id" => Some(found.registry_id.as_deref()),
        "enforcement" => Some(Some(found.enforcement.as_str())),
        _ => None,
    }
}

fn one(name: &str, value: &str, arguments: &Output) -> Answer {
    if arguments.json.json {
        let document: BTreeMap<_, _> = [(name, value)].into();
        return json::answer(&document);
    }
    Answer::done(format!("{value}\n"))
}

fn unknown<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Failure {
    let fixed = ["repository_uri", "arn", "registry_id", "enforcement"];
    let names: Vec<&str> = fixed.into_iter().chain(names).collect();
    Failure::usage(format!("there is no output {wanted:?}")).hint(format!("there are {}", names.join(", ")))
}

/// The versions, and the aliases, each with the reference that never means anything else.
fn names(settings: &Settings, found: &Observed) -> Result<(Vec<json::Pinned>, Vec<json::Pinned>), Failure> {
    let (host, name) = match found.uri.split_once('/') {
        // A store has no host, and its names may have slashes.
        _ if found.uri == found.name.as_str() => (None, found.name.clone()),
        Some((host, name)) => {
            let wrong = |_| Failure::new(Exit::Failed, format!("{:?} is not an address", found.uri));
            (Some(host.parse().map_err(wrong)?), name.parse().map_err(wrong)?)
        }
        None => (None, found.name.clone()),
    };
    let endpoint = wiring::repository(settings, host.as_ref(), &name)?;
    let pinned = |tag: &Tag, digest: &Digest| json::Pinned {
        name: tag.to_string(),
        digest: digest.clone(),
        reference: format!("{}@{digest}", found.uri),
    };
    let history = endpoint.history()?;
    let mut tags: BTreeSet<Tag> = endpoint.versions()?.into_iter().collect();
    tags.extend(
        history
            .newest_first()
            .iter()
            .map(|publication| publication.version.clone()),
    );
    let mut tags: Vec<Tag> = tags.into_iter().collect();
    tags.sort_by_cached_key(SemVer::parse);
    let (mut versions, mut aliases) = (Vec::new(), Vec::new());
    for tag in tags {
        // It may have been taken away since.
        let Some(manifest) = held::manifest_of(&endpoint, &history, &tag)? else {
            continue;
        };
        let named = pinned(&tag, &manifest.digest);
        if settings.aliases.value.contains(&tag) {
            aliases.push(named);
        } else {
            versions.push(named);
        }
    }
    Ok((versions, aliases))
}

fn text(output: &json::Output, keeper: Keeper) -> String {
    let none = "(none)";
    let mut rows = vec![
        ["repository_uri", &output.repository_uri],
        ["arn", output.arn.as_deref().unwrap_or(none)],
        ["registry_id", output.registry_id.as_deref().unwrap_or(none)],
        ["image_tag_mutability", output.image_tag_mutability],
        ["enforced by", output.enforcement.as_str()],
        ["promise", keeper.promise()],
    ];
    rows.extend(
        output
            .versions
            .iter()
            .chain(&output.aliases)
            .map(|named| [named.name.as_str(), named.reference.as_str()]),
    );
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.map(str::to_owned).to_vec())
        .collect();
    crate::report::human::table(&rows)
}
