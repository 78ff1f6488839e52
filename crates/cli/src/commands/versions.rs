//! `modelkeep versions`

use std::collections::HashMap;

use modelkeep_core::{
    Descriptor, Digest, Document, SemVer, Tag, annotation,
    content::{Error, Source},
};
use modelkeep_inspect::Record;
use modelkeep_ledger::History;
use modelkeep_transfer::in_parallel;

use super::workers;
use crate::{
    args::Versions,
    condition::Condition,
    error::Failure,
    held::{self, read_document, read_image, stated},
    publishing::untold,
    report::{Answer, human, json},
    settings::Settings,
    wiring::{self, Endpoint},
};

pub(super) fn run(arguments: &Versions, settings: &Settings) -> Result<Answer, Failure> {
    let (host, name) = wiring::named(settings, arguments.name.as_deref())?;
    let endpoint = wiring::repository(settings, host.as_ref(), &name)?;
    let history = endpoint.history()?;
    let mut versions = published(&endpoint, &history)?;
    versions.extend(tagged(&endpoint, &history, settings)?);
    let aliases = aliases(&endpoint, &history, settings)?;
    for version in &mut versions {
        version.aliases = aliases.get(&version.digest).cloned().unwrap_or_default();
    }
    let asked = asked(arguments);
    if !asked.is_empty() {
        measure(&endpoint, &mut versions, &asked)?;
    }
    versions.retain(|version| {
        let is_true = |condition: &Condition| {
            let value = version.metrics.get(&condition.metric);
            value.is_some_and(|value| condition.is_true_of(*value))
        };
        arguments.conditions.iter().all(is_true)
    });
    if arguments.json.json {
        return Ok(json::answer(&json::Versions {
            repository: name.to_string(),
            versions,
        }));
    }
    Ok(Answer::done(text(&versions, &arguments.metrics)))
}

/// The metrics that are asked for.
fn asked(arguments: &Versions) -> Vec<&str> {
    let conditions = arguments
        .conditions
        .iter()
        .map(|condition| condition.metric.as_str());
    arguments
        .metrics
        .iter()
        .map(String::as_str)
        .chain(conditions)
        .collect()
}

/// Adds what nobody declared and the files say: it stands in the record of a version, which is fetched with the config
/// of its image.
fn measure(endpoint: &Endpoint, versions: &mut [json::Version], asked: &[&str]) -> Result<(), Failure> {
    let source = endpoint.source();
    let missing: Vec<usize> = (0..versions.len())
        .filter(|&at| asked.iter().any(|name| !versions[at].metrics.contains_key(*name)))
        .collect();
    let records = in_parallel(&missing, workers(), |&at| {
        let Some(manifest) = endpoint.manifest(&versions[at].digest)? else {
            // It was deleted since.
            return Ok(None);
        };
        let config = match read_image(source, &manifest) {
            Ok((_, config)) => config,
            // What others push has the config that they like.
            Err(Error::Malformed { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let labels = config.config.labels.unwrap_or_default();
        Ok::<_, Failure>(
            labels
                .get(annotation::RECORD)
                .and_then(|record| Record::parse(record)),
        )
    })?;
    for (at, record) in missing.into_iter().zip(records) {
        for name in asked {
            if let Some(value) = record.as_ref().and_then(|record| record.metric(name)) {
                versions[at].metrics.entry((*name).to_owned()).or_insert(value);
            }
        }
    }
    Ok(())
}

/// Names that move, by what they point at: as the history has them, and as the settings declare those that it does not have.
fn aliases(
    endpoint: &Endpoint,
    history: &History,
    settings: &Settings,
) -> Result<HashMap<Digest, Vec<String>>, Failure> {
    let mut aliases: HashMap<Digest, Vec<String>> = HashMap::new();
    for moved in history.aliases() {
        let digest = moved.alias.manifest.digest.clone();
        aliases.entry(digest).or_default().push(moved.name.to_string());
    }
    let declared = settings.aliases.value.iter();
    for alias in declared.filter(|alias| history.alias(alias).is_none()) {
        if let Some(target) = held::manifest_of(endpoint, history, alias)? {
            aliases.entry(target.digest).or_default().push(alias.to_string());
        }
    }
    Ok(aliases)
}

/// The versions as a history has them, newest first.
fn published(endpoint: &Endpoint, history: &History) -> Result<Vec<json::Version>, Failure> {
    let manifests = history.publications().iter().map(|publication| {
        let now = history.version(&publication.version);
        let is_current = now.is_some_and(|now| now.id == publication.id);
        (publication.manifest().clone(), is_current)
    });
    let sizes = sizes(endpoint.source(), &manifests.collect::<Vec<_>>())?;
    let ids = history.publications().iter().map(|publication| &publication.id);
    let sizes: HashMap<_, _> = ids.zip(sizes).collect();
    let rows = history
        .newest_first()
        .into_iter()
        .filter(|p| !p.version.is_reserved());
    Ok(rows
        .map(|publication| {
            let (size, new_bytes) = sizes.get(&publication.id).copied().unwrap_or_default();
            let publication = publication.clone();
            json::Version {
                version: publication.version.to_string(),
                aliases: Vec::new(),
                yanked: history
                    .yanked(&publication.version)
                    .map(|yanked| yanked.reason.clone()),
                digest: publication.publish.manifest.digest,
                size,
                new_bytes,
                created: Some(publication.time),
                author: Some(publication.author),
                signed_by: publication.signer.map(|key| key.to_string()),
                message: publication.publish.message,
                parent: publication.parent.map(|parent| parent.to_string()),
                content_root: publication.publish.root,
                metrics: publication.publish.metrics,
                params: publication.publish.params,
            }
        })
        .collect())
}

/// The tags of a registry that its history says nothing of, the highest semantic version first. What is said of them is
/// what the images state.
fn tagged(
    endpoint: &Endpoint,
    history: &History,
    settings: &Settings,
) -> Result<Vec<json::Version>, Failure> {
    let mut tags = match held::are_tags_believed(endpoint, history)? {
        true => untold(endpoint, history)?,
        false => Vec::new(),
    };
    tags.retain(|tag| !settings.aliases.value.contains(tag));
    tags.sort_by_cached_key(|tag| (SemVer::parse(tag), tag.clone()));
    let (source, names) = (endpoint.source(), endpoint.names());
    let found = in_parallel(&tags, workers(), |tag: &Tag| {
        // It may have been taken away since.
        let Some(manifest) = names.resolve(tag)? else {
            return Ok(None);
        };
        let annotations = match read_document(source, &manifest)? {
            Document::Image(image) => image.annotations,
            Document::Index(index) => index.annotations,
        };
        Ok::<_, Failure>(Some((tag.clone(), manifest, annotations)))
    })?;
    let found: Vec<_> = found.into_iter().flatten().collect();
    let manifests = found.iter().map(|(_, manifest, _)| (manifest.clone(), true));
    let sizes = sizes(source, &manifests.collect::<Vec<_>>())?;
    let rows = found.into_iter().zip(sizes).rev();
    Ok(rows
        .map(
            |((tag, manifest, annotations), (size, new_bytes))| json::Version {
                version: tag.to_string(),
                aliases: Vec::new(),
                yanked: None,
                digest: manifest.digest,
                size,
                new_bytes,
                created: annotations.get(annotation::CREATED).cloned(),
                author: None,
                signed_by: None,
                message: annotations.get(annotation::MESSAGE).cloned(),
                parent: None,
                content_root: annotations
                    .get(annotation::ROOT)
                    .and_then(|root| root.parse().ok()),
                metrics: stated(&annotations, annotation::METRICS),
                params: stated(&annotations, annotation::PARAMS),
            },
        )
        .collect())
}

/// Size of each image or index, and the bytes in it that none before it has. What is not current, and was deleted
/// since, counts as nothing: its bytes need not be here any more.
fn sizes(source: &dyn Source, manifests: &[(Descriptor, bool)]) -> Result<Vec<(u64, u64)>, Failure> {
    let blobs = in_parallel(manifests, workers(), |(manifest, is_current)| {
        match blobs(source, manifest) {
            Err(Error::NotFound { .. }) if !is_current => Ok(HashMap::new()),
            blobs => blobs,
        }
    })?;
    let mut seen: HashMap<Digest, usize> = HashMap::new();
    let sizes = blobs.into_iter().enumerate().map(|(at, blobs)| {
        let mut size: u64 = 0;
        let mut new_bytes: u64 = 0;
        for (digest, bytes) in blobs {
            size = size.saturating_add(bytes);
            if *seen.entry(digest).or_insert(at) == at {
                new_bytes = new_bytes.saturating_add(bytes);
            }
        }
        (size, new_bytes)
    });
    Ok(sizes.collect())
}

/// All that an image or index needs, itself among it, with its sizes.
fn blobs(source: &dyn Source, root: &Descriptor) -> Result<HashMap<Digest, u64>, Error> {
    let mut blobs = HashMap::new();
    let mut manifests = vec![root.clone()];
    while let Some(manifest) = manifests.pop() {
        if blobs.insert(manifest.digest.clone(), manifest.size).is_some() {
            continue;
        }
        match read_document(source, &manifest)? {
            Document::Image(image) => {
                let parts = image.layers.into_iter().chain([image.config]);
                blobs.extend(parts.map(|blob| (blob.digest, blob.size)));
            }
            Document::Index(index) => manifests.extend(index.manifests),
        }
    }
    Ok(blobs)
}

fn text(versions: &[json::Version], metrics: &[String]) -> String {
    let header = [
        "VERSION", "DIGEST", "SIZE", "NEW", "WHEN", "BY", "PARENT", "MESSAGE",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    // Before the message, which is as long as it is.
    let place = header.len() - 1;
    rows[0].splice(
        place..place,
        metrics.iter().map(|name| human::first_line(name, 30)),
    );
    rows.extend(versions.iter().map(|version| {
        let yanked = version.yanked.iter().map(|_| "yanked");
        let marks: Vec<&str> = yanked.chain(version.aliases.iter().map(String::as_str)).collect();
        let name = match marks.as_slice() {
            [] => version.version.clone(),
            marks => format!("{} ({})", version.version, marks.join(", ")),
        };
        let mut row = vec![
            name,
            version.digest.short().to_owned(),
            human::bytes(version.size),
            human::bytes(version.new_bytes),
            human::first_line(version.created.as_deref().unwrap_or("-"), 30),
            human::first_line(version.author.as_deref().unwrap_or("-"), 30),
            version.parent.clone().unwrap_or_else(|| "-".to_owned()),
            human::first_line(version.message.as_deref().unwrap_or_default(), 60),
        ];
        let value = |name| {
            version
                .metrics
                .get(name)
                .map_or_else(|| "-".to_owned(), f64::to_string)
        };
        row.splice(place..place, metrics.iter().map(value));
        row
    }));
    human::table(&rows)
}
