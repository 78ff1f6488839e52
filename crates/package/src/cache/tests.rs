use super::*;
use crate::testing::scan;

/// A moment at which everything on the disk has settled.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(10)
}

struct Setting {
    directory: tempfile::TempDir,
    model: PathBuf,
    cache: PathBuf,
}

fn setting() -> Setting {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("a b"), "content").unwrap();
    let cache = directory.path().join("new/cache");
    Setting {
        directory,
        model,
        cache,
    }
}

#[test]
fn what_was_added_is_known_to_the_next_process() {
    let setting = setting();
    let file = scan(&setting.model).remove(0);
    let digest = Digest::of(b"content");
    let cache = Cache::open(setting.cache.clone());
    assert_eq!(cache.file(&file), None);
    cache.add_file(&file, &digest, later());
    cache.add_layer(&Digest::of(b"recipe"), &digest, 7);
    for cache in [cache, Cache::open(setting.cache.clone())] {
        assert_eq!(cache.file(&file), Some(digest.clone()));
        assert_eq!(cache.layer(&Digest::of(b"recipe")), Some((digest.clone(), 7)));
        assert_eq!(cache.layer(&digest), None);
    }
    assert!(setting.directory.path().join("new").is_dir());
}

#[test]
fn a_file_that_changed_is_not_known() {
    let setting = setting();
    let file = scan(&setting.model).remove(0);
    let cache = Cache::open(setting.cache.clone());
    cache.add_file(&file, &Digest::of(b"content"), later());
    // Same size, same name, and the time of the last change put back.
    fs::remove_file(setting.model.join("a b")).unwrap();
    fs::write(setting.model.join("a b"), "CONTENT").unwrap();
    let before = SystemTime::UNIX_EPOCH + Duration::from_nanos(file.stamp.mtime_ns.try_into().unwrap());
    let opened = File::options()
        .write(true)
        .open(setting.model.join("a b"))
        .unwrap();
    opened.set_modified(before).unwrap();
    let changed = scan(&setting.model).remove(0);
    assert_eq!(changed.stamp.mtime_ns, file.stamp.mtime_ns);
    assert_eq!(cache.file(&changed), None);
}

#[test]
fn a_file_that_just_changed_is_not_kept() {
    let setting = setting();
    let mut file = scan(&setting.model).remove(0);
    let at = |ns: i128| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns.try_into().unwrap());
    let cache = Cache::open(setting.cache.clone());
    let mut is_kept = |ctime_ns: i128, mtime_ns: i128, read_ns: i128| {
        file.stamp.ctime_ns = ctime_ns;
        file.stamp.mtime_ns = mtime_ns;
        cache.add_file(&file, &Digest::of(b"content"), at(read_ns));
        cache.file(&file).is_some()
    };
    const SECOND: i128 = 1_000_000_000;
    assert!(!is_kept(SECOND + 1, 0, SECOND + 50_000_001));
    assert!(is_kept(SECOND + 1, 0, SECOND + 50_000_002));
    assert!(!is_kept(5 * SECOND, 0, 7 * SECOND));
    assert!(is_kept(5 * SECOND, 0, 7 * SECOND + 1));
    assert!(!is_kept(SECOND + 2, 9 * SECOND, 8 * SECOND), "a time to come");
}

#[test]
fn torn_and_foreign_lines_are_passed_over() {
    let setting = setting();
    let file = scan(&setting.model).remove(0);
    let digest = Digest::of(b"content");
    let cache = Cache::open(setting.cache.clone());
    cache.add_layer(&Digest::of(b"1"), &digest, 1);
    let whole = fs::read(&setting.cache).unwrap();
    for cut in 0..whole.len() {
        fs::write(&setting.cache, &whole[..cut]).unwrap();
        let cache = Cache::open(setting.cache.clone());
        let known = cache.layer(&Digest::of(b"1"));
        assert!(known.is_none() || cut == whole.len() - 1, "{cut}");
        cache.add_layer(&Digest::of(b"2"), &digest, 2);
        cache.add_file(&file, &digest, later());
        assert_eq!(
            Cache::open(setting.cache.clone()).file(&file),
            Some(digest.clone())
        );
    }
    fs::write(&setting.cache, [0xff; 1000]).unwrap();
    assert_eq!(Cache::open(setting.cache.clone()).file(&file), None);
    fs::remove_file(&setting.cache).unwrap();
    fs::create_dir(&setting.cache).unwrap();
    let cache = Cache::open(setting.cache.clone());
    cache.add_file(&file, &digest, later());
    assert_eq!(cache.file(&file), Some(digest), "within the process it is");
}

#[test]
fn a_file_of_dead_lines_is_written_anew() {
    let setting = setting();
    let mut file = scan(&setting.model).remove(0);
    let digest = Digest::of(b"content");
    let cache = Cache::open(setting.cache.clone());
    for ino in 0..1000 {
        file.stamp.ino = ino;
        cache.add_file(&file, &digest, later());
    }
    let before = fs::metadata(&setting.cache).unwrap().len();
    assert!(before > SMALL as u64);
    assert_eq!(
        Cache::open(setting.cache.clone()).file(&file),
        Some(digest.clone())
    );
    assert!(fs::metadata(&setting.cache).unwrap().len() < before / 100);
    assert_eq!(Cache::open(setting.cache.clone()).file(&file), Some(digest));
}

#[test]
fn threads_and_processes_add_at_once() {
    let setting = setting();
    let digest = Digest::of(b"content");
    let recipe = |a: u32, b: u32| Digest::of(format!("{a} {b}").as_bytes());
    std::thread::scope(|scope| {
        for a in 0..4 {
            let (path, digest, recipe) = (setting.cache.clone(), &digest, &recipe);
            scope.spawn(move || {
                let cache = Cache::open(path);
                for b in 0..50 {
                    cache.add_layer(&recipe(a, b), digest, 1);
                }
            });
        }
    });
    let cache = Cache::open(setting.cache.clone());
    for (a, b) in (0..4).flat_map(|a| (0..50).map(move |b| (a, b))) {
        assert!(cache.layer(&recipe(a, b)).is_some());
    }
}
