use std::{collections::BTreeMap, io::Read as _};

use modelkeep_core::{Index, Limits, content::Error, manifest::to_json, media};
use modelkeep_testkit as testkit;

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
    assert_eq!(Plan::of_manifest(&manifest, &[]).size, u64::MAX);
}

#[test]
fn an_index_without_our_platform_is_refused() {
    let (mut memory, _) = version(Platforms::Single);
    let index = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    };
    let bytes = to_json(&index);
    let top = Descriptor::of(media::OCI_INDEX, &bytes);
    memory.add(bytes);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    let error = write(&memory, &top, &[], &path, &mut |_| {}).unwrap_err();
    assert!(matches!(error, ArchiveError::NoPlatform(digest) if digest == top.digest));
}

/// A tar archive of these members.
fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A layer that is a tar archive, as docker has it.
fn layer(text: &str) -> Vec<u8> {
    tar_of(&[("file", text.as_bytes())])
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = serde_json::json!({"architecture": "arm64", "os": "linux", "config": {"Labels": null, "Cmd": ["a"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [{"created_by": "docker"}]});
    to_json(&config)
}

/// An archive as docker 20 writes it: layers in directories, one of them a link, and the list near the end.
fn saved(list: &str, config: &[u8], first: &[u8]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    };
    add("aa/VERSION", b"1.0");
    add("aa/json", b"{}");
    add("aa/layer.tar", first);
    add("config.json", config);
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(::tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "bb/layer.tar", "../aa/layer.tar")
        .unwrap();
    let mut header = ::tar::Header::new_gnu();
    header.set_size(list.len() as u64);
    builder
        .append_data(&mut header, "manifest.json", list.as_bytes())
        .unwrap();
    builder.into_inner().unwrap()
}

const SAVED: &str =
    r#"[{"Config":"config.json","RepoTags":["busybox:1.0"],"Layers":["aa/layer.tar","bb/layer.tar"]}]"#;

/// What came of an archive that was read from a file, and from a stream.
fn read_both(
    bytes: &[u8],
) -> (
    content::Result<DockerArchive>,
    content::Result<Received>,
    testkit::Memory,
) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    fs::write(&path, bytes).unwrap();
    let target = testkit::Memory::default();
    let received = receive(bytes, "the stream", &target, false, &|_| {});
    (DockerArchive::open(&path, None), received, target)
}

fn image(source: &dyn Source, root: &Descriptor) -> Manifest {
    match document(source, root).unwrap() {
        Document::Image(image) => image,
        Document::Index(_) => panic!("an index was made"),
    }
}

#[test]
fn what_docker_saved_is_an_image_whether_it_is_a_file_or_a_stream() {
    let first = layer("one");
    let config = config(&[&first, &first]);
    let (archive, received, target) = read_both(&saved(SAVED, &config, &first));
    let (archive, received) = (archive.unwrap(), received.unwrap());
    let manifest = image(&archive, archive.root());
    assert_eq!(manifest.config, Descriptor::of(media::OCI_CONFIG, &config));
    assert_eq!(manifest.layers, vec![Descriptor::of(media::OCI_LAYER, &first); 2]);
    assert_eq!(archive.fetch(&manifest.layers[0], 1 << 20).unwrap(), first);
    assert_eq!(archive.fetch(&manifest.config, 1 << 20).unwrap(), config);
    assert_eq!(received.manifest.descriptor, *archive.root());
    assert_eq!(received.config.bytes, config);
    assert_eq!(target.fetch(&manifest.layers[0], 1 << 20).unwrap(), first);
    assert_eq!((received.written, received.reused), ((1, first.len() as u64), 0));
}

#[test]
fn a_version_that_went_through_an_archive_is_the_same_version() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    let (memory, top) = version(Platforms::Single);
    write(&memory, &top, &["digits:1.0".to_owned()], &path, &mut |_| {}).unwrap();
    let archive = DockerArchive::open(&path, Some("docker.io/library/digits:1.0")).unwrap();
    assert_eq!(*archive.root(), top);
    let target = testkit::Memory::default();
    let bytes = fs::read(&path).unwrap();
    let received = receive(&bytes[..], "it", &target, false, &|_| {}).unwrap();
    assert_eq!(received.manifest.descriptor, top);
    // What the target has is passed over, by the names of the members.
    let again = receive(&bytes[..], "it", &target, false, &|_| {}).unwrap();
    assert_eq!((again.written, again.reused), ((0, 0), 2));
    let nothing = testkit::Memory::default();
    let told = receive(&bytes[..], "it", &nothing, true, &|_| {}).unwrap();
    assert_eq!((told.written, told.manifest.descriptor), ((0, 0), top));
}

#[test]
fn the_manifest_that_an_image_had_is_found_in_its_archive() {
    let first = [&[0x1f, 0x8b][..], b"compressed"].concat();
    let plain = layer("one");
    let config = config(&[&plain]);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::of(media::OCI_CONFIG, &config),
        layers: vec![Descriptor::of(media::OCI_LAYER_GZIP, &first)],
        subject: None,
        annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    };
    let manifest = to_json(&manifest);
    let index = Index {
        schema_version: 2,
        media_type: None,
        artifact_type: None,
        manifests: vec![Descriptor::of(media::OCI_MANIFEST, &manifest)],
        subject: None,
        annotations: BTreeMap::new(),
    };
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let list = format!(
        r#"[{{"Config":"{}","RepoTags":null,"Layers":["{}"]}}]"#,
        blob(&config),
        blob(&first)
    );
    let (archive, received, _) = read_both(&tar_of(&[
        (&blob(&first), &first),
        (&blob(&config), &config),
        (&blob(&manifest), &manifest),
        ("index.json", &to_json(&index)),
        ("manifest.json", list.as_bytes()),
    ]));
    let expected = Descriptor::of(media::OCI_MANIFEST, &manifest);
    assert_eq!(*archive.unwrap().root(), expected);
    assert_eq!(received.unwrap().manifest.descriptor, expected);
}

#[test]
fn an_archive_that_is_not_what_it_says_is_refused() {
    let first = layer("one");
    let good = config(&[&first, &first]);
    let other = config(&[b"other", &first]);
    let one = config(&[&first]);
    let wrong = [
        tar_of(&[("file", b"x")]),
        saved("[]", &good, &first),
        saved("{", &good, &first),
        saved(&SAVED.replace("aa/layer.tar", "cc/layer.tar"), &good, &first),
        saved(&SAVED.replace("aa/layer.tar", "../../etc/passwd"), &good, &first),
        saved(&SAVED.replace("config.json", "aa/VERSION"), &good, &first),
        saved(SAVED, &one, &first),
        saved(SAVED, b"[]", &first),
        saved(SAVED, &good, &first)[..2000].to_vec(),
    ];
    for (number, bytes) in wrong.iter().enumerate() {
        let (archive, received, _) = read_both(bytes);
        let (archive, received) = (archive.unwrap_err(), received.unwrap_err());
        assert!(matches!(archive, Error::Malformed { .. }), "{number}: {archive}");
        assert!(
            matches!(received, Error::Malformed { .. }),
            "{number}: {received}"
        );
    }
    // A layer that is not what the config says shows when it is read.
    let (archive, received, _) = read_both(&saved(SAVED, &other, &first));
    let archive = archive.unwrap();
    let layers = image(&archive, archive.root()).layers;
    assert!(matches!(
        archive.fetch(&layers[0], 1 << 20),
        Err(Error::Damaged { .. })
    ));
    assert!(matches!(received, Err(Error::Damaged { .. })));
}

#[test]
fn one_of_several_images_is_named() {
    let first = layer("one");
    let config = config(&[&first]);
    let entry = |name: &str| format!(r#"{{"Config":"c.json","RepoTags":["{name}"],"Layers":["l.tar"]}}"#);
    let list = format!("[{},{}]", entry("ghcr.io/a/b:1"), entry("busybox:1"));
    let bytes = tar_of(&[
        ("l.tar", &first),
        ("c.json", &config),
        ("manifest.json", list.as_bytes()),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    fs::write(&path, &bytes).unwrap();
    for name in ["ghcr.io/a/b:1", "busybox:1", "docker.io/library/busybox:1"] {
        DockerArchive::open(&path, Some(name)).unwrap();
    }
    assert!(matches!(
        DockerArchive::open(&path, None),
        Err(Error::Malformed { .. })
    ));
    let error = DockerArchive::open(&path, Some("busybox:2")).unwrap_err();
    assert!(
        matches!(&error, Error::NotFound { place, .. } if place.contains("busybox:1")),
        "{error}"
    );
}

#[test]
fn ranges_of_an_archive_are_read_and_what_it_lacks_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    let (memory, top) = version(Platforms::Single);
    write(&memory, &top, &[], &path, &mut |_| {}).unwrap();
    let archive = DockerArchive::open(&path, None).unwrap();
    let image = image(&archive, archive.root());
    for blob in [&image.layers[0], &image.config, &top] {
        let whole = archive.fetch(blob, 16 << 20).unwrap();
        let read = |offset, length| -> content::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            archive
                .open(blob, ByteRange { offset, length })?
                .read_to_end(&mut bytes)
                .map_err(Error::io("read"))?;
            Ok(bytes)
        };
        assert_eq!(read(7, 100).unwrap(), whole[7..107]);
        assert!(read(blob.size, 0).unwrap().is_empty());
        assert!(matches!(read(1, blob.size), Err(Error::Io { .. })));
        assert!(matches!(read(u64::MAX, 2), Err(Error::Io { .. })));
    }
    let never = Descriptor::of(media::OCI_LAYER, b"never");
    assert!(matches!(archive.fetch(&never, 100), Err(Error::NotFound { .. })));
}

#[test]
fn what_is_no_file_or_compressed_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar.gz");
    fs::write(&path, [0x1f, 0x8b, 8, 0, 0]).unwrap();
    for path in [path.as_path(), directory.path()] {
        assert!(DockerArchive::open(path, None).is_err());
    }
    let error = DockerArchive::open(&path, None).unwrap_err();
    assert!(error.to_string().contains("compressed"), "{error}");
}

#[test]
fn no_archive_makes_a_reader_panic_or_hang() {
    let first = layer("one");
    let good = saved(SAVED, &config(&[&first, &first]), &first);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.tar");
    let mut numbers = Numbers(11);
    for _ in 0..500 {
        let mut bytes = good.clone();
        for _ in 0..=numbers.below(4) {
            let at = usize::try_from(numbers.below(bytes.len() as u64)).unwrap();
            bytes[at] = numbers.bytes(1)[0];
            // A header that was changed is looked at all the same.
            let header = at - at % 512;
            let sum: u32 = (0..512)
                .map(|n| match n {
                    148..156 => 32,
                    n => u32::from(bytes[header + n]),
                })
                .sum();
            if numbers.below(2) == 0 {
                bytes[header + 148..header + 155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            }
        }
        bytes.truncate(
            usize::try_from(numbers.below(2 * bytes.len() as u64))
                .unwrap()
                .max(1),
        );
        let target = testkit::Memory::default();
        let _ = receive(&bytes[..], "it", &target, false, &|_| {});
        fs::write(&path, &bytes).unwrap();
        if let Ok(archive) = DockerArchive::open(&path, None) {
            for layer in image(&archive, archive.root()).layers {
                let _ = archive.fetch(&layer, 1 << 20);
            }
        }
    }
}
