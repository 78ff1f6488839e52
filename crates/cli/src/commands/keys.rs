//! `modelkeep keys`

use modelkeep_ledger::signing::{PrivateKey, Signer as _};

use crate::{
    args::NewKey,
    error::{Exit, Failure},
    report::{Answer, json},
    signing,
};

pub(super) fn new(arguments: &NewKey) -> Result<Answer, Failure> {
    let file = match &arguments.file {
        Some(file) => file.clone(),
        None => signing::default_file().ok_or_else(|| {
            Failure::usage("there is no place for a key of the user: neither XDG_CONFIG_HOME nor HOME is set")
                .hint("name a file: `modelkeep keys new FILE`")
        })?,
    };
    let public_file = signing::public_file(&file);
    for path in [&file, &public_file] {
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
    if arguments.file.is_none() {
        signing::make_directory(&file)?;
    }
    signing::write(&file, &pem, 0o600)?;
    signing::write(&public_file, key.public().to_pem(), 0o644)?;
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
