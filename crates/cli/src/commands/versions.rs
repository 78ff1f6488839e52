//! `modelkeep versions`

use std::collections::HashMap;

use modelkeep_core::{
    Descriptor, Digest, Document, Reference,
    content::{Error, Names},
};
use modelkeep_ledger::{History, Publication};
use modelkeep_store::Repository;

use crate::{
    args::Versions,
    error::{Failure, SettingsError},
    held::read_document,
    report::{Answer, human, json},
    settings::Settings,
    wiring,
};

pub(super) fn run(arguments: &Versions, settings: &Settings) -> Result<Answer, Failure> {
    let (host, name) = match &arguments.name {
        Some(text) => Reference::split_name(text).map_err(SettingsError::from)?,
        None => (None, settings.repository_name()?.clone()),
    };
    let repository = wiring::repository(settings, host.as_ref(), &name)?;
    let history = modelkeep_ledger::read(&repository)?;
    let versions = list(&repository, &history, settings)?;
    if arguments.json.json {
        return Ok(json::answer(&json::Versions {
            repository: name.to_string(),
            versions,
        }));
    }
    Ok(Answer::done(text(&versions)))
}

fn list(
    repository: &Repository,
    history: &History,
    settings: &Settings,
) -> Result<Vec<json::Version>, Failure> {
    let sizes = sizes(repository, history)?;
    let mut aliases: HashMap<Digest, Vec<String>> = HashMap::new();
    for alias in &settings.aliases.value {
        if let Some(target) = repository.resolve(alias)? {
            aliases.entry(target.digest).or_default().push(alias.to_string());
        }
    }
    let rows = history
        .newest_first()
        .into_iter()
        .filter(|p| !p.version.is_reserved());
    Ok(rows
        .map(|publication| {
            let Publication {
                version,
                parent,
                time,
                author,
                publish,
                height,
                ..
            } = publication.clone();
            let (size, new_bytes) = sizes.get(&height).copied().unwrap_or_default();
            json::Version {
                version: version.to_string(),
                aliases: aliases.get(&publish.manifest.digest).cloned().unwrap_or_default(),
                digest: publish.manifest.digest,
                size,
                new_bytes,
                created: time,
                author,
                message: publish.message,
                parent: parent.map(|parent| parent.to_string()),
                content_root: publish.root,
                metrics: publish.metrics,
                params: publish.params,
            }
        })
        .collect())
}

/// Size of every publication, and the bytes in it that no earlier one has; by height. What was deleted since is
/// passed over: its bytes need not be here any more.
fn sizes(repository: &Repository, history: &History) -> Result<HashMap<u64, (u64, u64)>, Error> {
    let mut first: HashMap<Digest, u64> = HashMap::new();
    let mut sizes = HashMap::new();
    for publication in history.publications() {
        let is_current = history
            .version(&publication.version)
            .is_some_and(|now| now.id == publication.id);
        let blobs = match blobs(repository, publication.manifest()) {
            Err(Error::NotFound { .. }) if !is_current => continue,
            blobs => blobs?,
        };
        let mut size: u64 = 0;
        let mut new_bytes: u64 = 0;
        for (digest, bytes) in blobs {
            size = size.saturating_add(bytes);
            if *first.entry(digest).or_insert(publication.height) == publication.height {
                new_bytes = new_bytes.saturating_add(bytes);
            }
        }
        sizes.insert(publication.height, (size, new_bytes));
    }
    Ok(sizes)
}

/// All that `root` is made of, manifests included, and the sizes.
fn blobs(repository: &Repository, root: &Descriptor) -> Result<HashMap<Digest, u64>, Error> {
    let mut blobs = HashMap::new();
    let mut manifests = vec![root.clone()];
    while let Some(manifest) = manifests.pop() {
        if blobs.insert(manifest.digest.clone(), manifest.size).is_some() {
            continue;
        }
        match read_document(repository, &manifest)? {
            Document::Image(image) => {
                let parts = image.layers.into_iter().chain([image.config]);
                blobs.extend(parts.map(|blob| (blob.digest, blob.size)));
            }
            Document::Index(index) => manifests.extend(index.manifests),
        }
    }
    Ok(blobs)
}

fn text(versions: &[json::Version]) -> String {
    let header = [
        "VERSION", "DIGEST", "SIZE", "NEW", "WHEN", "BY", "PARENT", "MESSAGE",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(versions.iter().map(|version| {
        let name = match version.aliases.as_slice() {
            [] => version.version.clone(),
            aliases => format!("{} ({})", version.version, aliases.join(", ")),
        };
        vec![
            name,
            version.digest.short().to_owned(),
            human::bytes(version.size),
            human::bytes(version.new_bytes),
            human::first_line(&version.created, 30),
            human::first_line(&version.author, 30),
            version.parent.clone().unwrap_or_else(|| "-".to_owned()),
            human::first_line(version.message.as_deref().unwrap_or_default(), 60),
        ]
    }));
    human::table(&rows)
}
