//! `modelkeep show`

use std::fmt::Write as _;

use modelkeep_core::{Contents, annotation};
use modelkeep_inspect::Record;
use modelkeep_package::{
    foreign::{Kind, Placed},
    modelpack,
};

use crate::{
    args::Show,
    error::{Exit, Failure},
    held::Held,
    holding::Holding,
    publishing::Model,
    report::{Answer, human, json, record},
    settings::Settings,
};

pub(super) fn run(arguments: &Show, settings: &Settings) -> Result<Answer, Failure> {
    let held = Held::find(settings, &arguments.version)?;
    let known = match Holding::of(&held, settings)
        .and_then(|holding| Known::of(&held, holding, arguments.json.json))
    {
        Ok(known) => Ok(known),
        // A list that is damaged is no other version.
        Err(failure) if failure.exit == Exit::Damage => return Err(failure),
        Err(failure) => Err(human::chain(&*failure.error)),
    };
    let report = report(&held, known.as_ref().ok());
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    Ok(Answer::done(text(&held, &report, &known)))
}

/// What a version holds, as far as it can be told without reading layers whole.
struct Known {
    holding: Holding,
    files: Option<Vec<Placed>>,
    record: Option<Record>,
}

impl Known {
    fn of(held: &Held, holding: Holding, is_whole: bool) -> Result<Self, Failure> {
        let record = match is_whole {
            true => held.whole_record(&holding)?,
            false => held.record(&holding)?,
        };
        Ok(Self {
            files: holding.files(held)?,
            holding,
            record,
        })
    }
}

fn report(held: &Held, known: Option<&Known>) -> json::Show {
    let holding = known.map(|known| &known.holding);
    let file = |holding: &Holding, file: &Placed| {
        let part = &holding.described.parts[file.part];
        json::File {
            path: file.path.to_string(),
            size: file.size,
            digest: file.digest.clone(),
            layer: part.diff_id.as_ref().unwrap_or(&part.layer.digest).clone(),
            offset: file.offset,
        }
    };
    let files = known.and_then(|known| {
        let files = known.files.as_ref()?.iter();
        Some(files.map(|placed| file(&known.holding, placed)).collect())
    });
    let contents = holding.and_then(|holding| holding.contents.as_ref());
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
        kind: holding.map(|holding| match holding.is_own {
            true => "modelkeep",
            false => holding.described.kind.as_str(),
        }),
        about: holding
            .map(|holding| holding.described.about.iter().cloned().collect())
            .unwrap_or_default(),
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
            signed_by: p.signer.as_ref().map(ToString::to_string),
            message: p.publish.message.clone(),
            parent: p.parent.as_ref().map(ToString::to_string),
            from: p.publish.from.clone(),
        }),
        record: known.and_then(|known| known.record.clone()),
    }
}

fn text(held: &Held, report: &json::Show, known: &Result<Known, String>) -> String {
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
        field("signed by", entry.signed_by.as_deref().unwrap_or("nobody"));
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
    if let Some(config) = &report.config {
        field("platform", &format!("{}/{}", config.os, config.architecture));
    }
    match known.as_ref().map(|known| &known.holding) {
        Ok(holding) if !holding.is_own => {
            field("kind", &holding.described.kind.to_string());
            for (name, value) in &holding.described.about {
                field(name, value);
            }
        }
        _ if modelpack::is_own(&held.manifest) => field("kind", &Kind::ModelPack.to_string()),
        _ => {}
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
    let known = match known {
        Ok(known) => known,
        Err(reason) => {
            let _ = writeln!(text, "\nits files cannot be listed: {}", human::clean(reason));
            return text;
        }
    };
    let record = known.record.as_ref().map(record::text);
    if let Some(record) = record.filter(|record| !record.is_empty()) {
        text.push('\n');
        text.push_str(&record);
    }
    text.push('\n');
    if known.files.is_none() {
        text.push_str(&unlisted(held, &known.holding));
        return text;
    }
    let mut rows = vec![["FILE", "SIZE", "SHA256"].map(str::to_owned).to_vec()];
    rows.extend(report.files.iter().map(|file| {
        let digest = file.digest.as_ref().map_or("not stated", |digest| digest.hex());
        vec![file.path.clone(), human::bytes(file.size), digest.to_owned()]
    }));
    text.push_str(&human::table(&rows));
    text
}

/// What can be said of layers that would have to be read.
fn unlisted(held: &Held, holding: &Holding) -> String {
    let place = match holding.described.directory() {
        Some(directory) => format!(" below {directory}"),
        None => String::new(),
    };
    format!(
        "which files it has{place}, and what they are, is not stated, and its layers are compressed ({}):\n\
         `modelkeep inspect {1}` and `modelkeep pull {1}` read them\n",
        human::bytes(holding.packed_bytes()),
        held.reference
    )
}
