//! The keys of signatures: where they come from, and the words that open them.

use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::Path,
};

use modelkeep_core::content;
use modelkeep_ledger::signing::{KeyError, PrivateKey, PublicKey};

use crate::{
    error::{Exit, Failure},
    wiring::variable,
};

/// A private key in PEM, or the path of a file that holds one.
const KEY: &str = "MODELKEEP_SIGNING_KEY";
/// What opens it.
const PASSPHRASE: &str = "MODELKEEP_SIGNING_PASSPHRASE";

/// A key in PEM has some hundred bytes.
const MOST_BYTES: u64 = 64 << 10;

/// The private key that was chosen: by `file`, or by the environment. None is ever invented.
pub(crate) fn private_key(file: Option<&Path>) -> Result<PrivateKey, Failure> {
    let (place, pem) = match (file, variable(KEY)) {
        (Some(file), _) => (file.display().to_string(), read(file)?),
        (None, Some(text)) if text.contains("-----BEGIN") => (KEY.to_owned(), text),
        (None, Some(path)) => (path.clone(), read(Path::new(&path))?),
        (None, None) => {
            return Err(
                Failure::usage(format!("no key was named: neither --key nor {KEY} is set"))
                    .hint("`modelkeep keys new FILE` makes a key pair"),
            );
        }
    };
    let key = match PrivateKey::from_pem(&pem, variable(PASSPHRASE).as_deref()) {
        Err(KeyError::Encrypted) if io::stdin().is_terminal() => {
            PrivateKey::from_pem(&pem, Some(&ask(&format!("Passphrase of {place}: "))?))
        }
        result => result,
    };
    key.map_err(|error| {
        let hint = match error {
            KeyError::Encrypted => Some(format!("set {PASSPHRASE}")),
            KeyError::Passphrase => None,
            KeyError::Malformed(_) => Some(
                "`modelkeep keys new FILE` makes one; so does `openssl ecparam -name prime256v1 -genkey -noout`"
                    .to_owned(),
            ),
        };
        let failure = Failure::new(Exit::Usage, Unusable { place, source: error });
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// The public key in `file`.
pub(crate) fn public_key(file: &Path) -> Result<PublicKey, Failure> {
    let place = file.display().to_string();
    PublicKey::from_pem(&read(file)?)
        .map_err(|error| Failure::new(Exit::Usage, Unusable { place, source: error }))
}

/// The words for a new key: from the environment, or typed twice.
pub(crate) fn new_passphrase() -> Result<String, Failure> {
    let passphrase = match variable(PASSPHRASE) {
        Some(passphrase) => passphrase,
        None if io::stdin().is_terminal() => {
            let first = ask("Passphrase of the new key: ")?;
            if ask("Once more: ")? != first {
                return Err(Failure::usage("the two passphrases differ"));
            }
            first
        }
        None => {
            return Err(Failure::usage(format!(
                "there is no terminal to ask for a passphrase, and {PASSPHRASE} is not set"
            ))
            .hint("with --no-passphrase the key is open to whoever can read the file"));
        }
    };
    if passphrase.is_empty() {
        return Err(Failure::usage("an empty passphrase protects nothing")
            .hint("with --no-passphrase the key is open to whoever can read the file"));
    }
    Ok(passphrase)
}

fn ask(prompt: &str) -> Result<String, Failure> {
    rpassword::prompt_password(prompt)
        .map_err(|error| Failure::failed(content::Error::io("read the passphrase from the terminal")(error)))
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|opened| opened.take(MOST_BYTES).read_to_string(&mut text))
        .map_err(|error| {
            Failure::failed(content::Error::io(format!("read the key {}", file.display()))(
                error,
            ))
        })?;
    Ok(text)
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use the key in {place}")]
struct Unusable {
    place: String,
    #[source]
    source: KeyError,
}
