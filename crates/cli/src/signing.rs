//! Who signs: the one place where the keys of signatures come from, and the words that open them.
//!
//! A signer is chosen, in this order, by `MODELKEEP_SIGNING_KEY`, by `MODELKEEP_SIGNER`, or by the key file of the user,
//! which `modelkeep keys new` or the first push makes. None is ever invented. A key is opened when it is about to
//! sign, and not before: what changes nothing asks nobody for a passphrase.

mod file;
mod first;
mod program;

use std::{path::Path, sync::Arc};

use file::{KeyFile, is_there, public_key_in};
pub(crate) use file::{default_file, new_passphrase, public_file, public_key, write};
pub(crate) use first::{is_within, make_directory, offer};
use modelkeep_ledger::{
    Founds, History, ListedKey, Role, Seal, Unauthorized, Who,
    signing::{PublicKey, Signer},
};
use program::Program;

use crate::{
    error::{Exit, Failure},
    provenance::{Provenance, now},
    report::human,
    wiring::variable,
};

/// A private key in PEM, or the path of a file that holds one.
pub(crate) const KEY: &str = "MODELKEEP_SIGNING_KEY";
/// What opens it.
pub(crate) const PASSPHRASE: &str = "MODELKEEP_SIGNING_PASSPHRASE";
/// A command that signs.
const PROGRAM: &str = "MODELKEEP_SIGNER";
/// The public key of what that command signs with, in PEM, or the path of a file that holds it.
const PROGRAM_KEY: &str = "MODELKEEP_SIGNER_PUBLIC_KEY";
/// The public half of the recovery key of new histories, in PEM, or the path of a file that holds it.
const RECOVERY: &str = "MODELKEEP_RECOVERY_KEY";

/// What the key of this name is called in the list of a history.
pub(crate) const RECOVERY_NAME: &str = "recovery";

/// The signer that was chosen.
pub(crate) struct Signing {
    signer: Chosen,
    founds: Founds,
    /// Recovery keys of the histories that it founds.
    beside: Vec<ListedKey>,
}

enum Chosen {
    Key(Arc<KeyFile>),
    Program(Arc<Program>),
}

impl Signing {
    /// The signer that the environment or the user's key file names; `None` where nobody chose one.
    pub(crate) fn find() -> Result<Option<Self>, Failure> {
        let beside = match set(RECOVERY) {
            Some(text) => vec![recovery(public_key_in(RECOVERY, &text)?)],
            None => Vec::new(),
        };
        let chosen = |signer| {
            Ok(Some(Self {
                signer,
                founds: Founds::Any,
                beside: beside.clone(),
            }))
        };
        match (set(KEY), set(PROGRAM)) {
            (Some(_), Some(_)) => Err(Failure::usage(format!(
                "both {KEY} and {PROGRAM} are set: only one can sign"
            ))),
            (Some(text), None) => chosen(Chosen::Key(Arc::new(KeyFile::named(KEY, &text)?))),
            (None, Some(command)) => {
                let Some(text) = set(PROGRAM_KEY) else {
                    return Err(Failure::usage(format!(
                        "{PROGRAM} is set, and {PROGRAM_KEY} does not say with which key it signs"
                    )));
                };
                let public = public_key_in(PROGRAM_KEY, &text)?;
                chosen(Chosen::Program(Arc::new(Program::new(command, public))))
            }
            (None, None) => match default_file().filter(|file| is_there(file)) {
                Some(file) => Self::of_file(&file, beside).map(Some),
                None => Ok(None),
            },
        }
    }

    /// The user's own key, with the recovery key that was made with it.
    fn of_file(file: &Path, mut beside: Vec<ListedKey>) -> Result<Self, Failure> {
        let own = file::recovery_file(file);
        if beside.is_empty() && is_there(&own) {
            beside.push(recovery(public_key(&own)?));
        }
        Ok(Self {
            signer: Chosen::Key(Arc::new(KeyFile::read(file)?)),
            founds: Founds::New,
            beside,
        })
    }

    /// Makes the key ready to sign: whoever has to type a passphrase is asked now.
    pub(crate) fn open(&self) -> Result<(), Failure> {
        match &self.signer {
            Chosen::Key(key) => key.open().map(drop),
            Chosen::Program(_) => Ok(()),
        }
    }

    /// As [`Signing::open`], where the passphrase has just been chosen.
    fn unlock(&self, passphrase: &str) -> Result<(), Failure> {
        match &self.signer {
            Chosen::Key(key) => key.unlock(passphrase).map(drop),
            Chosen::Program(_) => Ok(()),
        }
    }

    pub(crate) fn signer(&self) -> Arc<dyn Signer + Send + Sync> {
        match &self.signer {
            Chosen::Key(key) => key.clone(),
            Chosen::Program(program) => program.clone(),
        }
    }

    /// The public half.
    pub(crate) fn public(&self) -> PublicKey {
        self.signer().public().clone()
    }

    /// As the ledger takes it. A history that is founded with it lists the key under `name`.
    pub(crate) fn seal(&self, name: Option<String>) -> Result<Seal, Failure> {
        // Who signs with the recovery key has named it twice.
        let own = self.public();
        let mut beside = self.beside.clone();
        beside.retain(|listed| listed.key != own);
        Seal::new(self.signer(), name, beside, self.founds).map_err(|error| Failure::new(Exit::Usage, error))
    }
}

/// Who changes a repository now, in `directory`. Whether they may, as `history` says, is judged at once, and a key that
/// will be needed is opened.
pub(crate) fn who(directory: &Path, history: &History) -> Result<Who, Failure> {
    let (who, signing) = admitted(directory, history)?;
    if let Some(signing) = signing.filter(|_| history.is_signed_by(&who)) {
        signing.open()?;
    }
    Ok(who)
}

/// As [`who`], where nothing is done in the end: nobody is asked for a passphrase.
pub(crate) fn admitted(directory: &Path, history: &History) -> Result<(Who, Option<Signing>), Failure> {
    let (who, signing) = somebody(directory)?;
    history.admits(&who)?;
    Ok((who, signing))
}

/// Who changes the keys of a history, which nobody does without one.
pub(crate) fn who_has_keys(directory: &Path) -> Result<Who, Failure> {
    let (who, signing) = somebody(directory)?;
    let signing = signing.ok_or(Unauthorized::NoKey)?;
    signing.open()?;
    Ok(who)
}

fn somebody(directory: &Path) -> Result<(Who, Option<Signing>), Failure> {
    let signing = Signing::find()?;
    let author = Provenance::find(directory)?.author;
    let name = Some(author.clone());
    let who = Who {
        time: now(),
        author,
        seal: signing.as_ref().map(|signing| signing.seal(name)).transpose()?,
    };
    Ok((who, signing))
}

/// Who signs: the key in `file`, or whoever was chosen otherwise.
pub(crate) fn signer(file: Option<&Path>) -> Result<Arc<dyn Signer + Send + Sync>, Failure> {
    let signing = match file {
        Some(file) => Some(Signing {
            signer: Chosen::Key(Arc::new(KeyFile::read(file)?)),
            founds: Founds::Any,
            beside: Vec::new(),
        }),
        None => Signing::find()?,
    };
    let signing = signing.ok_or_else(|| {
        Failure::usage(format!("no key was named: neither --key nor {KEY} is set"))
            .hint("`modelkeep keys new` makes a key pair")
    })?;
    signing.open()?;
    Ok(signing.signer())
}

/// Says that something was published without a signature, and what would change that.
pub(crate) fn note_unsigned(reference: &str) {
    let key = match default_file() {
        Some(file) if is_there(&file) => "`modelkeep keys add` lists your key in this history".to_owned(),
        _ => format!("{KEY} names the key that signs"),
    };
    human::line(&format!("note: {reference} is not signed; {key}"));
}

fn recovery(key: PublicKey) -> ListedKey {
    ListedKey {
        key,
        role: Role::Recovery,
        name: Some(RECOVERY_NAME.to_owned()),
    }
}

/// A variable that says something: pipelines set those that they have no secret for to nothing.
fn set(name: &str) -> Option<String> {
    variable(name).filter(|text| !text.trim().is_empty())
}
