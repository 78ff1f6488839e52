//! `modelkeep show`

use std::fmt::Write as _;

use modelkeep_core::{Contents, annotation};
use modelkeep_inspect::Record;
use modelkeep_package::modelpack;

use crate::{
    args::Show,
    error::Failure,
    held::Held,
    publishing::Model,
    report::{Answer, human, json, record},
    settings::Settings,
};

pub(super) fn run(arguments: &Show, settings: &Settings) -> Result<Answer, Failure> {
    let held = Held::find(settings, &arguments.version)?;
    let contents = held.contents()?;
    let found = match &contents {
        Some(contents) if arguments.json.json => Some(held.whole_record(contents)?),
        Some(contents) => Some(held.record(contents)?),
        None => None,
    };
    let report = report(&held, contents.as_ref(), found);
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    Ok(Answer::done(text(&held, &report)))
}

fn report(held: &Held, contents: Option<&Contents>, found: Option<Record>) -> json::Show {
    let files = contents.map(|contents| {
        let files = contents.files().iter().map(|file| json::File {
            path: file.path.to_string(),
            size: file.size,
            digest: file.digest.clone(),
            layer: contents.layers()[file.layer].clone(),
            offset: file.offset,
        });
        files.collect()
    });
    let annotation = |name: &str| held.annotations().get(name).cloned();
    let publication = held.publication.as_ref();
    json::Show {
        repository: held.reference.name.to_string(),
        version: held.version(),
        yanked: held.yanked().map(|yanked| yanked.reason.clone()),
        digest: held.root.digest.clone(),
        media_type: held.root.media_type.clone(),
        content_root: contents.map(Contents::root),
        files: files.unwrap_or_default(),
        layers: held.manifest.layers.clone(),
        config: held.config.clone(),
        annotations: held.annotations().clone(),
        metrics: held.metrics(),
        params: held.params(),
        base: Model::of(held.repository.source(), &held.root)
            .base
            .map(json::Base::from),
        origin: json::Origin {
            created: annotation(annotation::CREATED),
            revision: annotation(annotation::REVISION),
            source: annotation(annotation::SOURCE),
            model: annotation(annotation::ORIGIN),
        },
        history: publication.map(|p| json::Entry {
            height: p.height,
            id: p.id.clone(),
            time: p.time.clone(),
            author: p.author.clone(),
            message: p.publish.message.clone(),
            parent: p.parent.as_ref().map(ToString::to_string),
            from: p.publish.from.clone(),
        }),
        record: found,
    }
}

fn text(held: &Held, report: &json::Show) -> String {
    let mut text = format!("{}\n", held.reference);
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(
            text,
            "  {name:<12} {}",
            human::clean(value).replace('\n', "\n               ")
        );
    };
    field("digest", &report.digest.to_string());
    if let Some(root) = &report.content_root {
        field("content root", &root.to_string());
    }
    if let Some(reason) = &report.yanked {
        field("yanked", reason);
    }
    if let Some(entry) = &report.history {
        field("published", &format!("{} by {}", entry.time, entry.author));
        field(
            "parent",
            entry.parent.as_deref().unwrap_or("none: the first version"),
        );
        if let Some(from) = &entry.from {
            field("copied from", from);
        }
    }
    let message = match &report.history {
        Some(entry) => entry.message.as_ref(),
        None => report.annotations.get(annotation::MESSAGE),
    };
    if let Some(message) = message {
        field("message", message);
    }
    let origin = &report.origin;
    for (name, value) in [
        ("origin", &origin.model),
        ("created", &origin.created),
        ("revision", &origin.revision),
        ("source", &origin.source),
    ] {
        if let Some(value) = value {
            field(name, value);
        }
    }
    for (name, key) in [("title", annotation::TITLE), ("licenses", annotation::LICENSES)] {
        if let Some(value) = report.annotations.get(key) {
            field(name, value);
        }
    }
    for (name, value) in &report.metrics {
        field("metric", &format!("{name} = {value}"));
    }
    for (name, value) in &report.params {
        field("param", &format!("{name} = {value}"));
    }
    match held.manifest.artifact_type.as_deref() {
        Some(modelpack::ARTIFACT_TYPE) => field("artifact", "ModelPack"),
        _ => field(
            "platform",
            &format!("{}/{}", report.config.os, report.config.architecture),
        ),
    }
    let bytes = report
        .layers
        .iter()
        .fold(0u64, |sum, layer| sum.saturating_add(layer.size));
    field(
        "layers",
        &format!("{}, {}", report.layers.len(), human::bytes(bytes)),
    );
    if let Some(base) = &report.base {
        let name = base.name.as_deref().unwrap_or_default();
        field("base", format!("{name} {}", base.digest).trim());
    }
    if report.content_root.is_none() {
        text.push_str("\nan image without a list of its files: modelkeep did not make it\n");
        return text;
    }
    if let Some(found) = &report.record {
        text.push('\n');
        text.push_str(&record::text(found));
    }
    text.push('\n');
    let mut rows = vec![["FILE", "SIZE", "SHA256"].map(str::to_owned).to_vec()];
    rows.extend(report.files.iter().map(|file| {
        vec![
            file.path.clone(),
            human::bytes(file.size),
            file.digest.hex().to_owned(),
        ]
    }));
    text.push_str(&human::table(&rows));
    text
}
