//! The programs `docker-credential-NAME` (docker-credential-helpers: JSON on stdin and stdout).

use std::{
    io::{self, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Credential, credential};
use crate::Secret;

/// Some helpers ask the user, or a cloud.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of an answer.
const ANSWER: u64 = 64 << 10;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stored<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

pub(super) fn get(helper: &str, server: &str) -> Result<Option<Credential>, String> {
    let (succeeded, output) = run(helper, "get", server.as_bytes(), TIMEOUT)?;
    if !succeeded {
        let said = String::from_utf8_lossy(&output).to_ascii_lowercase();
        if said.contains("not found") || said.contains("no credentials") {
            return Ok(None);
        }
        return Err(format!("docker-credential-{helper} get failed"));
    }
    // Its text holds the secret, so the error shows nothing of it.
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| format!("docker-credential-{helper} gave no credentials"))?;
    Ok(Some(credential(&answer.username, &answer.secret)))
}

pub(super) fn store(helper: &str, server: &str, user: &str, password: &Secret) -> Result<(), String> {
    let stored = Stored {
        server_url: server,
        username: user,
        secret: password.expose(),
    };
    let input = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
    must_succeed(helper, "store", &input)
}

pub(super) fn erase(helper: &str, server: &str) -> Result<(), String> {
    must_succeed(helper, "erase", server.as_bytes())
}

fn must_succeed(helper: &str, verb: &str, input: &[u8]) -> Result<(), String> {
    match run(helper, verb, input, TIMEOUT)? {
        (true, _) => Ok(()),
        (false, _) => Err(format!("docker-credential-{helper} {verb} failed")),
    }
}

/// Runs the helper, and gives whether it succeeded and what it said.
fn run(helper: &str, verb: &str, input: &[u8], timeout: Duration) -> Result<(bool, Vec<u8>), String> {
    let program = format!("docker-credential-{helper}");
    let named = |error: io::Error| format!("cannot run {program}: {error}");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(named)?;
    let output = talk(&mut child, input, timeout);
    if output.is_none() {
        // It may have ended in this moment.
        let _ = child.kill();
    }
    let status = child.wait().map_err(named)?;
    let output =
        output.ok_or_else(|| format!("{program} {verb} said nothing for {} s", timeout.as_secs()))?;
    if output.len() as u64 > ANSWER {
        return Err(format!("{program} {verb} said too much"));
    }
    Ok((status.success(), output))
}

/// Writes to a helper and reads what it says, in a thread that ends with the pipe; `None` when it took too long.
fn talk(child: &mut Child, input: &[u8], timeout: Duration) -> Option<Vec<u8>> {
    let mut stdin = child.stdin.take()?;
    let stdout = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut output = Vec::new();
        let _ = stdout.take(ANSWER + 1).read_to_end(&mut output);
        // Nobody listens any more when it took too long.
        let _ = send.send(output);
    });
    // Input is shorter than any pipe; a helper that does not read it says so by its exit code.
    let _ = stdin.write_all(input);
    drop(stdin);
    receive.recv_timeout(timeout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_is_not_there_is_named() {
        let error = get("modelkeep-no-such-helper", "x").unwrap_err();
        assert!(
            error.contains("docker-credential-modelkeep-no-such-helper"),
            "{error}"
        );
    }
}
