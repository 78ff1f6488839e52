//! `modelkeep keys`

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use modelkeep_core::content::Error;
use modelkeep_ledger::signing::{PrivateKey, Signer as _};

use crate::{
    args::NewKey,
    error::{Exit, Failure},
    report::{Answer, json},
    signing,
};

pub(super) fn new(arguments: &NewKey) -> Result<Answer, Failure> {
    let file = &arguments.file;
    let public_file = PathBuf::from(format!("{}.pub", file.display()));
    for path in [file, &public_file] {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!(
                "{} exists, and a key that is replaced is lost",
                path.display()
            )));
        }
    }
    let passphrase = match arguments.no_passphrase {
        true => None,
        false => Some(signing::new_passphrase()?),
    };
    let key = PrivateKey::generate();
    let pem = key
        .to_pem(passphrase.as_deref())
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    write(file, &pem, 0o600)?;
    write(&public_file, key.public().to_pem(), 0o644)?;
    let report = json::NewKey {
        private_key: file.display().to_string(),
        public_key: public_file.display().to_string(),
        key: key.public().id().to_string(),
    };
    if arguments.json.json {
        return Ok(json::answer(&report));
    }
    Ok(Answer::done(format!(
        "{}\n  private key  {}\n  public key   {}\n",
        report.key, report.private_key, report.public_key
    )))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|error| Failure::failed(Error::io(format!("write {}", path.display()))(error)))
}
