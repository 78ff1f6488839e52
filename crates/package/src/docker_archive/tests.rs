use std::collections::BTreeMap;

use modelkeep_core::{Limits, media};

use super::*;
use crate::{
    image::{self, ImageSettings, Platforms, Provenance},
    testing::{Memory, Numbers, pack},
};

/// An image of two layers in memory, and the descriptor that a tag points at.
fn version(platforms: Platforms) -> (Memory, Descriptor) {
    let model = tempfile::tempdir().unwrap();
    fs::write(model.path().join("small"), "small").unwrap();
    fs::write(model.path().join("large"), Numbers(5).bytes(9 << 20)).unwrap();
    let packed = pack(model.path());
    let image = image::build(
        packed.contents,
        &packed.layers,
        &ImageSettings::default(),
        &Provenance::default(),
        platforms,
        &Limits::default(),
    )
    .unwrap();
    let mut memory = packed.memory;
    let top = image.top().clone();
    let blobs = image
        .configs
        .into_iter()
        .chain(image.manifests)
        .chain(image.index);
    for blob in blobs {
        memory.add(blob.bytes);
    }
    (memory, top)
}

fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let mut members = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content).unwrap();
        members.push((name, content));
    }
    members
}

#[test]
fn an_archive_has_config_layers_and_the_list_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    let names = ["digits:1.0".to_owned()];
    let mut archives = Vec::new();
    for platforms in [Platforms::Single, Platforms::Index, Platforms::Single] {
        let (memory, top) = version(platforms);
        let mut told = 0;
        write(&memory, &top, &names, &path, &mut |bytes| told += bytes).unwrap();
        let found = members(&path);
        let list: serde_json::Value = serde_json::from_slice(&found[3].1).unwrap();
        let list = &list[0];
        assert_eq!(list["RepoTags"], serde_json::json!(["digits:1.0"]));
        assert_eq!(list["Config"], found[0].0);
        assert_eq!(list["Layers"], serde_json::json!([found[1].0, found[2].0]));
        assert_eq!(found[3].0, "manifest.json");
        for (name, content) in &found[..3] {
            assert!(name.starts_with(Digest::of(content).hex()));
        }
        let copied: usize = found[..3].iter().map(|(_, content)| content.len()).sum();
        assert_eq!(told, copied as u64);
        archives.push(fs::read(&path).unwrap());
    }
    assert!(archives[0] == archives[2] && archives[0] == archives[1]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_blob_makes_no_archive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    fs::write(&path, "before").unwrap();
    for cut in [false, true] {
        let (mut memory, top) = version(Platforms::Single);
        let largest = memory.blobs.values_mut().max_by_key(|bytes| bytes.len()).unwrap();
        if cut {
            largest.pop();
        } else {
            largest[5_000_000] ^= 1;
        }
        let error = write(&memory, &top, &[], &path, &mut |_| {}).unwrap_err();
        assert!(matches!(
            error,
            ArchiveError::Source(content::Error::Damaged { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "before");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

#[test]
fn layers_that_no_disk_holds_make_no_archive() {
    let (memory, top) = version(Platforms::Single);
    let mut manifest = image_manifest(&memory, &top).unwrap();
    manifest.layers[0].size = u64::MAX;
    assert_eq!(Plan::of(&manifest, &[]).size, u64::MAX);
}

#[test]
fn an_index_without_our_platform_is_refused() {
    let (mut memory, _) = version(Platforms::Single);
    let index = modelkeep_core::Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = modelkeep_core::manifest::to_json(&index);
    let top = Descriptor::of(media::OCI_INDEX, &bytes);
    memory.add(bytes);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    let error = write(&memory, &top, &[], &path, &mut |_| {}).unwrap_err();
    assert!(matches!(error, ArchiveError::NoPlatform(digest) if digest == top.digest));
}
