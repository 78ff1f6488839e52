//! The program as a user runs it: the real binary, an environment of its own, a store of its own.

mod bad_input;
mod harness;
mod main_job;
mod processes;
mod reference;
mod settings;
