use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::json;

use super::*;
use crate::{
    foreign::{self, Described},
    image::ImagePath,
    testing::{Foreign, Memory, Numbers, Raw, gzip, pack, pax, raw_header, raw_tar, regular, tree, zstd},
    unpack::{Existing, Obstacle, UnpackOptions, Unpacked, unpack},
};

fn options(existing: Existing) -> UnpackOptions {
    UnpackOptions { existing, workers: 2 }
}

fn pull(version: &Foreign, to: &Path, existing: Existing) -> Result<Unpacked, UnpackError> {
    let described = version.described();
    let known = described.contents().unwrap();
    let how = options(existing);
    unpack(
        &version.memory,
        &described,
        known.as_ref(),
        &|_| true,
        to,
        &how,
        &|_| {},
    )
}

/// The files that a version gives.
fn files(version: &Foreign) -> Vec<(String, String)> {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    pull(version, &to, Existing::Refuse).unwrap();
    let names = fs::read_dir(directory.path()).unwrap();
    assert_eq!(names.count(), 1);
    let text = |(path, bytes)| (path, String::from_utf8(bytes).unwrap());
    tree(&to).into_iter().map(text).collect()
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    pairs.iter().map(own).collect()
}

/// Why a version is refused, after which there is nothing.
#[track_caller]
fn refused(version: &Foreign) -> String {
    let directory = tempfile::tempdir().unwrap();
    let error = pull(version, &directory.path().join("copy"), Existing::Replace).unwrap_err();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

const RAW: &str = "application/vnd.cncf.model.weight.v1.raw";
const TAR: &str = "application/vnd.cncf.model.weight.v1.tar";
const GZIP: &str = "application/vnd.cncf.model.weight.v1.tar+gzip";
const ZSTD: &str = "application/vnd.cncf.model.weight.v1.tar+zstd";
const FILE_PATH: &str = "org.cncf.model.filepath";

fn model_pack(diff_ids: &[Digest]) -> Foreign {
    let config = json!({"modelfs": {"type": "layers", "diffIds": diff_ids}});
    Foreign::new("application/vnd.cncf.model.config.v1+json", &config)
}

/// A ModelPack of one archive.
fn packed(archive: &[u8]) -> Foreign {
    let mut pack = model_pack(&[Digest::of(archive)]);
    pack.layer(GZIP, gzip(archive), &[]);
    pack
}

#[test]
fn files_of_all_kinds_of_layers_lie_together() {
    let archives = [
        raw_tar(&[Raw(b"./", b'5', "", b""), regular("./config.json", b"{}")]),
        raw_tar(&[Raw(b"docs", b'5', "", b""), regular("docs/a.md", b"text")]),
        raw_tar(&[regular("z", b"z")]),
    ];
    let mut diff_ids = vec![Digest::of(b"weights")];
    diff_ids.extend(archives.iter().map(|archive| Digest::of(archive)));
    let mut pack = model_pack(&diff_ids);
    pack.layer(RAW, b"weights".to_vec(), &[(FILE_PATH, "sub/model.bin")]);
    pack.layer(TAR, archives[0].clone(), &[]);
    pack.layer(GZIP, gzip(&archives[1]), &[]);
    pack.layer(ZSTD, zstd(&archives[2]), &[]);
    let expected = [
        ("config.json", "{}"),
        ("docs/a.md", "text"),
        ("sub/model.bin", "weights"),
        ("z", "z"),
    ];
    assert_eq!(files(&pack), own(&expected));
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    let first = pull(&pack, &to, Existing::Refuse).unwrap();
    let root = first.found.unwrap().root();
    let listing: String = expected
        .iter()
        .map(|(path, text)| format!("{}  {path}\n", Digest::of(text.as_bytes()).hex()))
        .collect();
    assert_eq!(root, Digest::of(listing.as_bytes()));
    assert_eq!((first.files, first.bytes, first.bytes_written), (4, 14, 14));
    // What there is stays, whoever reads it again.
    let again = pull(&pack, &to, Existing::Refuse).unwrap();
    assert_eq!((again.reused_files, again.bytes_written), (4, 0));
    assert_eq!(tree(&to).len(), 4);
}

#[test]
fn nothing_of_a_member_is_taken_over_but_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    let attributes = pax("SCHILY.xattr.user.evil", b"yes");
    let version = packed(&raw_tar(&[
        Raw(b"PaxHeader", b'x', "", &attributes),
        regular("run.sh", b"#!/bin/sh"),
    ]));
    pull(&version, &to, Existing::Refuse).unwrap();
    let metadata = fs::metadata(to.join("run.sh")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7133, 0);
    assert_eq!(metadata.uid(), fs::metadata(directory.path()).unwrap().uid());
    assert_eq!(
        rustix::fs::listxattr(to.join("run.sh"), &mut [0u8; 64]).unwrap_or(0),
        0
    );
}

#[test]
fn members_that_could_do_harm_are_refused_and_nothing_is_left() {
    let link = |flag, to: &'static str| vec![Raw(b"f", flag, to, b"")];
    let named = |name: &'static [u8]| vec![regular("ok", b"ok"), Raw(name, b'0', "", b"x")];
    let wide = |key: &'static str, value: &'static [u8]| (key, value);
    for (members, text) in [
        (link(b'2', "/etc/passwd"), "is a link"),
        (link(b'1', "ok"), "is a link"),
        (link(b'3', ""), "is a device"),
        (link(b'4', ""), "is a device"),
        (link(b'6', ""), "is a pipe"),
        (link(b'S', ""), "is a sparse file"),
        (link(b'V', ""), "of a type that only some programs know"),
        (named(b"/etc/passwd"), "empty"),
        (named(b"../x"), "'.' or '..'"),
        (named(b"a/../../x"), "'.' or '..'"),
        (named(b"a//b"), "empty"),
        (named(b"a/./b"), "'.' or '..'"),
        (named(b"C:/x"), "colon"),
        (named(b"a\\b"), "backslash"),
        (named(b"a\nb"), "control"),
        (named(b"\x1b[2J"), "control"),
        (named(b"a\x7fb"), "control"),
        (named("a\u{202e}b".as_bytes()), "direction"),
        (named("a\u{2066}b".as_bytes()), "direction"),
        (named(b"a\xffb"), "not UTF-8"),
        (named(b"nul.txt"), "device on Windows"),
        (named(b"COM1"), "device on Windows"),
        (named(b".GIT/hooks/x"), ".git"),
        (named(b"a. /b"), "dot or a space"),
        (named(b".modelkeep-partial-layers/0"), "kept for files"),
        (named(b"ok"), "twice"),
        (named(b"OK"), "the same file on many disks"),
        (named(b"ok/below"), "as a file and as a directory"),
        (
            vec![regular("d/a", b""), Raw(b"d", b'0', "", b"")],
            "as a file and as a directory",
        ),
        (vec![Raw(b"d/", b'5', "", b""), Raw(b"d", b'0', "", b"")], "twice"),
        (vec![Raw(b"d", b'0', "", b""), Raw(b"d/", b'5', "", b"")], "twice"),
        (
            vec![regular("e\u{301}", b""), regular("\u{e9}", b"")],
            "the same file on many disks",
        ),
        (vec![Raw(b"d", b'5', "", b"")], "holds a file"),
        (vec![], "holds a file"),
    ] {
        let found = refused(&packed(&raw_tar(&members)));
        assert!(found.contains(text), "{text}: {found}");
    }
    let long = "n".repeat(256);
    let deep = "d/".repeat(64) + "f";
    for ((key, value), flag, text) in [
        (wide("path", b"../../etc/passwd"), b'x', "'.' or '..'"),
        (wide("path", b"a\0b"), b'x', "malformed"),
        (wide("path", b"evil"), b'g', "all members"),
        (wide("size", b"1"), b'g', "all members"),
        (wide("GNU.sparse.major", b"1"), b'x', "sparse"),
        (wide("size", b"99999999999999999999"), b'x', "malformed"),
        (("path", long.as_bytes()), b'x', "255"),
        (("path", deep.as_bytes()), b'x', "64 directories"),
    ] {
        let record = pax(key, value);
        let found = refused(&packed(&raw_tar(&[
            Raw(b"x", flag, "", &record),
            regular("f", b"f"),
        ])));
        assert!(found.contains(text), "{text}: {found}");
    }
}

#[test]
fn a_size_that_is_not_true_is_refused() {
    // The pax header has the size, whatever the other one says: an archive in the archive is bytes of a file.
    let hidden = raw_tar(&[regular("hidden", b"x")]);
    let sized = |size: usize| {
        let record = pax("size", size.to_string().as_bytes());
        let mut archive = raw_tar(&[Raw(b"x", b'x', "", &record)]);
        archive.truncate(1024);
        archive.extend(raw_header(b"f", b'0', "", 0));
        archive.extend_from_slice(&hidden);
        archive.extend([0; 1024]);
        packed(&archive)
    };
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    pull(&sized(hidden.len()), &to, Existing::Refuse).unwrap();
    assert_eq!(tree(&to), [("f".to_owned(), hidden.clone())]);
    let found = refused(&sized(hidden.len() + 1025));
    assert!(found.contains("cannot be read"), "{found}");
    let huge = raw_header(b"huge", b'0', "", (1 << 33) - 1).to_vec();
    let found = refused(&packed(&huge));
    assert!(found.contains("fill a disk"), "{found}");
    let mut endless = raw_header(b"huge", b'0', "", 0).to_vec();
    endless[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let found = refused(&packed(&endless));
    assert!(found.contains("it is no tar archive"), "{found}");
}

#[test]
fn more_files_than_a_model_may_have_are_refused() {
    let mut archive = Vec::new();
    for n in 0..=scan_limit() {
        archive.extend(raw_header(format!("f{n}").as_bytes(), b'0', "", 0));
    }
    archive.extend([0; 1024]);
    let mut pack = model_pack(&[]);
    pack.layer(TAR, archive, &[]);
    // None is wanted, so that none is written before there are too many.
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    let described = pack.described();
    let how = options(Existing::Refuse);
    let error = unpack(&pack.memory, &described, None, &|_| false, &to, &how, &|_| {}).unwrap_err();
    let UnpackError::Layer { source, .. } = error else {
        panic!("{error:?}")
    };
    assert!(matches!(source, LayerError::TooMany(100_000)), "{source:?}");
}

fn scan_limit() -> usize {
    crate::scan::MOST_FILES
}

#[test]
fn layers_that_are_not_what_was_stated_leave_nothing() {
    let archive = raw_tar(&[regular("a", b"a")]);
    let mut wrong = model_pack(&[Digest::of(b"another")]);
    wrong.layer(GZIP, gzip(&archive), &[]);
    assert!(refused(&wrong).contains("the config says"));
    for (kind, bytes) in [
        (TAR, archive.clone()),
        (GZIP, gzip(&archive)),
        (ZSTD, zstd(&archive)),
    ] {
        let mut damaged = model_pack(&[]);
        damaged.layer(kind, bytes.clone(), &[]);
        let digest = damaged.manifest.layers[0].digest.clone();
        // Bytes behind the end of the archive, and one too few.
        let mut longer = damaged.memory.blobs[&digest].clone();
        let last = longer.len() - 1;
        longer[last] ^= 1;
        damaged.memory.blobs.insert(digest.clone(), longer);
        assert!(!refused(&damaged).is_empty());
        damaged
            .memory
            .blobs
            .insert(digest.clone(), bytes[..last].to_vec());
        assert!(!refused(&damaged).is_empty());
        let mut cut = model_pack(&[]);
        cut.layer(kind, bytes[..bytes.len() / 2].to_vec(), &[]);
        assert!(refused(&cut).contains("cannot be read to its end"));
    }
    let mut twice = model_pack(&[]);
    twice.layer(TAR, archive.clone(), &[]);
    twice.layer(GZIP, gzip(&archive), &[]);
    assert!(refused(&twice).contains("twice"));
    let mut gone = model_pack(&[]);
    gone.layer(TAR, archive, &[]);
    gone.memory.blobs.clear();
    assert!(refused(&gone).contains("not in memory"));
}

#[test]
fn later_layers_of_an_image_win_and_take_away() {
    let image = Foreign::image(&[
        raw_tar(
            &[
                Raw(b"bin", b'2', "usr/bin", b""),
                Raw(b"dev/null", b'3', "", b""),
                Raw(b"models/", b'5', "", b""),
                regular("./models/a", b"1"),
                regular("models/gone", b"1"),
                regular("models/dir/x", b"1"),
                regular("models/dir/y", b"1"),
                regular("models/opaque/old", b"1"),
                regular("models/was-dir/x", b"1"),
                regular("models/was-file", b"1"),
                regular("models/dir0", b"1"),
                regular("etc/../etc/passwd", b""),
            ][..11],
        ),
        raw_tar(&[
            regular("models/.wh.gone", b""),
            regular("models/.wh.dir", b""),
            regular("models/opaque/.wh..wh..opq", b""),
            regular("models/opaque/new", b"2"),
            regular("models/a", b"2"),
            regular("models/was-dir", b"2"),
            regular("models/was-file/x", b"2"),
            regular("etc/.wh.models", b""),
            regular("models/.wh..wh.plnk", b""),
        ]),
        raw_tar(&[regular("modelsx/b", b"3"), regular("models/dir/z", b"3")]),
    ]);
    let expected = [
        ("a", "2"),
        ("dir/z", "3"),
        ("dir0", "1"),
        ("opaque/new", "2"),
        ("was-dir", "2"),
        ("was-file/x", "2"),
    ];
    assert_eq!(files(&image), own(&expected));
    for mark in [".wh.models", ".wh..wh..opq", "models/.wh..wh..opq"] {
        let image = Foreign::image(&[
            raw_tar(&[regular("models/old", b"1")]),
            raw_tar(&[regular(mark, b""), regular("models/new", b"2")]),
        ]);
        assert_eq!(files(&image), own(&[("new", "2")]), "{mark}");
    }
}

#[test]
fn what_an_image_has_elsewhere_is_nobodys_concern_and_what_it_has_there_is() {
    for (member, text) in [
        (Raw(b"models/f", b'2', "/etc/passwd", b""), "is a link"),
        (Raw(b"models/f", b'1', "etc/passwd", b""), "is a link"),
        (Raw(b"models", b'2', "etc", b""), "no directory"),
        (Raw(b"models", b'0', "", b"x"), "no directory"),
        (Raw(b"/models/f", b'0', "", b"x"), "not written plainly"),
        (Raw(b"models//f", b'0', "", b"x"), "not written plainly"),
        (Raw(b"etc/../models/f", b'0', "", b"x"), "'..'"),
        (Raw(b"models/../etc/f", b'0', "", b"x"), "'..'"),
        (Raw(b"models/CON", b'0', "", b"x"), "device on Windows"),
        (Raw(b"opt/models/f", b'0', "", b"x"), "holds a file"),
    ] {
        let found = refused(&Foreign::image(&[raw_tar(&[member])]));
        assert!(found.contains(text), "{text}: {found}");
    }
    let image = Foreign::image(&[raw_tar(&[
        Raw(b"/opt/", b'5', "", b""),
        regular("opt/ml/model/a", b"a"),
    ])]);
    let place: ImagePath = "/opt/ml/model".parse().unwrap();
    let described = foreign::describe(&image.manifest, image.config.as_bytes(), &[], &place)
        .unwrap()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    let how = options(Existing::Refuse);
    unpack(&image.memory, &described, None, &|_| true, &to, &how, &|_| {}).unwrap();
    assert_eq!(tree(&to), [("a".to_owned(), b"a".to_vec())]);
}

/// A version of ours whose layers another tool has compressed, and the list of its files.
fn repacked(model: &Path) -> (Foreign, Described, Contents) {
    let version = pack(model);
    let layers: Vec<Vec<u8>> = version
        .layers
        .iter()
        .map(|layer| version.memory.blobs[&layer.digest].clone())
        .collect();
    let image = Foreign::image(&layers);
    let diff_ids: Vec<Digest> = version.layers.iter().map(|layer| layer.digest.clone()).collect();
    let described = foreign::listed(&image.manifest, &diff_ids, &version.contents).unwrap();
    (image, described, version.contents)
}

#[test]
fn a_version_of_ours_that_was_compressed_gives_its_files_and_reads_only_the_layers_it_needs() {
    let model = tempfile::tempdir().unwrap();
    fs::create_dir(model.path().join("sub")).unwrap();
    fs::write(model.path().join("small"), "small").unwrap();
    fs::write(model.path().join("sub/large"), Numbers(9).bytes(9 << 20)).unwrap();
    let (image, described, contents) = repacked(model.path());
    assert_eq!(image.manifest.layers.len(), 2);
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    let read = AtomicU64::new(0);
    let get = |include: &(dyn Fn(&ModelPath) -> bool + Sync)| {
        read.store(0, Ordering::Relaxed);
        let add = |bytes| {
            read.fetch_add(bytes, Ordering::Relaxed);
        };
        unpack(
            &image.memory,
            &described,
            Some(&contents),
            include,
            &to,
            &options(Existing::Refuse),
            &add,
        )
    };
    let small = get(&|path| path.as_str() == "small").unwrap();
    assert_eq!((small.files, small.found), (1, None));
    assert!(read.load(Ordering::Relaxed) < 1 << 20);
    let all = get(&|_| true).unwrap();
    assert_eq!((all.files, all.reused_files), (2, 1));
    assert!(tree(&to) == tree(model.path()));
    get(&|_| true).unwrap();
    assert_eq!(read.load(Ordering::Relaxed), contents.size());

    // A file without bytes may lie anywhere.
    let mut files = contents.files().to_vec();
    let (at, layer) = (files[1].offset + 1, files[1].layer);
    let path = "empty".parse().unwrap();
    let digest = Digest::of(b"");
    files.push(FileEntry {
        path,
        size: 0,
        digest,
        layer,
        offset: at,
    });
    let odd = Contents::new(contents.layers().to_vec(), files).unwrap();
    let how = options(Existing::Refuse);
    let to_odd = directory.path().join("odd");
    unpack(
        &image.memory,
        &described,
        Some(&odd),
        &|_| true,
        &to_odd,
        &how,
        &|_| {},
    )
    .unwrap();
    assert_eq!(tree(&to_odd).len(), 3);

    // A list that is about other layers, or not about these bytes.
    let mut image = image;
    let other = [Digest::of(b"x"), Digest::of(b"y")];
    assert_eq!(foreign::listed(&image.manifest, &other, &contents), None);
    let mut files = contents.files().to_vec();
    files[0].digest = Digest::of(b"not small");
    let lying = Contents::new(contents.layers().to_vec(), files).unwrap();
    let to = directory.path().join("other");
    let how = options(Existing::Refuse);
    let error = unpack(
        &image.memory,
        &described,
        Some(&lying),
        &|_| true,
        &to,
        &how,
        &|_| {},
    );
    assert!(matches!(error, Err(UnpackError::Damaged { .. })), "{error:?}");
    let digest = image.manifest.layers[1].digest.clone();
    image.memory.blobs.get_mut(&digest).unwrap()[1 << 20] ^= 1;
    let error = unpack(
        &image.memory,
        &described,
        Some(&contents),
        &|_| true,
        &to,
        &how,
        &|_| {},
    );
    assert!(
        matches!(
            error,
            Err(UnpackError::Layer { .. } | UnpackError::Damaged { .. })
        ),
        "{error:?}"
    );
    assert!(!to.exists());
}

#[test]
fn a_directory_with_other_files_is_left_as_it_is() {
    let version = packed(&raw_tar(&[regular("a", b"a"), regular("sub/b", b"b")]));
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path();
    fs::write(to.join("mine"), "mine").unwrap();
    let error = pull(&version, to, Existing::Refuse).unwrap_err();
    assert!(matches!(
        error,
        UnpackError::Occupied {
            obstacle: Obstacle::Unlisted,
            ..
        }
    ));
    fs::write(to.join("a"), "other").unwrap();
    fs::remove_file(to.join("mine")).unwrap();
    let error = pull(&version, to, Existing::Refuse).unwrap_err();
    assert!(matches!(
        error,
        UnpackError::Occupied {
            obstacle: Obstacle::Differs,
            ..
        }
    ));
    assert_eq!(tree(to), [("a".to_owned(), b"other".to_vec())]);
    pull(&version, to, Existing::Replace).unwrap();
    let expected = [
        ("a".to_owned(), b"a".to_vec()),
        ("sub/b".to_owned(), b"b".to_vec()),
    ];
    assert_eq!(tree(to), expected);
    // A link that lies in the way leads nowhere.
    let outside = tempfile::tempdir().unwrap();
    fs::remove_dir_all(to.join("sub")).unwrap();
    std::os::unix::fs::symlink(outside.path(), to.join("sub")).unwrap();
    assert!(pull(&version, to, Existing::Replace).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_pull_left_is_removed() {
    let version = packed(&raw_tar(&[regular("a", b"a")]));
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    for place in [".copy.modelkeep-partial", "copy"] {
        let waiting = directory.path().join(place).join(name());
        fs::create_dir_all(&waiting).unwrap();
        fs::write(waiting.join("0"), "half").unwrap();
        pull(&version, &to, Existing::Refuse).unwrap();
        assert_eq!(tree(&to), [("a".to_owned(), b"a".to_vec())]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}

#[test]
fn the_same_layer_is_as_many_files_as_it_is_named_for_but_does_not_fill_a_disk() {
    let mut pack = model_pack(&[]);
    for path in ["LICENSE", "sub/LICENSE"] {
        pack.layer(RAW, b"text".to_vec(), &[(FILE_PATH, path)]);
    }
    assert_eq!(files(&pack), own(&[("LICENSE", "text"), ("sub/LICENSE", "text")]));
    for layer in &mut pack.manifest.layers {
        layer.size = 2 << 30;
    }
    assert!(refused(&pack).contains("no room"));
    let mut same = model_pack(&[]);
    for path in ["a", "A"] {
        same.layer(RAW, path.as_bytes().to_vec(), &[(FILE_PATH, path)]);
    }
    assert!(refused(&same).contains("same file on many disks"));
}

#[test]
fn a_layer_of_another_digest_algorithm_is_read_and_listed() {
    let bytes = b"weights".to_vec();
    let digest = Digest::of_with(modelkeep_core::Algorithm::Sha512, &bytes);
    let mut pack = model_pack(&[]);
    pack.layer(RAW, bytes.clone(), &[(FILE_PATH, "w")]);
    pack.manifest.layers[0].digest = digest.clone();
    pack.memory = Memory::default();
    pack.memory.blobs.insert(digest, bytes);
    let directory = tempfile::tempdir().unwrap();
    let unpacked = pull(&pack, &directory.path().join("copy"), Existing::Refuse).unwrap();
    assert_eq!(unpacked.found.unwrap().files()[0].digest, Digest::of(b"weights"));
    assert_eq!(files(&pack), own(&[("w", "weights")]));
}

/// Whatever a list says of compressed layers, it gives files that are what it says, or an error.
#[test]
fn no_list_makes_a_pull_panic() {
    let model = tempfile::tempdir().unwrap();
    for (path, size) in [("a", 5), ("b", 600), ("c", 0), ("d", 70_000)] {
        fs::write(model.path().join(path), Numbers(3).bytes(size)).unwrap();
    }
    let (image, described, contents) = repacked(model.path());
    let directory = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(5);
    for round in 0..300 {
        let mut files = contents.files().to_vec();
        for _ in 0..=numbers.below(3) {
            let file = numbers.below(4) as usize;
            let odd = [0, 1, 511, 70_001, 1 << 40, u64::MAX / 2, u64::MAX][numbers.below(7) as usize];
            match numbers.below(4) {
                0 => files[file].offset = odd,
                1 => files[file].size = odd,
                2 => files[file].offset = files[numbers.below(4) as usize].offset,
                _ => files[file].size = numbers.below(100_000),
            }
        }
        let Ok(list) = Contents::new(contents.layers().to_vec(), files) else {
            continue;
        };
        let to = directory.path().join(round.to_string());
        let how = options(Existing::Refuse);
        match unpack(
            &image.memory,
            &described,
            Some(&list),
            &|_| true,
            &to,
            &how,
            &|_| {},
        ) {
            Ok(_) => {
                for file in list.files() {
                    let bytes = fs::read(to.join(file.path.as_str())).unwrap();
                    assert_eq!(Digest::of(&bytes), file.digest);
                }
            }
            Err(_) => assert!(!to.exists()),
        }
    }
    // What failed has left nothing beside.
    let is_hidden = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with('.');
    let left = fs::read_dir(directory.path()).unwrap();
    assert!(!left.map(|entry| entry.unwrap()).any(is_hidden));
}
