use std::{fs, os::unix::fs::symlink, os::unix::net::UnixListener};

use super::*;

struct Model(tempfile::TempDir);

impl Model {
    fn new(files: &[&str]) -> Self {
        let model = Self(tempfile::tempdir().unwrap());
        for file in files {
            model.write(file, file);
        }
        model
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn scan(&self) -> Result<Scan, ScanError> {
        scan(self.path(), &ScanOptions::default())
    }

    fn paths(&self) -> Vec<String> {
        let files = self.scan().unwrap().files;
        files.into_iter().map(|file| file.path.to_string()).collect()
    }
}

#[test]
fn files_are_found_in_order_of_their_paths() {
    let model = Model::new(&["b", "a/z", "a-b", "a/b/c", "é"]);
    assert_eq!(model.paths(), ["a-b", "a/b/c", "a/z", "b", "é"]);
    let file = &model.scan().unwrap().files[1];
    assert_eq!(fs::read_to_string(&file.location).unwrap(), "a/b/c");
    assert_eq!(file.stamp.size, 5);
}

#[test]
fn own_files_and_git_are_left_out() {
    let model = Model::new(&[
        "modelkeep.toml",
        "modelkeep.lock",
        ".git/config",
        "sub/.git",
        "sub/.modelkeep-partial-00ff",
        "sub/modelkeep.toml",
        ".gitattributes",
    ]);
    assert_eq!(model.paths(), [".gitattributes", "sub/modelkeep.toml"]);
}

#[test]
fn the_ignore_file_has_the_syntax_of_gitignore() {
    let model = Model::new(&[
        "a.tmp",
        "keep.tmp",
        "sub/b.tmp",
        "sub/run/x",
        "run/x",
        "logs/deep/x",
        "m",
    ]);
    model.write(
        ".modelkeepignore",
        "# temporary\n*.tmp\n!keep.tmp\n/run/\nlogs/**/x\n",
    );
    assert_eq!(model.paths(), ["keep.tmp", "m", "sub/run/x"]);
}

#[test]
fn an_ignore_file_that_is_wrong_is_an_error() {
    let model = Model::new(&["m"]);
    fs::create_dir(model.path().join(".modelkeepignore")).unwrap();
    assert!(matches!(model.scan(), Err(ScanError::Ignore { .. })));
}

#[test]
fn symlinks_are_followed_inside_the_model() {
    let model = Model::new(&["blobs/1", "blobs/sub/2"]);
    symlink("blobs/1", model.path().join("file")).unwrap();
    symlink("file", model.path().join("twice")).unwrap();
    symlink(model.path().join("blobs/sub"), model.path().join("dir")).unwrap();
    assert_eq!(
        model.paths(),
        ["blobs/1", "blobs/sub/2", "dir/2", "file", "twice"]
    );
    let files = model.scan().unwrap().files;
    assert_eq!(files[3].location, files[0].location);
}

#[test]
fn the_directory_itself_may_be_a_symlink() {
    let model = Model::new(&["m"]);
    let other = tempfile::tempdir().unwrap();
    symlink(model.path(), other.path().join("link")).unwrap();
    let found = scan(&other.path().join("link"), &ScanOptions::default()).unwrap();
    assert_eq!(found.files, model.scan().unwrap().files);
}

#[test]
fn symlinks_that_lead_elsewhere_are_refused_by_name() {
    let outside = Model::new(&["secret"]);
    for (target, problem) in [
        (outside.path().join("secret"), SymlinkProblem::Outside),
        (outside.path().to_owned(), SymlinkProblem::Outside),
        ("..".into(), SymlinkProblem::Outside),
        ("sub/../../x".into(), SymlinkProblem::Dangling),
        ("nothing".into(), SymlinkProblem::Dangling),
        ("m/below".into(), SymlinkProblem::Dangling),
        (".".into(), SymlinkProblem::Loop),
        ("link".into(), SymlinkProblem::Loop),
    ] {
        let model = Model::new(&["m", "sub/x"]);
        symlink(&target, model.path().join("link")).unwrap();
        match model.scan() {
            Err(ScanError::Symlink {
                path,
                target: said,
                problem: found,
            }) => {
                assert!(path.ends_with("link"));
                assert_eq!((said, found), (target, problem));
            }
            other => panic!("{target:?}: {other:?}"),
        }
        model.write(".modelkeepignore", "link");
        assert_eq!(model.paths(), ["m", "sub/x"], "what is ignored is not looked at");
    }
}

#[test]
fn a_circle_through_two_links_is_found() {
    let model = Model::new(&["a/x", "b/y"]);
    symlink("../b", model.path().join("a/to-b")).unwrap();
    symlink("../a", model.path().join("b/to-a")).unwrap();
    assert!(matches!(
        model.scan(),
        Err(ScanError::Symlink {
            problem: SymlinkProblem::Loop,
            ..
        })
    ));
}

#[test]
fn directories_that_links_multiply_come_to_an_end() {
    let model = Model::new(&["m"]);
    for n in 0..30 {
        let here = model.path().join(format!("d{n}"));
        fs::create_dir(&here).unwrap();
        for link in ["x", "y"] {
            symlink(format!("../d{}", n + 1), here.join(link)).unwrap();
        }
    }
    fs::create_dir(model.path().join("d30")).unwrap();
    let found = scan(model.path(), &ScanOptions { most_files: 1000 });
    assert!(matches!(found, Err(ScanError::TooMany { most: 1000, .. })));
}

#[test]
fn what_is_no_file_is_refused_by_name() {
    let model = Model::new(&["m"]);
    let socket = UnixListener::bind(model.path().join("socket")).unwrap();
    assert!(matches!(
        model.scan(),
        Err(ScanError::Special { path, kind: "socket" }) if path.ends_with("socket")
    ));
    drop(socket);
    fs::remove_file(model.path().join("socket")).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        model.path().join("pipe"),
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .unwrap();
    assert!(matches!(
        model.scan(),
        Err(ScanError::Special { path, kind: "named pipe" }) if path.ends_with("pipe")
    ));
    fs::remove_file(model.path().join("pipe")).unwrap();
    symlink("/dev/null", model.path().join("null")).unwrap();
    assert!(matches!(model.scan(), Err(ScanError::Symlink { .. })));
}

#[test]
fn names_that_could_not_be_pulled_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let model = Model::new(&["m"]);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::write(model.path().join(name), "").unwrap();
    assert!(matches!(model.scan(), Err(ScanError::NotUtf8(path)) if path.ends_with(name)));
    fs::remove_file(model.path().join(name)).unwrap();
    for name in ["a:b", "nul.txt", "a\nb", ".GIT"] {
        model.write(name, "");
        assert!(matches!(model.scan(), Err(ScanError::Path { location, .. }) if location.ends_with(name)));
        fs::remove_file(model.path().join(name)).unwrap();
    }
}

#[test]
fn a_directory_without_files_is_an_error_of_its_own() {
    let model = Model::new(&[]);
    assert!(matches!(model.scan(), Err(ScanError::Empty(_))));
    model.write("modelkeep.toml", "");
    assert!(matches!(model.scan(), Err(ScanError::Empty(_))));
    let missing = model.path().join("missing");
    let options = ScanOptions::default();
    assert!(matches!(scan(&missing, &options), Err(ScanError::NotFound(path)) if path == missing));
    let file = model.path().join("modelkeep.toml");
    assert!(matches!(scan(&file, &options), Err(ScanError::NotADirectory(path)) if path == file));
}

#[test]
fn too_many_files_are_refused() {
    let model = Model::new(&["a", "b", "c"]);
    assert_eq!(
        scan(model.path(), &ScanOptions { most_files: 3 })
            .unwrap()
            .files
            .len(),
        3
    );
    assert!(matches!(
        scan(model.path(), &ScanOptions { most_files: 2 }),
        Err(ScanError::TooMany { most: 2, .. })
    ));
}

#[test]
fn what_may_surprise_is_warned_of() {
    let model = Model::new(&["A/x", "a/X", "a/y", "caf\u{e9}", "cafe\u{301}"]);
    fs::create_dir_all(model.path().join("empty/inner")).unwrap();
    let path = |text: &str| text.parse::<ModelPath>().unwrap();
    assert_eq!(
        model.scan().unwrap().warnings,
        [
            Warning::EmptyDirectory("empty/inner".to_owned()),
            Warning::Collision(vec![path("A/x"), path("a/X")]),
            Warning::Collision(vec![path("cafe\u{301}"), path("caf\u{e9}")]),
        ]
    );
}

/// A cache of the Hub with one snapshot of two files, one of them in a directory.
fn cache(home: &Path, name: &str, revision: &str) -> std::path::PathBuf {
    let model = home.join(name);
    let snapshot = model.join("snapshots").join(revision);
    fs::create_dir_all(snapshot.join("onnx")).unwrap();
    fs::create_dir_all(model.join("blobs")).unwrap();
    for (file, to, blob) in [
        ("config.json", "../..", "abc"),
        ("onnx/m.onnx", "../../..", "def"),
    ] {
        fs::write(model.join("blobs").join(blob), blob).unwrap();
        symlink(format!("{to}/blobs/{blob}"), snapshot.join(file)).unwrap();
    }
    snapshot
}

#[test]
fn a_snapshot_of_the_hub_is_taken_as_it_lies() {
    let home = tempfile::tempdir().unwrap();
    let revision = "0123456789abcdef0123456789abcdef01234567";
    let place = cache(home.path(), "models--org--na.me-1", revision);
    let found = scan(&place, &ScanOptions::default()).unwrap();
    let paths: Vec<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["config.json", "onnx/m.onnx"]);
    let snapshot = Snapshot::of(&place).unwrap();
    assert_eq!(
        (snapshot.repository.as_str(), snapshot.revision.as_str()),
        ("org/na.me-1", revision)
    );
    let alone = cache(home.path(), "models--gpt2", revision);
    assert_eq!(Snapshot::of(&alone).unwrap().repository, "gpt2");
}

#[test]
fn a_link_of_a_snapshot_to_anything_but_a_blob_is_refused() {
    let revision = "0123456789abcdef0123456789abcdef01234567";
    for target in [
        "../../blobs",
        "../../blobs/sub/x",
        "../../refs/main",
        "../other/x",
        "/etc/passwd",
    ] {
        let home = tempfile::tempdir().unwrap();
        let place = cache(home.path(), "models--org--name", revision);
        for file in ["blobs/sub/x", "refs/main", "snapshots/other/x"] {
            let file = home.path().join("models--org--name").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        symlink(target, place.join("link")).unwrap();
        let refused = scan(&place, &ScanOptions::default());
        assert!(
            matches!(
                refused,
                Err(ScanError::Symlink {
                    problem: SymlinkProblem::Outside,
                    ..
                })
            ),
            "{target}: {refused:?}"
        );
    }
    // A directory of blobs that lies elsewhere is none.
    let home = tempfile::tempdir().unwrap();
    let place = cache(home.path(), "models--org--name", revision);
    let blobs = home.path().join("models--org--name/blobs");
    fs::rename(&blobs, home.path().join("elsewhere")).unwrap();
    symlink(home.path().join("elsewhere"), &blobs).unwrap();
    assert!(scan(&place, &ScanOptions::default()).is_err());
}

#[test]
fn what_only_looks_like_a_snapshot_is_none() {
    let revision = "0123456789abcdef0123456789abcdef01234567";
    for (name, revision) in [
        ("datasets--org--name", revision),
        ("models--", revision),
        ("models--a--b--c", revision),
        ("models--a b", revision),
        ("models--org--name", "main"),
        ("models--org--name", "0123456789ABCDEF0123456789abcdef01234567"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let place = cache(home.path(), name, revision);
        assert_eq!(Snapshot::of(&place), None, "{name} {revision}");
        assert!(scan(&place, &ScanOptions::default()).is_err());
    }
}
