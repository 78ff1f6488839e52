use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::error::Failure;

/// What has to be typed to agree.
pub(super) enum Word<'a> {
    /// `y` or `yes`.
    Yes,
    /// The name of what is deleted.
    Name(&'a str),
}

/// Asks at the terminal, unless `yes` was said before.
///
/// # Errors
/// When nobody can be asked, or nobody agrees.
pub(super) fn confirm(question: &str, word: &Word<'_>, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(
            Failure::usage("nobody is at the terminal to agree").hint("say --yes if it is to be done")
        );
    }
    let hint = match word {
        Word::Yes => "[y/N]".to_owned(),
        Word::Name(name) => format!("[type {name}]"),
    };
    // A question that cannot be printed is answered by nobody.
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question} {hint} ").and_then(|()| stderr.flush());
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Failure::failed)?;
    let answer = line.trim();
    let agreed = match word {
        Word::Yes => answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"),
        Word::Name(name) => answer == *name,
    };
    if agreed {
        Ok(())
    } else {
        Err(Failure::usage("not agreed: nothing was changed"))
    }
}
