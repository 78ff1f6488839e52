//! `modelkeep export`

use std::path::Path;

use modelkeep_core::{Tag, content::Error};
use modelkeep_package::{
    docker_archive::{self, ArchiveError},
    oci_layout::OciLayoutWriter,
};
use modelkeep_transfer::copy;

use super::workers;
use crate::{
    args::Export,
    error::Failure,
    held::Held,
    report::{Answer, human, json, progress::Progress},
    settings::Settings,
};

pub(super) fn run(arguments: &Export, settings: &Settings, quiet: bool) -> Result<Answer, Failure> {
    let held = Held::find_for_use(settings, &arguments.version)?;
    let layers = held.manifest.layers.iter();
    let total = layers.fold(0u64, |sum, layer| sum.saturating_add(layer.size));
    let progress = Progress::begin(quiet || arguments.json.json, total, "written");
    let add = |bytes| progress.add(bytes);
    let (path, bytes_written) = match (&arguments.to.oci, &arguments.to.docker_archive) {
        (Some(directory), _) => (directory, to_layout(&held, directory, &add)?),
        (None, Some(file)) => (file, to_archive(&held, file, &add)?),
        (None, None) => return Err(Failure::usage("export needs --oci DIR or --docker-archive FILE")),
    };
    let report = json::Export {
        reference: held.reference.to_string(),
        digest: held.root.digest.clone(),
        path: path.display().to_string(),
        bytes_written,
    };
    progress.end(&format!(
        "exported {}: wrote {}",
        report.reference,
        human::bytes(bytes_written)
    ));
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    Ok(Answer::done(format!("{}\n", report.path)))
}

/// The name of the image in a layout and in an archive: the version, or the short digest.
fn name(held: &Held) -> Tag {
    let short = || {
        held.root
            .digest
            .short()
            .parse()
            .expect("hexadecimal digits make a tag")
    };
    held.reference.tag().cloned().unwrap_or_else(short)
}

fn to_layout(held: &Held, directory: &Path, add: &(dyn Fn(u64) + Sync)) -> Result<u64, Failure> {
    let layout = OciLayoutWriter::create(directory)?;
    let copied =
        copy(held.repository.source(), &layout, &held.root, workers(), add).map_err(Failure::failed)?;
    layout.finish(&held.root, name(held).as_str(), &[])?;
    Ok(copied.bytes)
}

fn to_archive(held: &Held, file: &Path, add: &(dyn Fn(u64) + Sync)) -> Result<u64, Failure> {
    let tags = [format!("{}:{}", held.reference.name, name(held))];
    docker_archive::write(held.repository.source(), &held.root, &tags, file, &mut |bytes| {
        add(bytes)
    })
    .map_err(|error| match error {
        ArchiveError::NoImage(_) => Failure::failed(error).hint("`--oci DIR` keeps an artifact as it is"),
        error => Failure::failed(error),
    })?;
    let written = std::fs::metadata(file).map_err(Error::io(format!("read {}", file.display())))?;
    Ok(written.len())
}
