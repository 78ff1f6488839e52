//! `oci-conformance`: runs the suite against a registry and prints one line per test.

#![forbid(unsafe_code)]

use std::env;
use std::fs;
use std::process::ExitCode;

use modelkeep_conformance::{Options, run, test_names};

const USAGE: &str = "\
usage: oci-conformance http://HOST[:PORT] [--user USER:PASSWORD] [--only PREFIX] [--json FILE]
       oci-conformance --list

Prints `ok NAME` or `FAIL NAME: what was expected, what came`, and the sums.
Exit code: 0 all passed, 1 some failed, 2 usage.";

struct Arguments {
    url: String,
    options: Options,
    json: Option<String>,
}

enum Order {
    List,
    Run(Arguments),
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut url = None;
    let mut options = Options::default();
    let mut json = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--list" => return Ok(Order::List),
            "--only" => options.only = Some(value()?),
            "--json" => json = Some(value()?),
            "--user" => {
                let pair = value()?;
                let (user, password) = pair.split_once(':').ok_or("--user needs USER:PASSWORD")?;
                options.user = Some((user.to_owned(), password.to_owned()));
            }
            _ if word.starts_with('-') || url.is_some() => {
                return Err(format!("unexpected {word:?}"));
            }
            _ => url = Some(word),
        }
    }
    let url = url.ok_or("no target")?;
    Ok(Order::Run(Arguments { url, options, json }))
}

fn main() -> ExitCode {
    let arguments = match parse(env::args().skip(1)) {
        Ok(Order::Run(arguments)) => arguments,
        Ok(Order::List) => {
            for name in test_names() {
                println!("{name}");
            }
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("error: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let report = match run(&arguments.url, &arguments.options, |result| {
        println!("{result}");
    }) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{} passed, {} failed", report.passed(), report.failed());
    if let Some(path) = arguments.json {
        let text = format!("{:#}\n", report.to_json());
        if let Err(error) = fs::write(&path, text) {
            eprintln!("error: cannot write {path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    if report.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Order, String> {
        parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn options_may_stand_on_either_side_of_the_target() {
        let order = parsed(&["--only", "tags/", "http://h:1", "--user", "me:a:b", "--json", "f"]);
        let Ok(Order::Run(arguments)) = order else {
            panic!("not an order to run");
        };
        assert_eq!(arguments.url, "http://h:1");
        assert_eq!(arguments.options.only.as_deref(), Some("tags/"));
        assert_eq!(arguments.options.user, Some(("me".to_owned(), "a:b".to_owned())));
        assert_eq!(arguments.json.as_deref(), Some("f"));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for words in [
            &[][..],
            &["http://h", "http://i"],
            &["http://h", "--user", "me"],
            &["http://h", "--only"],
            &["http://h", "--skip"],
        ] {
            assert!(parsed(words).is_err(), "{words:?} was accepted");
        }
    }
}
