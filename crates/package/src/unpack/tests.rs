use std::{
    collections::HashMap,
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, AtomicU64},
};

use super::*;
use crate::testing::{Memory, Numbers, Version, pack, random_tree, scan, tree};

const EVERYTHING: &(dyn Fn(&ModelPath) -> bool + Sync) = &|_| true;

/// As a version of ours: all its layers are archives that are not compressed, and its files are listed.
fn unpack(
    source: &dyn Source,
    layers: &[Descriptor],
    contents: &Contents,
    include: &(dyn Fn(&ModelPath) -> bool + Sync),
    destination: &Path,
    options: &UnpackOptions,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<Unpacked, UnpackError> {
    let described = crate::testing::described(layers);
    let known = Some(contents);
    super::unpack(source, &described, known, include, destination, options, on_bytes)
}

fn options(existing: Existing) -> UnpackOptions {
    UnpackOptions { existing, workers: 2 }
}

fn unpack_all(version: &Version, to: &Path, existing: Existing) -> Result<Unpacked, UnpackError> {
    let Version {
        contents,
        layers,
        memory,
    } = version;
    unpack(
        memory,
        layers,
        contents,
        EVERYTHING,
        to,
        &options(existing),
        &|_| {},
    )
}

/// A version of `a`, `sub/b` and `sub/c`, and a directory for copies of it.
fn small() -> (Version, tempfile::TempDir) {
    let model = tempfile::tempdir().unwrap();
    fs::create_dir(model.path().join("sub")).unwrap();
    for path in ["a", "sub/b", "sub/c"] {
        fs::write(model.path().join(path), path).unwrap();
    }
    (pack(model.path()), tempfile::tempdir().unwrap())
}

fn texts(directory: &Path) -> Vec<(String, String)> {
    let text = |(path, bytes)| (path, String::from_utf8(bytes).unwrap());
    tree(directory).into_iter().map(text).collect()
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    pairs.iter().map(own).collect()
}

const SMALL: [(&str, &str); 3] = [("a", "a"), ("sub/b", "sub/b"), ("sub/c", "sub/c")];

#[test]
fn a_version_of_any_tree_is_that_tree_again() {
    for seed in 100..112 {
        let model = tempfile::tempdir().unwrap();
        random_tree(model.path(), &mut Numbers(seed));
        let version = pack(model.path());
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("new/copy");
        let told = AtomicU64::new(0);
        let unpacked = unpack(
            &version.memory,
            &version.layers,
            &version.contents,
            EVERYTHING,
            &to,
            &options(Existing::Refuse),
            &|bytes| {
                told.fetch_add(bytes, Ordering::Relaxed);
            },
        )
        .unwrap();
        assert!(tree(&to) == tree(model.path()));
        assert_eq!(unpacked.files, version.contents.files().len());
        assert_eq!(unpacked.bytes, version.contents.size());
        assert_eq!(unpacked.bytes_written, unpacked.bytes);
        assert_eq!(told.into_inner(), unpacked.bytes);
        assert_eq!(fs::read_dir(directory.path().join("new")).unwrap().count(), 1);
        let again = unpack_all(&version, &to, Existing::Refuse).unwrap();
        assert_eq!((again.reused_files, again.bytes_written), (unpacked.files, 0));
    }
}

#[test]
fn an_empty_directory_is_filled_in_place() {
    let (version, directory) = small();
    unpack_all(&version, directory.path(), Existing::Refuse).unwrap();
    assert_eq!(texts(directory.path()), own(&SMALL));
}

#[test]
fn only_what_is_included_is_written() {
    let (version, directory) = small();
    let to = directory.path().join("copy");
    let include = |path: &ModelPath| path.as_str().ends_with('b');
    let Version {
        contents,
        layers,
        memory,
    } = &version;
    let how = options(Existing::Refuse);
    let unpacked = unpack(memory, layers, contents, &include, &to, &how, &|_| {}).unwrap();
    assert_eq!((unpacked.files, unpacked.bytes), (1, 5));
    assert_eq!(texts(&to), own(&[("sub/b", "sub/b")]));
    let unpacked = unpack_all(&version, &to, Existing::Refuse).unwrap();
    assert_eq!((unpacked.files, unpacked.reused_files), (3, 1));
    let none = unpack(memory, layers, contents, &|_| false, &to, &how, &|_| {});
    assert!(matches!(none, Err(UnpackError::NothingIncluded)));
}

#[test]
fn other_files_are_refused_and_never_deleted() {
    for (path, obstacle) in [("notes", Obstacle::Unlisted), ("sub/x", Obstacle::Unlisted)] {
        let (version, directory) = small();
        fs::create_dir_all(directory.path().join("sub/nothing")).unwrap();
        fs::create_dir_all(directory.path().join("x/y")).unwrap();
        fs::remove_dir(directory.path().join("x/y")).unwrap();
        fs::write(directory.path().join(path), "mine").unwrap();
        match unpack_all(&version, directory.path(), Existing::Refuse) {
            Err(UnpackError::Occupied {
                example,
                obstacle: found,
                ..
            }) => assert_eq!((example.as_str(), found), (path, obstacle)),
            other => panic!("{other:?}"),
        }
        assert_eq!(texts(directory.path()), own(&[(path, "mine")]));
        unpack_all(&version, directory.path(), Existing::Replace).unwrap();
        let mut expected = own(&SMALL);
        expected.extend(own(&[(path, "mine")]));
        expected.sort();
        assert_eq!(texts(directory.path()), expected);
    }
}

#[test]
fn a_file_that_differs_is_replaced_only_when_that_is_asked_for() {
    for content in ["x", "longer than it was", ""] {
        let (version, directory) = small();
        fs::write(directory.path().join("a"), content).unwrap();
        assert!(matches!(
            unpack_all(&version, directory.path(), Existing::Refuse),
            Err(UnpackError::Occupied { example, obstacle: Obstacle::Differs, .. }) if example == "a"
        ));
        assert_eq!(texts(directory.path()), own(&[("a", content)]));
        unpack_all(&version, directory.path(), Existing::Replace).unwrap();
        assert_eq!(texts(directory.path()), own(&SMALL));
    }
}

#[test]
fn links_in_the_destination_lead_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("a"), "theirs").unwrap();

    let (version, directory) = small();
    symlink(outside.path(), directory.path().join("sub")).unwrap();
    for existing in [Existing::Refuse, Existing::Replace] {
        assert!(matches!(
            unpack_all(&version, directory.path(), existing),
            Err(UnpackError::Occupied { example, obstacle: Obstacle::Kind, .. }) if example == "sub"
        ));
    }

    let (version, directory) = small();
    symlink(outside.path().join("a"), directory.path().join("a")).unwrap();
    assert!(matches!(
        unpack_all(&version, directory.path(), Existing::Refuse),
        Err(UnpackError::Occupied {
            obstacle: Obstacle::Differs,
            ..
        })
    ));
    unpack_all(&version, directory.path(), Existing::Replace).unwrap();
    assert!(!directory.path().join("a").is_symlink());

    let (version, directory) = small();
    symlink(outside.path(), directory.path().join(".copy.modelkeep-partial")).unwrap();
    let to = directory.path().join("copy");
    assert!(matches!(
        unpack_all(&version, &to, Existing::Refuse),
        Err(UnpackError::Io { .. })
    ));
    symlink("nowhere", &to).unwrap();
    assert!(matches!(
        unpack_all(&version, &to, Existing::Refuse),
        Err(UnpackError::NotADirectory(_))
    ));
    assert_eq!(texts(outside.path()), own(&[("a", "theirs")]));
}

#[test]
fn what_is_in_the_way_is_said() {
    let (version, directory) = small();
    fs::write(directory.path().join("sub"), "a file").unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    assert!(matches!(
        unpack_all(&version, directory.path(), Existing::Replace),
        Err(UnpackError::Occupied {
            obstacle: Obstacle::Kind,
            ..
        })
    ));
    assert!(matches!(
        unpack_all(&version, &directory.path().join("file"), Existing::Replace),
        Err(UnpackError::NotADirectory(_))
    ));
    let (version, directory) = small();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    assert!(matches!(
        unpack_all(&version, directory.path(), Existing::Replace),
        Err(UnpackError::Occupied { example, obstacle: Obstacle::Kind, .. }) if example == "a"
    ));
}

#[test]
fn what_a_killed_pull_left_is_used_again() {
    let (version, directory) = small();
    let partial = directory.path().join(".copy.modelkeep-partial");
    fs::create_dir_all(partial.join("sub/other/deep")).unwrap();
    fs::write(partial.join("a"), "a").unwrap();
    fs::write(partial.join("sub/b"), "torn!").unwrap();
    fs::write(partial.join("sub/.modelkeep-partial-0123456789abcdef"), "s").unwrap();
    fs::write(partial.join("of another version"), "").unwrap();
    let to = directory.path().join("copy");
    let unpacked = unpack_all(&version, &to, Existing::Refuse).unwrap();
    assert_eq!((unpacked.reused_files, unpacked.bytes_written), (1, 10));
    assert_eq!(
        texts(directory.path()),
        own(&[("copy/a", "a"), ("copy/sub/b", "sub/b"), ("copy/sub/c", "sub/c")])
    );
    assert!(!partial.exists() && !to.join("sub/other").exists());
}

#[test]
fn what_a_killed_pull_left_is_not_handed_out_unasked() {
    let (version, directory) = small();
    let partial = directory.path().join(".copy.modelkeep-partial");
    fs::create_dir_all(partial.join("sub")).unwrap();
    fs::write(partial.join("a"), "another version's").unwrap();
    fs::write(partial.join("sub/b"), "sub/b").unwrap();
    let to = directory.path().join("copy");
    let include = |path: &ModelPath| path.as_str() == "sub/b";
    let Version {
        contents,
        layers,
        memory,
    } = &version;
    let how = options(Existing::Refuse);
    let unpacked = unpack(memory, layers, contents, &include, &to, &how, &|_| {}).unwrap();
    assert_eq!(unpacked.reused_files, 1);
    assert_eq!(texts(directory.path()), own(&[("copy/sub/b", "sub/b")]));
}

#[test]
fn a_pull_that_broke_off_goes_on_where_it_was() {
    /// Fails from the second blob range on.
    struct Breaking<'a>(&'a Memory, AtomicU64);
    impl Source for Breaking<'_> {
        fn open<'a>(
            &'a self,
            blob: &Descriptor,
            range: modelkeep_core::ByteRange,
        ) -> content::Result<Box<dyn io::Read + Send + 'a>> {
            match self.1.fetch_add(1, Ordering::Relaxed) {
                0 => self.0.open(blob, range),
                _ => Err(content::Error::io("read")(io::ErrorKind::ConnectionReset.into())),
            }
        }
    }
    let (version, directory) = small();
    let to = directory.path().join("copy");
    let how = UnpackOptions {
        existing: Existing::Refuse,
        workers: 1,
    };
    for already in 0..3 {
        let source = Breaking(&version.memory, AtomicU64::new(0));
        let broken = unpack(
            &source,
            &version.layers,
            &version.contents,
            EVERYTHING,
            &to,
            &how,
            &|_| {},
        );
        if already < 2 {
            assert!(matches!(broken, Err(UnpackError::Source { .. })));
            assert!(!to.exists());
        } else {
            assert_eq!(broken.unwrap().reused_files, already);
        }
    }
    assert_eq!(texts(&to), own(&SMALL));
}

/// A version with one file of 3 MiB and some, of which a killed pull wrote 2 MiB.
fn half_written(change: impl Fn(&mut Vec<u8>)) -> (Version, tempfile::TempDir, Vec<u8>) {
    let model = tempfile::tempdir().unwrap();
    let bytes = Numbers(5).bytes((3 << 20) + 77);
    fs::write(model.path().join("m"), &bytes).unwrap();
    let version = pack(model.path());
    let directory = tempfile::tempdir().unwrap();
    let partial = directory.path().join(".copy.modelkeep-partial");
    fs::create_dir(&partial).unwrap();
    let mut half = bytes[..(2 << 20) + 5].to_vec();
    change(&mut half);
    let name = super::write::partial_name(&version.contents.files()[0]);
    fs::write(partial.join(name), half).unwrap();
    (version, directory, bytes)
}

#[test]
fn a_file_that_a_killed_pull_began_is_gone_on_with() {
    let (version, directory, bytes) = half_written(|_| {});
    let to = directory.path().join("copy");
    let unpacked = unpack_all(&version, &to, Existing::Refuse).unwrap();
    assert_eq!(unpacked.bytes_written, (1 << 20) + 77);
    assert!(fs::read(to.join("m")).unwrap() == bytes);
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
}

#[test]
fn what_a_power_cut_left_of_a_file_is_fetched_anew() {
    let (version, directory, bytes) = half_written(|half| half[1 << 20..][..4096].fill(0));
    let to = directory.path().join("copy");
    let unpacked = unpack_all(&version, &to, Existing::Refuse).unwrap();
    assert_eq!(unpacked.bytes_written, (1 << 20) + 77 + bytes.len() as u64);
    assert!(fs::read(to.join("m")).unwrap() == bytes);
}

#[test]
fn leftovers_in_an_old_directory_are_removed() {
    let (version, directory) = small();
    fs::write(directory.path().join(".modelkeep-partial-0123456789abcdef"), "s").unwrap();
    unpack_all(&version, directory.path(), Existing::Refuse).unwrap();
    assert_eq!(texts(directory.path()), own(&SMALL));
}

#[test]
fn a_directory_that_another_process_writes_is_busy() {
    let (version, directory) = small();
    let to = directory.path().join("copy");
    let looked = AtomicBool::new(false);
    let Version {
        contents,
        layers,
        memory,
    } = &version;
    let how = options(Existing::Refuse);
    for _ in 0..2 {
        unpack(memory, layers, contents, EVERYTHING, &to, &how, &|_| {
            looked.store(true, Ordering::Relaxed);
            assert!(matches!(
                unpack_all(&version, &to, Existing::Refuse),
                Err(UnpackError::Busy(path)) if path == to
            ));
        })
        .unwrap();
        assert!(looked.swap(false, Ordering::Relaxed));
    }
}

#[test]
fn a_version_that_is_damaged_leaves_no_such_file() {
    for size in [5, 3 << 20] {
        let model = tempfile::tempdir().unwrap();
        fs::write(model.path().join("m"), Numbers(3).bytes(size)).unwrap();
        let version = pack(model.path());
        let digest = version.layers[0].digest.clone();
        let whole = version.memory.blobs[&digest].clone();
        let entry = version.contents.files()[0].clone();
        let mut broken = whole.clone();
        broken[entry.offset as usize + size - 1] ^= 1;
        let short = whole[..entry.offset as usize + size - 1].to_vec();
        for (bytes, is_damage) in [(broken, true), (short, false)] {
            let version = Version {
                contents: version.contents.clone(),
                layers: version.layers.clone(),
                memory: Memory {
                    blobs: HashMap::from([(digest.clone(), bytes)]),
                },
            };
            let directory = tempfile::tempdir().unwrap();
            match unpack_all(&version, directory.path(), Existing::Refuse).unwrap_err() {
                UnpackError::Damaged { path, expected, .. } => {
                    assert!(is_damage);
                    assert_eq!((path, expected), (entry.path.clone(), entry.digest.clone()));
                }
                UnpackError::Length {
                    expected, problem, ..
                } => {
                    assert!(!is_damage);
                    assert_eq!((expected, problem), (size as u64, "fewer"));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_source_that_gives_more_or_nothing_is_an_error() {
    struct Endless;
    impl Source for Endless {
        fn open<'a>(
            &'a self,
            _: &Descriptor,
            _: modelkeep_core::ByteRange,
        ) -> content::Result<Box<dyn io::Read + Send + 'a>> {
            Ok(Box::new(io::repeat(b'a')))
        }
    }
    let (version, directory) = small();
    let how = options(Existing::Refuse);
    let (layers, contents) = (&version.layers, &version.contents);
    let to = directory.path();
    let more = unpack(&Endless, layers, contents, EVERYTHING, to, &how, &|_| {});
    assert!(matches!(more, Err(UnpackError::Length { problem: "more", .. })));
    let nothing = unpack(
        &Memory::default(),
        layers,
        contents,
        EVERYTHING,
        to,
        &how,
        &|_| {},
    );
    assert!(matches!(nothing, Err(UnpackError::Source { .. })));
    assert_eq!(fs::read_dir(to.join("sub")).map_or(0, Iterator::count), 0);
}

#[test]
fn hostile_contents_lists_are_refused_before_anything_is_written() {
    let layer = Descriptor::plain(
        "application/vnd.oci.image.layer.v1.tar",
        Digest::of(b"layer"),
        100,
    );
    let entry = |path: &str, size, offset| FileEntry {
        path: path.parse().unwrap(),
        size,
        digest: Digest::of(b"x"),
        layer: 0,
        offset,
    };
    let refuse = |layers: Vec<Digest>, files: Vec<FileEntry>| {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("copy");
        let error = unpack(
            &Memory::default(),
            std::slice::from_ref(&layer),
            &Contents::new(layers, files).unwrap(),
            EVERYTHING,
            &to,
            &options(Existing::Replace),
            &|_| {},
        )
        .unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        error
    };
    let ours = || vec![layer.digest.clone()];
    assert!(matches!(
        refuse(vec![Digest::of(b"another")], vec![entry("a", 1, 0)]),
        UnpackError::UnknownLayer { .. }
    ));
    assert!(matches!(
        refuse(ours(), vec![entry("a", 1, 100)]),
        UnpackError::Place(path) if path.as_str() == "a"
    ));
    assert!(matches!(
        refuse(ours(), vec![entry("a", 101, 0)]),
        UnpackError::Place(_)
    ));
    assert!(matches!(
        refuse(ours(), vec![entry("a", 50, 0), entry("b", 50, 49)]),
        UnpackError::Place(path) if path.as_str() == "b"
    ));
    // The manifest has the layer once, whatever the list says.
    let again = FileEntry {
        layer: 1,
        ..entry("b", 50, 0)
    };
    assert!(matches!(
        refuse([ours(), ours()].concat(), vec![entry("a", 50, 0), again]),
        UnpackError::Place(path) if path.as_str() == "b"
    ));
    let many = (0..=100_000).map(|n| entry(&n.to_string(), 0, 0)).collect();
    assert!(matches!(refuse(ours(), many), UnpackError::TooManyFiles { .. }));
    assert!(matches!(refuse(ours(), vec![]), UnpackError::NothingIncluded));
}

#[test]
fn files_with_the_same_bytes_may_each_have_a_layer() {
    let model = tempfile::tempdir().unwrap();
    for path in ["a", "b", "c"] {
        fs::write(model.path().join(path), b"the same").unwrap();
    }
    let files = scan(model.path());
    let plans = crate::layout::layout_raw(&files, &modelkeep_core::Limits::default()).unwrap();
    let mut memory = Memory::default();
    let digests = vec![memory.add(b"the same".to_vec()); 3];
    let layers: Vec<Descriptor> = plans
        .iter()
        .map(|plan| crate::modelpack::layer_descriptor(&files, plan, &digests[0]))
        .collect();
    let contents = crate::image::contents(&files, &digests, &plans, &digests).unwrap();
    let image = crate::modelpack::build(
        contents.clone(),
        &layers,
        &Default::default(),
        &Default::default(),
        &Default::default(),
        &modelkeep_core::Limits::default(),
    );
    let manifest = serde_json::from_slice(&image.unwrap().manifests[0].bytes).unwrap();
    let described = crate::foreign::listed(&manifest, &[], &contents).unwrap();
    let to = model.path().join("copy");
    let (known, options) = (Some(&contents), options(Existing::Refuse));
    super::unpack(&memory, &described, known, EVERYTHING, &to, &options, &|_| {}).unwrap();
    assert_eq!(tree(&to).len(), 3);
}
