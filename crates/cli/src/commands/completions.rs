//! `modelkeep completions`

use clap::CommandFactory;

use crate::{
    args::{Cli, Completions},
    report::Answer,
};

pub(super) fn run(arguments: &Completions) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "modelkeep", &mut script);
    Answer::done(String::from_utf8_lossy(&script))
}
