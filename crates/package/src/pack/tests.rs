use std::{fs, io::Write, os::unix::fs::symlink, process::Command};

use modelkeep_core::Limits;

use super::*;
use crate::{
    image::ImagePath,
    layout::{layout, layout_raw},
    testing::{MemorySink, Numbers, pack, random_tree, scan, tree},
};

fn directory(files: &[(&str, usize)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(7);
    for (path, size) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, numbers.bytes(*size)).unwrap();
    }
    directory
}

fn pack_first(files: &[ModelFile], watch: &mut dyn Watch) -> Result<PackedLayer, PackError> {
    let plans = layout(files, &ImagePath::default(), &Limits::default()).unwrap();
    pack_layer(files, &plans[0], None, watch)
}

#[test]
fn random_trees_lie_in_their_layers_where_the_contents_list_says() {
    for seed in 1..15 {
        let directory = tempfile::tempdir().unwrap();
        random_tree(directory.path(), &mut Numbers(seed));
        let version = pack(directory.path());
        let expected = tree(directory.path());
        assert_eq!(version.contents.files().len(), expected.len());
        for (entry, (path, bytes)) in version.contents.files().iter().zip(&expected) {
            assert_eq!(entry.path.as_str(), path);
            let layer = &version.memory.blobs[&version.contents.layers()[entry.layer]];
            let start = entry.offset as usize;
            assert!(layer[start..start + bytes.len()] == bytes[..]);
            assert!(bytes.len() < 64 << 10 || start.is_multiple_of(4096));
            assert_eq!(entry.digest, Digest::of(bytes));
        }
    }
}

#[test]
fn the_tar_crate_and_tar_extract_the_same_tree() {
    let model = tempfile::tempdir().unwrap();
    for seed in 20..26 {
        random_tree(model.path(), &mut Numbers(seed));
    }
    let version = pack(model.path());
    let (by_crate, by_tar) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for layer in version.memory.blobs.values() {
        let mut archive = ::tar::Archive::new(&layer[..]);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = by_crate.path().join(entry.path().unwrap());
            if entry.header().entry_type().is_dir() {
                fs::create_dir_all(path).unwrap();
            } else {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
        let file = by_tar.path().join("layer.tar");
        fs::write(&file, layer).unwrap();
        let status = Command::new("tar")
            .arg("-xf")
            .arg(&file)
            .arg("-C")
            .arg(by_tar.path())
            .status();
        assert!(status.unwrap().success());
        fs::remove_file(file).unwrap();
    }
    let expected = tree(model.path());
    assert!(tree(&by_crate.path().join("models")) == expected);
    assert!(tree(&by_tar.path().join("models")) == expected);
}

#[test]
fn an_unchanged_file_keeps_its_layer_whatever_changes_beside() {
    let model = directory(&[("large", 9 << 20), ("small", 10)]);
    let first = pack(model.path());
    assert_eq!(pack(model.path()).layers, first.layers);
    fs::write(model.path().join("small"), "other").unwrap();
    let second = pack(model.path());
    assert_ne!(second.layers[0], first.layers[0]);
    assert_eq!(second.layers[1], first.layers[1]);
}

#[test]
fn layers_are_the_same_bytes_on_every_machine() {
    let model = directory(&[("config.json", 100), ("sub/weights.bin", 70_000)]);
    let version = pack(model.path());
    assert_eq!(
        version.layers[0].digest.to_string(),
        "sha256:3acc2f48e1254b24c583264b7cdfa0c8e2e3ef3c6cdf727a63f45f844f500b0d"
    );
}

#[test]
fn without_a_sink_the_digests_are_the_same() {
    let model = directory(&[("a", 9 << 20)]);
    let files = scan(model.path());
    let mut told = 0;
    let packed = pack_first(&files, &mut |bytes| told += bytes).unwrap();
    assert_eq!(packed.hashed.digest(), &pack(model.path()).layers[0].digest);
    assert_eq!(told, 9 << 20);
    assert_eq!(
        packed.files[0],
        Digest::of(&fs::read(&files[0].location).unwrap())
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named() {
    type Change = fn(&std::path::Path);
    let changes: [Change; 4] = [
        |path| {
            fs::File::options()
                .append(true)
                .open(path)
                .unwrap()
                .write_all(b"x")
                .unwrap()
        },
        |path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .write_all(b"x")
                .unwrap()
        },
        |path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(1 << 20)
                .unwrap()
        },
        |path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(0)
                .unwrap()
        },
    ];
    for change in changes {
        let model = directory(&[("a", 9 << 20)]);
        let files = scan(model.path());
        let mut changed = false;
        let mut on_bytes = |_| {
            if !std::mem::replace(&mut changed, true) {
                change(&files[0].location);
            }
        };
        let error = pack_first(&files, &mut on_bytes).unwrap_err();
        assert!(matches!(error, PackError::Changed(path) if path.as_str() == "a"));
    }
}

#[test]
fn a_file_that_changed_since_the_scan_is_named() {
    type Change = fn(&std::path::Path);
    let changes: [Change; 5] = [
        |path| fs::remove_file(path).unwrap(),
        |path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        },
        |path| {
            fs::remove_file(path).unwrap();
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
        },
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        |path| {
            let other = path.with_file_name("other");
            fs::write(&other, "0123456789").unwrap();
            fs::rename(other, path).unwrap();
        },
    ];
    for change in changes {
        let model = directory(&[("a", 10)]);
        let files = scan(model.path());
        change(&files[0].location);
        assert!(matches!(
            pack_first(&files, &mut |_| {}),
            Err(PackError::Changed(path)) if path.as_str() == "a"
        ));
    }
}

#[test]
fn a_sink_that_refuses_ends_it() {
    struct Full;
    impl Sink for Full {
        fn write(&mut self, _: u64, _: &[u8]) -> content::Result<()> {
            Err(content::Error::io("write")(io::ErrorKind::StorageFull.into()))
        }
        fn commit(self: Box<Self>, _: &Hashed) -> content::Result<()> {
            unreachable!("nothing was written")
        }
    }
    for size in [10, 9 << 20] {
        let model = directory(&[("a", size)]);
        let files = scan(model.path());
        let plans = layout(&files, &ImagePath::default(), &Limits::default()).unwrap();
        let packed = pack_layer(&files, &plans[0], Some(&mut Full), &mut |_: u64| {});
        assert!(matches!(packed, Err(PackError::Write { path, .. }) if path.as_str() == "a"));
    }
}

#[test]
fn small_layers_are_one_write() {
    let model = directory(&[("a", 10)]);
    let sink = MemorySink::default();
    let files = scan(model.path());
    let plans = layout(&files, &ImagePath::default(), &Limits::default()).unwrap();
    pack_layer(&files, &plans[0], Some(&mut &sink), &mut |_: u64| {}).unwrap();
    assert_eq!(sink.bytes.lock().unwrap().len(), 512 * 5);
}

#[test]
fn a_raw_layer_has_the_bytes_and_the_digest_of_its_file() {
    let directory = directory(&[("a", 0), ("b", 1), ("c", (3 << 20) + 5)]);
    let files = scan(directory.path());
    for plan in layout_raw(&files, &Limits::default()).unwrap() {
        let file = &files[plan.members()[0].file];
        let bytes = fs::read(&file.location).unwrap();
        let sink = MemorySink::default();
        let packed = pack_layer(&files, &plan, Some(&mut &sink), &mut |_: u64| {}).unwrap();
        assert!(*sink.bytes.lock().unwrap() == bytes);
        assert_eq!(packed.hashed.digest(), &Digest::of(&bytes));
        assert_eq!(packed.files, [packed.hashed.digest().clone()]);
        for from in [0, 1, bytes.len() as u64 / 2] {
            let mut fed = 0;
            feed_layer(&files, &plan, from, &mut |piece| {
                fed += match piece {
                    Piece::Bytes(bytes) => bytes.len() as u64,
                    Piece::File { length, .. } => length,
                };
                Ok(())
            })
            .unwrap();
            assert_eq!(fed, (bytes.len() as u64).saturating_sub(from));
        }
    }
}
