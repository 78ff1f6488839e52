//! `modelkeep keys` and `modelkeep checkpoint`

use std::path::Path;

use modelkeep_core::RepoName;
use modelkeep_ledger::{
    History, Keys, ListedKey, Logged, NoteError, Outcome, Role, Unauthorized, Who,
    signing::{KeyId, PrivateKey, Signer as _},
};

use super::aliases::{named_repository, who};
use crate::{
    args::{AddKey, Checkpoint, KeyChange, ListKeys, NewKey, RemoveKey, RotateKey},
    error::{Exit, Failure},
    report::{Answer, human, json},
    settings::Settings,
    signing::{self, Signing},
    wiring::Endpoint,
};

/// Fewest digits by which a key is called.
const FEWEST_DIGITS: usize = 8;

pub(super) fn list(arguments: &ListKeys, settings: &Settings) -> Result<Answer, Failure> {
    let (name, repository) = named_repository(settings, arguments.name.as_deref())?;
    let report = report(&name, &repository)?;
    Ok(match arguments.json.json {
        true => json::answer(&report),
        false => Answer::done(text(&report)),
    })
}

pub(super) fn add(arguments: &AddKey, settings: &Settings) -> Result<Answer, Failure> {
    let added = match &arguments.file {
        Some(file) => Some(ListedKey {
            key: signing::public_key(file)?,
            role: match arguments.recovery {
                true => Role::Recovery,
                false => Role::Publisher,
            },
            name: arguments.name.clone(),
        }),
        None => None,
    };
    change(&arguments.change, settings, |history, who| {
        let now = history.keys();
        let founding = who.seal.as_ref().map(|seal| seal.founding().listed());
        // The key at hand is one of those that found a history.
        let before = match now.is_empty() {
            true => founding.unwrap_or_default(),
            false => now.listed(),
        };
        let Some(added) = &added else {
            return match now.is_empty() {
                true => Ok(before.to_vec()),
                false => Err(Failure::usage(
                    "the history has keys: name the public key that it is to list besides",
                )),
            };
        };
        match before.iter().find(|listed| listed.key == added.key) {
            None => Ok(before.iter().chain([added]).cloned().collect()),
            Some(listed) if listed.role == added.role => Ok(before.to_vec()),
            Some(listed) => Err(Failure::usage(format!(
                "{} is listed already, with the role {}",
                listed.key.id(),
                role(listed.role)
            ))),
        }
    })
}

pub(super) fn remove(arguments: &RemoveKey, settings: &Settings) -> Result<Answer, Failure> {
    change(&arguments.change, settings, |history, _| {
        let removed = find(history.keys(), &arguments.key)?.key.id();
        let listed = history.keys().listed().iter();
        Ok(listed.filter(|it| it.key.id() != removed).cloned().collect())
    })
}

pub(super) fn rotate(arguments: &RotateKey, settings: &Settings) -> Result<Answer, Failure> {
    let new = signing::public_key(&arguments.new)?;
    change(&arguments.change, settings, |history, who| {
        let keys = history.keys();
        let at_hand = who.seal.as_ref().map(|seal| seal.signer().public().id().clone());
        let old = match (&arguments.old, at_hand) {
            (Some(text), _) => find(keys, text)?,
            (None, Some(id)) => keys.find(&id).ok_or(Unauthorized::NotListed(id))?,
            (None, None) => return Err(Unauthorized::NoKey.into()),
        };
        let listed = keys.listed().iter().map(|it| match it == old {
            true => ListedKey {
                key: new.clone(),
                ..it.clone()
            },
            false => it.clone(),
        });
        Ok(listed.collect())
    })
}

/// Makes the keys of a history what `after` says, who may see the history and who changes it.
fn change(
    arguments: &KeyChange,
    settings: &Settings,
    after: impl Fn(&History, &Who) -> Result<Vec<ListedKey>, Failure>,
) -> Result<Answer, Failure> {
    let (name, repository) = named_repository(settings, arguments.repository.as_deref())?;
    let who = signing::who_has_keys(Path::new("."))?;
    let journal = repository.journal();
    let before = modelkeep_ledger::read(journal)?;
    let listed = after(&before, &who)?;
    // The change is about the keys that were seen: whoever changed them meanwhile did not agree to it.
    let expected = before.keys().clone();
    let outcome = modelkeep_ledger::rekey(journal, &who, arguments.message.as_deref(), |now| {
        match *now == expected {
            true => Ok(Keys::new(listed.clone())?),
            false => Err(Unauthorized::Changed),
        }
    })?;
    let report = json::KeysChanged {
        changed: outcome == Outcome::Published,
        keys: report(&name, &repository)?,
    };
    Ok(match (arguments.json.json, report.changed) {
        (true, _) => json::answer(&report),
        (false, true) => Answer::done(text(&report.keys)),
        (false, false) => Answer::done(format!("{}: nothing to change\n", report.keys.repository)),
    })
}

/// The key that somebody calls by its first digits, or by whose it is.
fn find<'a>(keys: &'a Keys, text: &str) -> Result<&'a ListedKey, Failure> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_called = |listed: &&ListedKey| {
        let hex = listed.key.id().hex();
        listed.name.as_deref() == Some(text) || (digits.len() >= FEWEST_DIGITS && hex.starts_with(digits))
    };
    let found: Vec<&ListedKey> = keys.listed().iter().filter(is_called).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::usage(format!("the history lists no key {text}"))
            .hint("`modelkeep keys list` shows its keys")),
        _ => Err(
            Failure::usage(format!("more than one key of the history is called {text}"))
                .hint("name it by its digits, as `modelkeep keys list` shows them"),
        ),
    }
}

fn report(name: &RepoName, repository: &Endpoint) -> Result<json::Keys, Failure> {
    let (history, entries) = modelkeep_ledger::entries(repository.journal())?;
    let at_hand = Signing::find()?.map(|signing| signing.public().id().clone());
    let keys = history.keys().listed().iter().map(|listed| json::Key {
        key: listed.key.id().to_string(),
        role: listed.role,
        name: listed.name.clone(),
        since: since(&entries, listed.key.id()),
        at_hand: at_hand.as_ref() == Some(listed.key.id()),
        public_key: listed.key.to_pem().to_owned(),
    });
    Ok(json::Keys {
        repository: name.to_string(),
        signed: !history.keys().is_empty(),
        keys: keys.collect(),
    })
}

/// Height of the entry since which a key is listed without a gap.
fn since(entries: &[Logged], key: &KeyId) -> u64 {
    let lists = entries
        .iter()
        .filter_map(|it| Some((it.entry.height(), it.entry.keys()?)));
    let with = |keys: &[ListedKey]| keys.iter().any(|listed| listed.key.id() == key);
    let mut since = None;
    for (height, keys) in lists {
        since = match with(keys) {
            true => since.or(Some(height)),
            false => None,
        };
    }
    since.unwrap_or_default()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Publisher => "publisher",
        Role::Recovery => "recovery",
    }
}

fn text(report: &json::Keys) -> String {
    if !report.signed {
        return format!(
            "{}: the history is not signed, and lists no keys\n",
            report.repository
        );
    }
    let header = ["KEY", "ROLE", "SINCE", "AT HAND", "NAME"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    rows.extend(report.keys.iter().map(|key| {
        vec![
            key.key.trim_start_matches("sha256:").chars().take(12).collect(),
            role(key.role).to_owned(),
            format!("entry {}", key.since),
            if key.at_hand { "yes" } else { "-" }.to_owned(),
            human::first_line(key.name.as_deref().unwrap_or("-"), 60),
        ]
    }));
    human::table(&rows)
}

pub(super) fn checkpoint(arguments: &Checkpoint, settings: &Settings) -> Result<Answer, Failure> {
    let (name, repository) = named_repository(settings, arguments.name.as_deref())?;
    let who = who(&repository)?;
    modelkeep_ledger::checkpoint(repository.journal(), &who, arguments.message.as_deref())?;
    let history = repository.history()?;
    let report = json::Checkpoint {
        repository: name.to_string(),
        height: history.height(),
        id: history.head().cloned().ok_or(NoteError::Empty)?,
        time: who.time,
        signed_by: history.signer().ok_or(NoteError::NotSigned)?.to_string(),
    };
    Ok(match arguments.json.json {
        true => json::answer(&report),
        false => Answer::done(format!(
            "{}: entry {} says that the history is what it is, signed by {}\n",
            report.repository, report.height, report.signed_by
        )),
    })
}

impl From<NoteError> for Failure {
    fn from(error: NoteError) -> Self {
        match error {
            NoteError::Empty => Self::new(Exit::Failed, error),
            NoteError::NotSigned => {
                Self::new(Exit::Failed, error).hint("`modelkeep keys add` lists the key at hand")
            }
            NoteError::Unauthorized(error) => error.into(),
            NoteError::History(error) => error.into(),
            NoteError::Content(error) => error.into(),
        }
    }
}

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
