//! `docs/reference/cli.md` is what `--help` prints.

use std::{fmt::Write as _, fs, path::Path};

use crate::harness::Home;

const COMMANDS: [&str; 18] = [
    "",
    "init",
    "push",
    "versions",
    "show",
    "inspect",
    "diff",
    "scan",
    "pull",
    "verify",
    "export",
    "login",
    "logout",
    "serve",
    "gc",
    "scrub",
    "config",
    "completions",
];

#[test]
fn the_reference_is_what_help_prints() {
    let home = Home::new();
    let mut text = "# Command line\n\nWhat `--help` prints, written by the tests.\n".to_owned();
    for command in COMMANDS {
        let title = format!("modelkeep {command}");
        let arguments = [command, "--help"];
        let help = home
            .ok(if command.is_empty() {
                &arguments[1..]
            } else {
                &arguments
            })
            .stdout;
        let _ = write!(text, "\n## {}\n\n```text\n{}\n```\n", title.trim(), help.trim());
    }
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

#[test]
fn every_command_is_in_the_reference() {
    let help = Home::new().ok(&["--help"]).stdout;
    let listed = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1);
    let names: Vec<&str> = listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, COMMANDS[1..]);
}
