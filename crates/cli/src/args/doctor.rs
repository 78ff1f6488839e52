//! What can be typed to find out about a registry.

use clap::Args;

use super::Json;

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// HOST/NAME, or NAME; by default the repository of the settings or of the directory
    pub(crate) name: Option<String>,
    /// Measure what needs a write too: two tiny images are written under one tag of the protocol, and deleted where the
    /// registry does that
    #[arg(long)]
    pub(crate) probe: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}
