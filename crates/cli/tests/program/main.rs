//! The program as a user runs it: the real binary, an environment of its own, a store of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod aliases;
mod bad_input;
mod base;
mod copy;
mod declare;
mod declare_aws;
mod doctor;
mod foreign;
mod harness;
mod keys;
mod lock;
mod main_job;
mod modelpack;
mod processes;
mod records;
mod reference;
mod remote;
mod scan;
mod serve;
mod settings;
mod signing;
mod sources;
mod trust;
