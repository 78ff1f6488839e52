//! `modelkeep`: versions for machine-learning models that stay what they were.
//!
//! `args` is what can be typed, `settings` what is in force, `wiring` where things are kept, `commands` has a file
//! for each subcommand, and `report` is how results look.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod condition;
mod error;
mod freshness;
mod globs;
mod held;
mod holding;
mod known;
mod lock;
mod model;
mod origin;
mod place;
mod promise;
mod provenance;
mod publishing;
mod report;
mod settings;
mod signature;
mod signing;
mod subject;
mod tensors;
mod whole;
mod wiring;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::{args::Cli, report::Answer};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are such "errors" too; clap knows which stream and which exit code each has.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match commands::run(&cli) {
        Ok(answer) => print(&answer),
        Err(failure) => {
            report::human::failure(&failure);
            failure.exit.into()
        }
    }
}

fn print(answer: &Answer) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let printed = stdout
        .write_all(answer.text.as_bytes())
        .and_then(|()| stdout.flush());
    match printed {
        Ok(()) => answer.exit.into(),
        // `modelkeep versions | head` has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => answer.exit.into(),
        Err(error) => {
            report::human::line(&format!("error: cannot write the result: {error}"));
            ExitCode::FAILURE
        }
    }
}
