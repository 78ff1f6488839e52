use std::{
    fs,
    io::{self, IsTerminal, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use modelkeep_core::content;
use modelkeep_ledger::signing::{KeyError, PrivateKey, PublicKey, SignError, Signer};

use super::{KEY, PASSPHRASE, set};
use crate::error::{Exit, Failure};

/// A key in PEM has some hundred bytes.
const MOST_BYTES: u64 = 64 << 10;

/// What every text in PEM has.
const PEM: &str = "-----BEGIN";

/// A private key as it is kept, opened when it has to sign.
pub(super) struct KeyFile {
    place: String,
    pem: String,
    public: PublicKey,
    opened: OnceLock<PrivateKey>,
}

impl KeyFile {
    /// The key that `text` is or names.
    pub(super) fn named(variable: &str, text: &str) -> Result<Self, Failure> {
        match text.contains(PEM) {
            true => Self::new(variable.to_owned(), text.to_owned(), None),
            false => Self::read(Path::new(text)),
        }
    }

    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let pem = read(file)?;
        let public = public_file(file);
        let public = is_there(&public).then(|| public_key(&public)).transpose()?;
        Self::new(file.display().to_string(), pem, public)
    }

    fn new(place: String, pem: String, public: Option<PublicKey>) -> Result<Self, Failure> {
        let found = PrivateKey::from_pem(&pem, None);
        let (public, opened) = match (found, public) {
            (Ok(key), _) => (key.public().clone(), Some(key)),
            // The public half beside it says enough until something is to be signed.
            (Err(KeyError::Encrypted), Some(public)) => (public, None),
            (Err(KeyError::Encrypted), None) => {
                let key = open(&place, &pem)?;
                (key.public().clone(), Some(key))
            }
            (Err(error), _) => return Err(unusable(place, error)),
        };
        Ok(Self {
            place,
            pem,
            public,
            opened: opened.map_or_else(OnceLock::new, OnceLock::from),
        })
    }

    /// The key itself. Whoever has to type a passphrase is asked the first time.
    pub(super) fn open(&self) -> Result<&PrivateKey, Failure> {
        if let Some(key) = self.opened.get() {
            return Ok(key);
        }
        self.take(open(&self.place, &self.pem)?)
    }

    /// As [`KeyFile::open`], with a passphrase that is known.
    pub(super) fn unlock(&self, passphrase: &str) -> Result<&PrivateKey, Failure> {
        let key = PrivateKey::from_pem(&self.pem, Some(passphrase));
        self.take(key.map_err(|error| unusable(self.place.clone(), error))?)
    }

    fn take(&self, key: PrivateKey) -> Result<&PrivateKey, Failure> {
        if *key.public() != self.public {
            return Err(Failure::usage(format!(
                "{}.pub is not the public half of the key in {}",
                self.place, self.place
            )));
        }
        Ok(self.opened.get_or_init(|| key))
    }
}

impl Signer for KeyFile {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = self.open().map_err(|failure| SignError(failure.error))?;
        key.sign(message)
    }
}

/// Opens a key that is under a passphrase: that of the environment, or what is typed.
fn open(place: &str, pem: &str) -> Result<PrivateKey, Failure> {
    let key = match PrivateKey::from_pem(pem, set(PASSPHRASE).as_deref()) {
        Err(KeyError::Encrypted) if io::stdin().is_terminal() => {
            PrivateKey::from_pem(pem, Some(&ask(&format!("Passphrase of {place}: "))?))
        }
        result => result,
    };
    key.map_err(|error| unusable(place.to_owned(), error))
}

fn unusable(place: String, error: KeyError) -> Failure {
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
}

/// The public key in `file`.
pub(crate) fn public_key(file: &Path) -> Result<PublicKey, Failure> {
    parse_public(file.display().to_string(), &read(file)?)
}

/// The public key that the text of `variable` is or names.
pub(crate) fn public_key_in(variable: &str, text: &str) -> Result<PublicKey, Failure> {
    match text.contains(PEM) {
        true => parse_public(variable.to_owned(), text),
        false => public_key(Path::new(text)),
    }
}

fn parse_public(place: String, pem: &str) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(pem).map_err(|error| Failure::new(Exit::Usage, Unusable { place, source: error }))
}

/// The words for a new key: from the environment, or typed twice.
pub(crate) fn new_passphrase() -> Result<String, Failure> {
    let passphrase = match set(PASSPHRASE) {
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
            let what = format!("read the key {}", file.display());
            let failure = Failure::failed(content::Error::io(what)(error));
            match set(KEY).is_some_and(|text| Path::new(&text) == file) {
                true => failure.hint(format!(
                    "{KEY} holds the key itself in PEM, or the path of its file"
                )),
                false => failure,
            }
        })?;
    Ok(text)
}

/// Where the user's own key is, if there is a place for it.
pub(crate) fn default_file() -> Option<PathBuf> {
    let absolute = |name: &str| set(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| {
        let home = absolute("HOME")?;
        Some(match cfg!(target_os = "macos") {
            true => home.join("Library/Application Support"),
            false => home.join(".config"),
        })
    })?;
    Some(config.join("modelkeep/keys/default.pem"))
}

/// Where the public half of the key in `file` is.
pub(crate) fn public_file(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.pub", file.display()))
}

/// Where the public half of the recovery key that was made with the user's own is.
pub(super) fn recovery_file(default: &Path) -> PathBuf {
    default.with_file_name("recovery.pub")
}

/// Whether something is there, be it a link that leads nowhere.
pub(super) fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

/// Writes a file that must not be there, with its mode from the beginning.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|error| Failure::failed(content::Error::io(format!("write {}", path.display()))(error)))
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use the key in {place}")]
struct Unusable {
    place: String,
    #[source]
    source: KeyError,
}
