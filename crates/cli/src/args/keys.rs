//! What can be typed about the keys of histories.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Json;

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// List the keys that may add to a history
    List(ListKeys),
    /// List another key; an unsigned history is signed from then on
    Add(AddKey),
    /// Take a key out of the list; what it has signed stays signed
    Remove(RemoveKey),
    /// Replace a key by another one, in one entry
    Rotate(RotateKey),
    /// Make a key pair: FILE under a passphrase, and its public half
    New(NewKey),
}

#[derive(Args, Debug)]
pub(crate) struct ListKeys {
    /// The repository; by default that of the settings or of the directory
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// What every change of the keys takes.
#[derive(Args, Debug)]
pub(crate) struct KeyChange {
    /// The repository; by default that of the settings or of the directory
    #[arg(long, value_name = "NAME")]
    pub(crate) repository: Option<String>,
    /// Why
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct AddKey {
    /// The public key (PEM); without it an unsigned history gets the key at hand, and the recovery key that goes with it
    #[arg(value_name = "FILE.pub", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Whose it is
    #[arg(long, requires = "file")]
    pub(crate) name: Option<String>,
    /// It changes keys, and signs nothing else
    #[arg(long, requires = "file")]
    pub(crate) recovery: bool,
    #[command(flatten)]
    pub(crate) change: KeyChange,
}

#[derive(Args, Debug)]
pub(crate) struct RemoveKey {
    /// The key, as `keys list` shows it, or the name of whom it belongs to
    #[arg(value_name = "KEY|NAME")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) change: KeyChange,
}

#[derive(Args, Debug)]
pub(crate) struct RotateKey {
    /// The public key (PEM) that comes
    #[arg(long, value_name = "FILE.pub", value_hint = ValueHint::FilePath)]
    pub(crate) new: PathBuf,
    /// The key that goes, as `keys list` shows it, or the name of whom it belongs to; by default the key at hand
    #[arg(long, value_name = "KEY|NAME")]
    pub(crate) old: Option<String>,
    #[command(flatten)]
    pub(crate) change: KeyChange,
}

#[derive(Args, Debug)]
pub(crate) struct NewKey {
    /// Where the private key goes; by default the key file of the user, which signs where no other key is chosen. Nothing
    /// is replaced
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// Leave the private key open to whoever can read the file
    #[arg(long)]
    pub(crate) no_passphrase: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args, Debug)]
pub(crate) struct Checkpoint {
    /// The repository; by default that of the settings or of the directory
    pub(crate) name: Option<String>,
    /// Why
    #[arg(long, short)]
    pub(crate) message: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}
