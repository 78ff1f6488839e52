use std::{
    io::{self, Read as _, Write as _},
    process::{Command, Stdio},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use modelkeep_ledger::signing::{PublicKey, SignError, Signer};

/// A signature in Base64 has about a hundred bytes.
const MOST_BYTES: u64 = 4 << 10;

/// A command of the user's that signs: it gets the bytes on its standard input, and prints the signature.
pub(super) struct Program {
    command: String,
    public: PublicKey,
}

#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error("cannot run `{command}`")]
    Run {
        command: String,
        #[source]
        source: io::Error,
    },
    #[error("`{command}` ended with {status}")]
    Failed {
        command: String,
        status: std::process::ExitStatus,
    },
    #[error("`{0}` did not print a signature in Base64")]
    Answer(String),
}

impl Program {
    pub(super) fn new(command: String, public: PublicKey) -> Self {
        Self { command, public }
    }

    fn run(&self, message: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let failed = |source| ProgramError::Run {
            command: self.command.clone(),
            source,
        };
        // A command for the shell, as git's `core.sshCommand` is; what it has to say to the user it says on stderr.
        let mut child = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut answer = Vec::new();
        let read = thread::scope(|scope| {
            // Whoever does not want all of it says so by what it prints, or how it ends.
            scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(message)));
            let read = stdout.map(|stdout| stdout.take(MOST_BYTES + 1).read_to_end(&mut answer));
            if answer.len() as u64 > MOST_BYTES || !matches!(read, Some(Ok(_))) {
                // It is in the way of the thread that writes.
                let _ = child.kill();
            }
            read
        });
        let status = child.wait().map_err(failed)?;
        let wrong = || ProgramError::Answer(self.command.clone());
        read.ok_or_else(wrong)?.map_err(failed)?;
        if answer.len() as u64 > MOST_BYTES {
            return Err(wrong());
        }
        if !status.success() {
            return Err(ProgramError::Failed {
                command: self.command.clone(),
                status,
            });
        }
        // `base64` breaks lines.
        answer.retain(|byte| !byte.is_ascii_whitespace());
        BASE64.decode(answer).map_err(|_| wrong())
    }
}

impl Signer for Program {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.run(message).map_err(|error| SignError(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use modelkeep_ledger::signing::PrivateKey;

    use super::*;

    fn run(command: &str, message: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let public = PrivateKey::generate().public().clone();
        Program::new(command.to_owned(), public).run(message)
    }

    #[test]
    fn a_program_gets_the_bytes_and_what_it_prints_is_read() {
        assert_eq!(run("base64", b"some bytes").unwrap(), b"some bytes");
        let much = vec![7; 1 << 20];
        // It ends before it has read what it gets.
        assert_eq!(run("echo aGk=", &much).unwrap(), b"hi");
    }

    #[test]
    fn a_program_that_does_not_sign_is_told_of() {
        assert!(matches!(run("exit 3", b""), Err(ProgramError::Failed { .. })));
        assert!(matches!(run("echo '?'", b""), Err(ProgramError::Answer(_))));
        assert!(matches!(
            run("cat /dev/zero", &[0; 1 << 20]),
            Err(ProgramError::Answer(_))
        ));
    }
}
