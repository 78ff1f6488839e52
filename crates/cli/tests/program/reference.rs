//! `docs/reference/cli.md` is what `--help` prints.

use std::{fmt::Write as _, fs, path::Path};

use crate::harness::Home;

#[test]
fn the_reference_is_what_help_prints() {
    let home = Home::new();
    let mut text = "# Command line\n\nWhat `--help` prints, written by the tests.\n".to_owned();
    add(&home, &[], &mut text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    if std::env::var_os("MODELKEEP_WRITE_REFERENCE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{} is old: run the tests with MODELKEEP_WRITE_REFERENCE=1",
        path.display()
    );
}

/// Adds the help of a command, and of the commands that it lists.
fn add(home: &Home, command: &[&str], text: &mut String) {
    let help = home.ok(&[command, &["--help"]].concat()).stdout;
    let title = [&["modelkeep"], command].concat().join(" ");
    let _ = write!(text, "\n## {title}\n\n```text\n{}\n```\n", help.trim());
    let listed = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What goes on from the line before.
        .filter(|line| !line.starts_with("   "));
    for name in listed.filter_map(|line| line.split_whitespace().next()) {
        add(home, &[command, &[name]].concat(), text);
    }
}
