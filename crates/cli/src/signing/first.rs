//! What is asked at a terminal when a history is about to begin, and nobody has chosen a key.

use std::{
    fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::{Component, Path, PathBuf},
};

use modelkeep_core::content;
use modelkeep_ledger::signing::{PrivateKey, Signer as _};

use super::{
    Signing,
    file::{default_file, is_there, new_passphrase, public_file, recovery_file, write},
};
use crate::{error::Failure, report::human};

/// Offers to make a key pair, and a recovery key that goes elsewhere. `None` when that is not wanted, and where there is
/// nobody to ask. `model` is what is about to be published: a key in it would be published too.
pub(crate) fn offer(repository: &str, model: &Path) -> Result<Option<Signing>, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    let Some(file) = default_file() else {
        return Ok(None);
    };
    human::line(&format!(
        "{repository} has no history yet. With a key, everybody who pulls can see who published what, and that nobody\n\
         has changed it since. The key goes to {}, under a passphrase.",
        file.display()
    ));
    match question("Make a key pair now? [Y/n] ")?.to_lowercase().as_str() {
        "" | "y" | "yes" => {}
        // The history will say that it is not signed; nobody is asked again.
        _ => return Ok(None),
    }
    let passphrase = new_passphrase()?;
    human::line(
        "A recovery key changes the keys of your histories when this one is lost or stolen, and signs nothing else.\n\
         It must not lie beside this one. Name a file on another medium, such as a stick that you take out; with no\n\
         name it is shown here once, to be printed or to go into a password manager.",
    );
    let place = recovery_place(&file, model)?;
    let (key, recovery) = (PrivateKey::generate(), PrivateKey::generate());
    let unusable = |error| Failure::new(crate::error::Exit::Usage, error);
    let pem = key.to_pem(Some(&passphrase)).map_err(unusable)?;
    let recovery_pem = recovery.to_pem(None).map_err(unusable)?;
    make_directory(&file)?;
    match &place {
        Some(place) => {
            write(place, &recovery_pem, 0o600)?;
            human::line(&format!(
                "The recovery key is in {}: keep it where nobody else comes.",
                place.display()
            ));
        }
        None => {
            human::line(&format!("\nThe recovery key:\n\n{recovery_pem}"));
            question("Press Enter when it is in a safe place. ")?;
        }
    }
    // The private key last: with it the user has a key.
    write(&recovery_file(&file), recovery.public().to_pem(), 0o644)?;
    write(&public_file(&file), key.public().to_pem(), 0o644)?;
    write(&file, &pem, 0o600)?;
    human::line(&format!(
        "The key {} is in {}; its public half, which everybody may have, is in {}.",
        key.public().id(),
        file.display(),
        public_file(&file).display()
    ));
    let signing = Signing::of_file(&file, Vec::new())?;
    signing.unlock(&passphrase)?;
    Ok(Some(signing))
}

/// Makes the directory of the user's keys, which is for nobody else.
pub(crate) fn make_directory(file: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    let Some(directory) = file.parent() else {
        return Ok(());
    };
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    made.map_err(|error| Failure::failed(content::Error::io(format!("make {}", directory.display()))(error)))
}

/// Where the recovery key goes; `None` when it is to be shown.
fn recovery_place(key: &Path, model: &Path) -> Result<Option<PathBuf>, Failure> {
    loop {
        let typed = question("File of the recovery key: ")?;
        if typed.is_empty() {
            return Ok(None);
        }
        let place = PathBuf::from(typed);
        match flaw(&place, key, model) {
            None => return Ok(Some(place)),
            Some(flaw) => human::line(&format!("{}: {flaw}", human::clean(&place.display().to_string()))),
        }
    }
}

/// What keeps a recovery key from going to `place`.
fn flaw(place: &Path, key: &Path, model: &Path) -> Option<&'static str> {
    let directory = match place.parent() {
        Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
        None => return Some("that is no file"),
    };
    if is_there(place) {
        return Some("it exists, and a key that is replaced is lost");
    }
    if key.parent().is_some_and(|keys| is_within(place, keys)) {
        return Some("the first key lies there: whoever gets one would get both");
    }
    if is_within(place, model) {
        return Some("it would be published with the model");
    }
    if !directory.is_dir() {
        return Some("there is no such directory");
    }
    None
}

/// Whether `file` would lie in `directory`, wherever links lead. Neither need be there.
pub(crate) fn is_within(file: &Path, directory: &Path) -> bool {
    match (real(file), real(directory)) {
        (Some(file), Some(directory)) => file.starts_with(directory),
        // What cannot be known is taken for the worse.
        _ => true,
    }
}

/// A path without links, of which the end need not be there.
fn real(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        // What is not there has no parent to go up to.
        let goes_up = rest.components().any(|part| part == Component::ParentDir);
        let there = fs::canonicalize(ancestor).ok().filter(|_| !goes_up)?;
        Some(there.join(rest))
    })
}

/// What is typed in answer; nothing may be typed, but somebody must be there.
fn question(text: &str) -> Result<String, Failure> {
    // A question that cannot be printed is answered by nobody.
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).map_err(Failure::failed)?;
    match read {
        0 => Err(Failure::usage("nobody is at the terminal: nothing was done")),
        _ => Ok(line.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_key_goes_nowhere_near_the_first_key_or_the_model() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        for directory in ["keys/below", "model", "stick"] {
            fs::create_dir_all(home.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink(home.join("keys"), home.join("link")).unwrap();
        fs::write(home.join("stick/taken"), "").unwrap();
        let (key, model) = (home.join("keys/default.pem"), home.join("model"));
        let flaw = |place: &str| flaw(&home.join(place), &key, &model);
        assert_eq!(flaw("stick/recovery.pem"), None);
        for wrong in [
            "keys/recovery.pem",
            "keys/below/recovery.pem",
            "link/recovery.pem",
            "stick/../keys/recovery.pem",
            "model/recovery.pem",
            "nowhere/recovery.pem",
            "stick/taken",
        ] {
            assert!(flaw(wrong).is_some(), "{wrong}");
        }
        let later = home.join("later/default.pem");
        assert_eq!(
            super::flaw(&home.join("stick/recovery.pem"), &later, &model),
            None
        );
    }
}
