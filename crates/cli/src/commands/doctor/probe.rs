//! What it takes a write to measure.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use modelkeep_core::{
    Descriptor, Manifest, Tag,
    content::{Names, Target as _},
    manifest::to_json,
    media,
    name::Target,
};

use super::{Findings, check, registry::said_of_ranges, tags::PROBE_SUFFIX};
use crate::{error::Failure, promise::Keeper, provenance::now, report::json::Check, wiring::Remote};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const KIND: &str = "application/vnd.modelkeep.doctor.v1+json";
/// How long a tag is looked for in the list.
const PATIENCE: Duration = Duration::from_secs(15);

/// Writes two images under one tag, one after the other, and deletes what it can.
pub(super) fn measure(remote: &Remote, findings: &mut Findings) -> Result<(), Failure> {
    let empty = remote.put(EMPTY, b"{}")?;
    let images = ["first", "second"].map(|mark| image(&empty, mark));
    let manifests: Vec<Descriptor> = images
        .iter()
        .map(|bytes| Descriptor::of(media::OCI_MANIFEST, bytes))
        .collect();
    let tag = format!("sha256-{}{PROBE_SUFFIX}", manifests[0].digest.hex());
    let tag: Tag = tag.parse().expect("hexadecimal digits are a tag");
    remote.put_manifest(&tag, media::OCI_MANIFEST, &images[0])?;
    let delay = list_delay(remote, &tag)?;
    findings.replace(delay);
    if findings.keeper != Keeper::Registry {
        let moved = remote.overwrite(&tag, media::OCI_MANIFEST, &images[1])?;
        let stands = remote.resolve(&tag)?.map(|found| found.digest);
        findings.replace(match (moved, stands == Some(manifests[0].digest.clone())) {
            (_, true) => check(
                "immutable_tags",
                "yes",
                "it did not let a tag move, for the name that was tried",
            ),
            _ => check(
                "immutable_tags",
                "no",
                "whoever may push can make a tag another image",
            ),
        });
    }
    findings.replace(said_of_ranges(remote.sends_ranges(&empty)?)?);
    findings.replace(match remote.mounts(&empty.digest)? {
        true => check(
            "mount",
            "yes",
            "a copy within the registry need not send layers again",
        ),
        false => check("mount", "no", "a copy within the registry sends layers again"),
    });
    let untagged = remote.delete(&Target::Tag(tag.clone()))? && remote.resolve(&tag)?.is_none();
    findings.replace(deleted("delete_tags", untagged));
    let mut gone = true;
    for manifest in &manifests {
        let target = Target::Digest(manifest.digest.clone());
        if remote.look_up(&target)?.is_none() {
            continue;
        }
        gone &= remote.delete(&target)? && remote.look_up(&target)?.is_none();
        if !gone {
            findings.left_behind.push(format!("manifest {}", manifest.digest));
        }
    }
    findings.replace(deleted("delete_manifests", gone));
    if remote.resolve(&tag)?.is_some() {
        findings.left_behind.push(format!("tag {tag}"));
    }
    Ok(())
}

impl Findings {
    /// What was measured takes the place of what was not known.
    fn replace(&mut self, measured: Check) {
        match self.checks.iter_mut().find(|check| check.name == measured.name) {
            Some(check) => *check = measured,
            None => self.checks.push(measured),
        }
    }
}

fn deleted(name: &'static str, gone: bool) -> Check {
    match gone {
        true => check(name, "yes", "whoever may delete can take it away"),
        false => check(name, "no", "the registry does not delete it, or not for us"),
    }
}

/// An image without content, unlike any other.
fn image(empty: &Descriptor, mark: &str) -> Vec<u8> {
    let annotations = [("dev.modelkeep.doctor", format!("{mark}, {}", now()))];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value));
    to_json(&Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: Some(KIND.to_owned()),
        config: empty.clone(),
        layers: vec![empty.clone()],
        subject: None,
        annotations: BTreeMap::from(annotations),
    })
}

/// How long it takes until a tag that was written is listed.
fn list_delay(remote: &Remote, tag: &Tag) -> Result<Check, Failure> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if remote.tags()?.contains(tag) {
            let took = began.elapsed().as_millis();
            let detail = "from the answer to a write until the list has it; `settle` must be longer";
            return Ok(check("list_delay", format!("{took} ms"), detail));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let detail = "what was written is not listed in that time: publishing at the same time is not safe here";
    Ok(check(
        "list_delay",
        format!("over {} s", PATIENCE.as_secs()),
        detail,
    ))
}
