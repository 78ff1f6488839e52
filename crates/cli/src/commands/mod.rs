//! One file for each subcommand.

mod aliases;
mod completions;
mod config;
mod copy;
mod declare;
mod diff;
mod doctor;
mod export;
mod gc;
mod init;
mod inspect;
mod keys;
mod lock;
mod log;
mod login;
mod pull;
mod push;
mod scan;
mod scrub;
mod serve;
mod show;
mod sign;
mod verify;
mod versions;
mod yank;

use std::path::Path;

pub(crate) use pull::failure as unpack_failure;
pub(crate) use push::cache_path;

use crate::{
    args::{Cli, Command, Keys},
    error::Failure,
    report::Answer,
    settings::Settings,
};

/// Does what was typed.
pub(crate) fn run(cli: &Cli) -> Result<Answer, Failure> {
    let global = &cli.global;
    let here = || Settings::load(global, Path::new("."));
    match &cli.command {
        Command::Init(arguments) => init::run(arguments, global),
        Command::Preview(arguments) => declare::preview(arguments, &here()?),
        Command::Up(arguments) => declare::up(arguments, &here()?, global.quiet),
        Command::Output(arguments) => declare::output(arguments, &here()?),
        Command::Destroy(arguments) => declare::destroy(arguments, &here()?, global.quiet),
        Command::Adopt(arguments) => declare::adopt(arguments, &here()?, global.quiet),
        Command::Policy => declare::policy(&here()?),
        Command::Push(arguments) => push::run(arguments, global),
        Command::Versions(arguments) => versions::run(arguments, &here()?),
        Command::Show(arguments) => show::run(arguments, &here()?),
        Command::Inspect(arguments) => inspect::run(arguments, &here()?, global.quiet),
        Command::Diff(arguments) => diff::run(arguments, &here()?, global.quiet),
        Command::Scan(arguments) => scan::run(arguments, &here()?, global.quiet),
        Command::Pull(arguments) => pull::run(arguments, &here()?, global.quiet),
        Command::Lock(arguments) => lock::run(arguments, &here()?, global.quiet),
        Command::Verify(arguments) => verify::run(arguments, &here()?, global.quiet),
        Command::Copy(arguments) => copy::run(arguments, &here()?, global.quiet),
        Command::Export(arguments) => export::run(arguments, &here()?, global.quiet),
        Command::Promote(arguments) => aliases::promote(arguments, &here()?, global.quiet),
        Command::Rollback(arguments) => aliases::rollback(arguments, &here()?),
        Command::Aliases(arguments) => aliases::list(arguments, &here()?),
        Command::Log(arguments) => log::run(arguments, &here()?),
        Command::Yank(arguments) => yank::yank(arguments, &here()?),
        Command::Restore(arguments) => yank::restore(arguments, &here()?),
        Command::Sign(arguments) => sign::sign(arguments, &here()?, global.quiet),
        Command::VerifySignature(arguments) => sign::verify(arguments, &here()?, global.quiet),
        Command::Keys(Keys::New(arguments)) => keys::new(arguments),
        Command::Keys(Keys::List(arguments)) => keys::list(arguments, &here()?),
        Command::Keys(Keys::Add(arguments)) => keys::add(arguments, &here()?),
        Command::Keys(Keys::Remove(arguments)) => keys::remove(arguments, &here()?),
        Command::Keys(Keys::Rotate(arguments)) => keys::rotate(arguments, &here()?),
        Command::Checkpoint(arguments) => keys::checkpoint(arguments, &here()?),
        Command::Login(arguments) => login::login(arguments, global),
        Command::Logout(arguments) => login::logout(arguments),
        Command::Serve(arguments) => serve::run(arguments, &here()?, global.quiet),
        Command::Gc(arguments) => gc::run(arguments, &here()?),
        Command::Scrub(arguments) => scrub::run(arguments, &here()?),
        Command::Doctor(arguments) => doctor::run(arguments, &here()?),
        Command::Config(arguments) => Ok(config::run(arguments, &here()?)),
        Command::Completions(arguments) => Ok(completions::run(arguments)),
    }
}

/// How many threads read, hash and write: what there are processors, but not so many that disks only seek.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(8)
}
