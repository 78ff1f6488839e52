//! `modelkeep login` and `modelkeep logout`

use std::io::{self, Read};

use modelkeep_client::{Credential, Keychain, Secret, check_login};
use modelkeep_core::content::Error;

use crate::{
    args::{Global, Login, Logout},
    error::Failure,
    report::Answer,
    settings, wiring,
};

/// Longest password: tokens of clouds have a few thousand characters.
const PASSWORD: u64 = 64 << 10;

pub(super) fn login(arguments: &Login, global: &Global) -> Result<Answer, Failure> {
    let mut text = String::new();
    io::stdin()
        .take(PASSWORD)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(Error::io("read the password from standard input")(error)))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(Failure::usage("there is no password on standard input"));
    }
    let password = Secret::new(password);
    let credential = Credential::Password {
        user: arguments.username.clone(),
        password: password.clone(),
    };
    let host = &arguments.host;
    check_login(host, &credential, settings::network(global), &wiring::variable).map_err(Failure::failed)?;
    let keychain = Keychain::from_environment(&wiring::variable);
    let place = keychain
        .store(host, &arguments.username, &password)
        .map_err(Failure::failed)?;
    Ok(Answer::done(format!(
        "{host} takes them; the credentials of {} are in {place}\n",
        arguments.username
    )))
}

pub(super) fn logout(arguments: &Logout) -> Result<Answer, Failure> {
    let host = &arguments.host;
    let keychain = Keychain::from_environment(&wiring::variable);
    let answer = if keychain.forget(host).map_err(Failure::failed)? {
        format!("the credentials for {host} are gone\n")
    } else {
        format!("there were no credentials for {host}\n")
    };
    Ok(Answer::done(answer))
}
