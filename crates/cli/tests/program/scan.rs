//! `modelkeep scan`, and what a push and a pull make of what it finds.

use crate::harness::Home;

/// `os.system("echo")`, which is never loaded.
const PAYLOAD: &[u8] = b"cos\nsystem\n(S'echo'\ntR.";

fn home() -> Home {
    let home = Home::new();
    home.write("model/config.json", "{\"auto_map\": {}}");
    home.write("model/deep/weights.bin", PAYLOAD);
    home
}

#[test]
fn a_dangerous_file_ends_a_scan_with_seven() {
    let home = home();
    let run = home.run(&["scan", "model"]);
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert_eq!(
        run.stdout,
        "dangerous: deep/weights.bin: calls os.system with (\"echo\") (runs-commands)\n\
         suspicious: config.json: it names code of its own to be run (auto_map, or trust_remote_code) (custom-code)\n\
         scanned 2 files, 39 B: 1 dangerous, 1 suspicious\n"
    );
    assert_eq!(home.run(&["scan", "model/deep/weights.bin"]).code, 7);
    let only = home.ok(&["scan", "model/config.json", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&only.stdout).unwrap();
    assert_eq!(
        (&report["dangerous"], &report["suspicious"]),
        (&0.into(), &1.into())
    );
}

#[test]
fn a_push_names_the_dangerous_file_and_stores_nothing() {
    let home = home();
    for arguments in [
        ["push", "model", "m:1.0"].as_slice(),
        &["push", "model", "m:1.0", "--dry-run"],
        &["push", "model", "m:1.0", "--allow-unsafe", "config.json"],
    ] {
        let run = home.run(arguments);
        assert_eq!(run.code, 7, "{arguments:?}: {}", run.stderr);
        assert!(
            run.stderr.contains("deep/weights.bin is dangerous"),
            "{}",
            run.stderr
        );
        assert!(
            run.stderr.contains("--allow-unsafe deep/weights.bin"),
            "{}",
            run.stderr
        );
        assert!(!home.store().join("blobs").exists());
    }
    let unknown = home.run(&["push", "model", "m:1.0", "--allow-unsafe", "weights.bin"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
}

#[test]
fn a_finding_stays_with_the_version() {
    let home = home();
    let push = home.ok(&["push", "model", "m:1.0", "--allow-unsafe", "deep/weights.bin"]);
    assert!(
        push.stderr.contains("warning: dangerous: deep/weights.bin"),
        "{}",
        push.stderr
    );
    let pull = home.ok(&["pull", "m:1.0", "-o", "out"]);
    assert!(
        pull.stderr
            .contains("warning: dangerous: deep/weights.bin: calls os.system"),
        "{}",
        pull.stderr
    );
    let part = home.ok(&["pull", "m:1.0", "-o", "part", "--include", "config.json"]);
    assert!(!part.stderr.contains("dangerous"), "{}", part.stderr);
    assert_eq!(home.ok(&["pull", "m:1.0", "-o", "quiet", "--quiet"]).stderr, "");
    let scan = home.run(&["scan", "m:1.0"]);
    assert_eq!(scan.code, 7, "{}", scan.stderr);
    let show = home.ok(&["show", "m:1.0"]);
    assert!(
        show.stdout.contains("dangerous: deep/weights.bin"),
        "{}",
        show.stdout
    );
}

#[test]
fn a_version_is_scanned_where_it_lies() {
    let home = Home::new();
    home.model("model");
    home.ok(&["push", "model", "m:1.0"]);
    let scan = home.ok(&["scan", "m:1.0"]);
    assert!(scan.stdout.contains("scanned 4 files, "), "{}", scan.stdout);
}
